"""The audit publishes what is late, once, and reads the topic seldom for it."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.change import ChangeEvent
from cdcd.model.fingerprint import (
    CELL_MS,
)
from cdcd.model.published import MARGINS_MS
from cdcd.source import auditor as module
from cdcd.source.touched import hash_of
from tests.unit.log_world import CANNOT, WIDE, World, published, row
from tests.unit.published import LANES


def rows_each(step_ms: int) -> list[ChangeEvent]:
    """Rows all over the cell at 0."""
    return [row(ms, ms // step_ms % LANES) for ms in range(0, WIDE, step_ms)]


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Audits do not rest, and may hold as few hashes as a test says."""
    monkeypatch.setattr(module, "SHARE_MAX", 1.0)
    monkeypatch.setattr(module, "HASHES_BYTES_MIN", 1)


async def test_one_late_row_takes_two_scans_of_the_topic() -> None:
    """However many rows a cell has, all of it is added up in one scan, and another one brings the
    identities of the narrow cell in which a row is late.
    """
    there = rows_each(1000)
    world = World([*there, row(WIDE // 2)], list(there))
    assert await world.audit(hashes_max=20) == []
    assert world.times_published() == Counter(published(e).row_hash for e in world.log)
    assert world.scans == 2


@pytest.mark.parametrize("expired", ["before", "since"])
async def test_a_lane_read_again_is_counted_once(expired: str) -> None:
    """Rows that the topic has twice, from before a lane was read again from its oldest change, are
    no reason to leave what is late; nor are those that had expired then, or have since.
    """
    there, old = rows_each(20_000), row(1)
    again = there[1:] if expired == "before" else there
    world = World([*there[1:], row(WIDE // 2)], list(again))
    world.topic += [*there, old] if expired == "before" else there
    assert await world.audit(hashes_max=5) == []
    assert set(world.times_published()) == {published(e).row_hash for e in world.topic}
    assert world.late() == 1


async def test_what_the_log_shows_no_more_is_no_reason_to_warn() -> None:
    """Rows that have expired, since the log kept them shorter than it keeps others now, are told by
    the topic; what is late beside them is published.
    """
    there = rows_each(20_000)
    world = World([*there[10:], row(WIDE // 2)], list(there))
    assert await world.audit() == []
    assert world.late() == 1
    gone = World([], list(there))
    assert (await gone.audit(), gone.late(), gone.scans) == ([], 0, 1)


@pytest.mark.parametrize("scans_max", [0, 1])
async def test_what_the_topic_does_not_have_is_not_published(scans_max: int) -> None:
    """Where the topic has forgotten rows, before the audit or in the middle of it, nothing comes
    twice and a warning says so.
    """
    there = rows_each(1000)
    world = World([*there, row(WIDE // 2)], list(there))
    world.scans_max = scans_max
    assert CANNOT in await world.audit()
    assert (world.topic, world.late()) == (there, 0)


async def test_what_is_not_published_is_not_counted() -> None:
    """A late row counts when it is published, and once, however often that was tried."""
    there = rows_each(20_000)
    world = World([*there, row(WIDE // 2)], list(there), failures=1)
    await world.audit()
    assert world.late() == 0
    await world.audit()
    assert world.late() == 1


async def test_a_version_of_the_schema_that_passed_does_not_count() -> None:
    """Another table that was altered while a cell was read is no reason to read it again."""
    there = rows_each(20_000)
    world = World([*there, row(WIDE // 2)], list(there), is_altered=True)
    await world.audit()
    assert world.late() == 1
    assert world.auditing.audited_ms == WIDE


async def test_a_pause_ends_the_reading_of_a_cell() -> None:
    """A table that is paused in the middle of a cell is read no further, and the cell later."""
    there = rows_each(20_000)
    world = World([*there, row(WIDE // 2)], list(there), paused_after=3)
    await world.audit()
    assert (world.reads, world.auditing.audited_ms) == (3, 0)
    world.paused_after = 1 << 30
    await world.audit()
    assert (world.late(), world.auditing.audited_ms) == (1, WIDE)


# A row in one of three narrow cells of two lanes: shown by the log, published, had by the topic.
ROWS = st.tuples(
    st.integers(0, 2),
    st.integers(0, 1),
    st.sampled_from(["both", "late", "expired", "forgotten"]),
)


@given(st.lists(ROWS, max_size=30), st.integers(1, 8))
def test_all_that_is_late_comes_once(rows: list[tuple[int, int, str]], hashes_max: int) -> None:
    """Whatever has expired from the log, and however few rows are compared at once: no row is
    published twice, and in lanes of which the topic has forgotten nothing every late one comes.
    """
    made = [
        (row(cell * CELL_MS + n, lane), lane, what) for n, (cell, lane, what) in enumerate(rows)
    ]
    log = [e for e, _, what in made if what != "expired"]
    world = World(log, [e for e, _, what in made if what != "late"])
    forgotten = {lane for _, lane, what in made if what == "forgotten"}
    world.topic = [e for e, _, what in made if what in ("both", "expired")]
    warnings = asyncio.run(world.audit(hashes_max=hashes_max))
    found = world.topic[len([w for _, _, w in made if w in ("both", "expired")]) :]
    late = [(e, lane) for e, lane, what in made if what == "late"]
    expected = {hash_of(e) for e, lane in late if lane not in forgotten}
    assert Counter(hash_of(e) for e in found) == Counter(expected)
    assert bool(warnings) <= bool(forgotten)
    assert world.auditing.audited_ms == WIDE


async def test_clocks_that_are_apart_are_no_reason_to_warn() -> None:
    """Where records are stamped minutes before the times of their rows, all are read back."""
    there = rows_each(20_000)
    late = [row(WIDE // 2, 0), row(WIDE // 2, 1)]
    world = World([*there, *late], list(there), behind_ms=MARGINS_MS[0] + 1)
    assert (await world.audit(), world.late(), world.scans) == ([], 2, 3)
