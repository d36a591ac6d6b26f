"""The audit publishes what is late, once, and reads the topic seldom for it."""

import asyncio
from array import array
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cdcd.model.change import ChangeEvent
from cdcd.model.fingerprint import (
    AUDIT_CELL_MS,
    CELL_MS,
    Fingerprint,
    PublishedRow,
    TakePublished,
    cell_of,
)
from cdcd.model.lane import LaneSet, lane_of
from cdcd.model.position import Generation, Position, Window
from cdcd.ops.board import Board
from cdcd.source import auditor as module
from cdcd.source.auditing import Auditing
from cdcd.source.auditor import HASH_BYTES, Auditor, Limits
from cdcd.source.key_reader import Seen
from cdcd.source.log_reader import Read
from cdcd.source.settler import Found, Tools, View
from cdcd.source.touched import hash_of
from tests.unit.published import LANES, SPEC, change

WIDE = AUDIT_CELL_MS
NOW_MS = 100 * WIDE
OWNED = LaneSet(frozenset(range(LANES)), LANES)
NUMBERS = count()
CANNOT = "what was published cannot be told"


def row(ms: int, lane: int = 0) -> ChangeEvent:
    """A change of its own, of a time."""
    return change(ms * 1000, lane=lane, group=next(NUMBERS))


def published(event: ChangeEvent) -> PublishedRow:
    """How the topic tells of a change."""
    row_hash = hash_of(event)
    assert row_hash is not None
    return PublishedRow(event.token, event.time_us // 1000, row_hash)


@dataclass
class World:
    """A log as it shows now, what the topic has, and the audit of the cell at 0 between them."""

    log: list[ChangeEvent]
    topic: list[ChangeEvent]
    board: Board = field(default_factory=lambda: Board("p", "i"))
    scans: int = 0
    # How many scans the topic survives, and how many publishings fail.
    scans_max: int = 1 << 30
    failures: int = 0
    version: str = "1"
    # Whether another table is altered while the topic is read.
    is_altered: bool = False
    # Where the audit is told that the table is paused, after so many reads of keys.
    paused_after: int = 1 << 30
    reads: int = 0

    def __post_init__(self) -> None:
        position = Position("log", 0, NOW_MS, NOW_MS, audited_ms=0)
        self.auditing = Auditing({}, dict.fromkeys(range(LANES), position), LANES)
        self.auditing.add(self.topic, NOW_MS, NOW_MS)
        self.auditing.merge({}, NOW_MS, NOW_MS)

    def view(self) -> View | None:
        """This world at its version of the schema; nothing while it is paused."""
        if self.reads >= self.paused_after:
            return None
        me = cast("Any", self)
        return View(self.version, cast("Any", _Log(self)), me, OWNED, NOW_MS, NOW_MS)

    async def read(self, _: object, lanes: LaneSet, window: Window) -> Seen:
        """The keys of a window."""
        self.reads += 1
        found = Seen()
        for event in self.log:
            each = published(event)
            if window.start_ms <= each.time_ms < window.end_ms:
                cell = (lane_of(each.token, lanes.lanes), cell_of(each.time_ms))
                before = found.cells.get(cell, Fingerprint())
                found.cells[cell] = before.with_rows([each.row_hash])
                found.hashes.setdefault(cell, array("Q")).append(each.row_hash)
        return found

    async def published(
        self, _: object, window: Window, _until_ms: int | None, take: TakePublished
    ) -> None:
        """What the topic has of a window, a row at a time."""
        self.scans += 1
        if self.is_altered:
            self.version = "2"
        for event in self.topic if self.scans <= self.scans_max else ():
            if window.start_ms <= event.time_us // 1000 < window.end_ms:
                await take([published(event)])

    async def publish(self, found: Found) -> None:
        """One transaction."""
        if self.failures:
            self.failures -= 1
            raise asyncio.CancelledError
        self.topic += found.late
        self.auditing.add(found.late, NOW_MS, NOW_MS)

    async def is_current(self, version: str) -> bool:
        """Whether the schema is still that one."""
        return version == self.version

    async def generations(self) -> tuple[Generation, ...]:
        """One, of which the streams do not matter."""
        return (Generation(0, ()),)

    async def audit(self, hashes_max: int = 1 << 30) -> list[str]:
        """Audit the cell at 0; gives the warnings. A publishing that fails ends it."""
        tools = Tools(
            view=self.view,
            generations=self.generations,
            is_current=self.is_current,
            learn=lambda _: None,
            publish=self.publish,
            published=self.published,
            board=self.board,
        )
        limits = Limits(lambda: 0, lambda: 0, 0, hashes_max * HASH_BYTES)
        with capture_logs() as logs, suppress(asyncio.CancelledError):
            await Auditor(self.auditing, tools, limits)._step()
        return [each["event"] for each in logs]

    def times_published(self) -> Counter[int]:
        """How often each row is in the topic."""
        return Counter(published(event).row_hash for event in self.topic)

    def late(self) -> float:
        """How many late rows were counted."""
        found = self.board.metrics.registry.get_sample_value(
            "cdcd_late_rows_total", {"table": SPEC.full_name, "pass": "audit"}
        )
        return found or 0.0


@dataclass
class _Log:
    """Reads whole changes."""

    world: World
    table: Any = SPEC

    async def read(self, _: object, __: object, window: Window) -> Read:
        """The changes of a window."""
        log = self.world.log
        found = [e for e in log if window.start_ms <= e.time_us // 1000 < window.end_ms]
        return Read(found, len(found))


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
