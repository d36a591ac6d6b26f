"""The source's own code in a world of late rows, crashes and take-overs: none is lost.

A world keeps to what rule 6 assumes: a log row is visible before its window's last settling, and
its base mutation within one settle delay of it. Followers of several workers run in it on a clock
that jumps. At the end each log row was published once, a partition's changes in order, and a sink
has the base table's rows.
"""

import math
import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from cdcd.model.errors import Transient
from cdcd.model.position import Generation, Position, Window
from cdcd.source import follower, settler, stage, stops
from cdcd.source.allowance import Allowance, Spent
from cdcd.source.catalog import SourceTable
from cdcd.source.copying import Copies
from cdcd.source.ledger import Ledger
from cdcd.source.listed import ListedRefreshes
from cdcd.source.progress import Start, first_position
from cdcd.source.settling import Settling
from tests.simulation.source_workers import HORIZON_MS, Dials, history, wrong
from tests.simulation.source_world import Kept

SEEDS = range(2)
# Of what is to hold; `make simulate-source SEEDS=n` tries more of them.
MORE = range(int(os.environ.get("CDCD_TEST_SOURCE_SEEDS", len(SEEDS))))
# Few repairs by chance: rows are seldom written twice, and the sink asks for little.
STILL = Dials(partitions=60, ask_seconds=1000)
LAGGING = replace(STILL, late=0.6, lagging=0.9)
ASKED = Dials(late=0, tied=0, lagging=0.9, partitions=60, ask_seconds=0.2, away_seconds=0.5)
SKEWED = Dials(late=0, lagging=0, behind_seconds=20, ahead_seconds=4, switch_seconds=8)
DOUBTFUL = Dials(lagging=0, doubtful=0.1, crash_seconds=1000)
BUSY = Dials(commit_seconds=2, away_seconds=15, crash_seconds=6, late=0.3, lagging=0)


pytestmark = pytest.mark.timeout(max(600, 20 * len(MORE)))


def found(dials: Dials, seeds: range = MORE) -> dict[int, list[str]]:
    """What went wrong, by the seed that repeats it."""
    runs = {seed: wrong(*history(seed, dials)) for seed in seeds}
    return {seed: wrongs for seed, wrongs in runs.items() if wrongs}


def kinds(dials: Dials, seeds: range = SEEDS) -> set[str]:
    """Which properties did not hold in some of the runs."""
    return {each.split(":")[0] for wrongs in found(dials, seeds).values() for each in wrongs}


@pytest.mark.parametrize(
    "dials",
    [
        Dials(),
        Dials(lagging=0, partitions=40, crash_seconds=3),
        replace(STILL, lagging=0, tied=0.4),
        Dials(lagging=0, hashes_bytes=0),
        Dials(lagging=0, listed_max=3, ask_seconds=1),
        Dials(lagging=0, switch_seconds=8, announced_ms=6000),
        SKEWED,
        DOUBTFUL,
    ],
    ids=["plain", "crashes", "ties", "no-hashes", "few-listed", "switches", "skewed", "doubtful"],
)
def test_changes_come_once_and_converge(dials: Dials) -> None:
    """Late rows, ties, crashes, take-overs, switches of generation, clocks of writers that are off
    and commits in doubt lose and double nothing.
    """
    assert found(dials) == {}


class Insisting:
    """Publishes again what nobody can tell of."""

    is_unpublishable = staticmethod(lambda _: False)

    def __init__(self, lanes: Any) -> None:
        self._lanes = lanes

    async def publish(self, *ready: Any) -> None:
        """One transaction, or more of them."""
        while True:
            with suppress(Transient):
                return await self._lanes.publish(*ready)


def test_without_giving_up_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a commit in doubt is tried again, and not looked up, changes are published twice."""
    publish = stage._publish

    async def insisting(lanes: Any, *args: Any) -> None:
        lanes = Insisting(lanes)
        await publish(lanes, *args)

    monkeypatch.setattr(stage, "_publish", insisting)
    assert "doubled" in kinds(DOUBTFUL)


def test_without_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the log is read once, what writers whose clocks are behind write is lost."""
    monkeypatch.setattr(Settling, "due", lambda *_: None)
    assert "lost" in kinds(SKEWED, range(1))


def test_without_streams_of_what_is_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 7: where a pass reads the streams in force alone, what writers whose clocks are ahead
    write into streams that are not known yet is lost.
    """
    monkeypatch.setattr(settler, "generations_to_settle", _in_force)
    assert "lost" in kinds(replace(SKEWED, behind_seconds=0), range(4))


def test_slow_commits_double_nothing() -> None:
    """A pass that reads back what was published does not take what is on its way for late."""
    assert "doubled" not in kinds(BUSY, range(3, 6))


def test_old_streams_are_read_after_an_absence() -> None:
    """A row in a stream whose generation has ended is found, also by a reader who comes late."""
    dials = replace(BUSY, commit_seconds=0.15, away_seconds=40, seconds=120)
    assert "lost" not in kinds(dials, range(8))


def test_a_base_that_lags_is_waited_for() -> None:
    """A refresh is repeated until the base must show what was published, however late that was."""
    assert found(replace(LAGGING, late=0.4, lagging=0.6, ask_seconds=1)) == {}


class Tight(Allowance):
    """Two of everything in one stop, however long it took."""

    def __init__(self, _: float) -> None:
        super().__init__(0.1)
        self.reads = self.rows = 2

    def learn(self, _: Spent) -> None:
        """Nothing."""


PARTS = Dials(lagging=0, late=0.3, partitions=3, crash_seconds=6, ask_seconds=1)


def test_what_is_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Late rows and partitions that take several stops, with crashes in between, come to their end
    once.
    """
    monkeypatch.setattr(stops, "Allowance", Tight)
    assert found(PARTS) == {}


COPIED = Dials(
    unlogged=90,
    partitions=40,
    begin_seconds=30,
    start=Start.SNAPSHOT,
    crash_seconds=5,
    away_seconds=2,
    copies=0.1,
    ask_seconds=2,
)


def test_copies_among_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that had rows before it had a log, and copies at any time, end with the base's rows,
    through crashes, take-overs, late rows and a base that lags.
    """
    monkeypatch.setattr(stops, "Allowance", Tight)
    assert found(replace(COPIED, late=0.3, lagging=0.3)) == {}


def test_without_what_is_left_of_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a copy is taken for done after its first part, rows are missing."""
    went_on = Copies.went_on
    monkeypatch.setattr(stops, "Allowance", Tight)
    monkeypatch.setattr(Copies, "went_on", lambda *args: ([], went_on(*args)[1]))
    assert "diverged" in kinds(replace(COPIED, copies=0), range(4))


def test_without_listed_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 12: where what was copied is not listed, a base that lags leaves other rows."""
    monkeypatch.setattr(stops, "Allowance", Tight)
    monkeypatch.setattr(ListedRefreshes, "covers", lambda *_: False)
    dials = replace(COPIED, late=0, tied=0, lagging=0.9, ask_seconds=0.3, copies=0.8)
    assert "diverged" in kinds(dials)


GAPS = Dials(late=0, tied=0, switch_seconds=1000, crash_seconds=6, away_seconds=1, gaps=0.7)


def test_what_was_published_before_a_gap_is_not_late() -> None:
    """A lane that goes on behind a gap, with a copy, publishes nothing again, wherever in a cell
    the gap began.
    """
    assert found(GAPS) == {}


# Rows that come up to three hours late, at the default delays.
HOURS = Dials(
    seconds=5 * 3600,
    late=0.3,
    lagging=0,
    tied=0,
    crash_seconds=5000,
    away_seconds=60,
    switch_seconds=10**6,
    commit_seconds=1,
    ask_seconds=3600,
    partitions=40,
    delays_seconds=(30, 600),
    audit_seconds=14_400,
    # The audit begins with the first whole cell.
    oldest_ms=600_000,
    back_seconds=3 * 3600,
    write_seconds=40,
    idle_seconds=20,
    ending_seconds=5 * 3600,
)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes look seldom for what is due: hours have many seconds."""
    monkeypatch.setattr(settler, "PAUSE_SECONDS", 30)


@pytest.mark.usefixtures("unhurried")
def test_rows_that_come_hours_late() -> None:
    """Rows that appear up to three hours behind their time are published once by the audit, and
    the target has them, through crashes and take-overs.
    """
    assert found(HOURS, MORE[: max(1, len(MORE) // 2)]) == {}


@pytest.mark.usefixtures("unhurried")
def test_without_an_audit() -> None:
    """Where nothing looks again after the settle delays, rows that come hours late are lost."""
    assert "lost" in kinds(replace(HOURS, audit_seconds=0), range(1))


@pytest.mark.usefixtures("unhurried")
def test_without_merged_fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where merged fingerprints do not outlive their worker, changes are published twice."""
    monkeypatch.setattr(Kept, "merged", lambda *_: {})
    assert "doubled" in kinds(HOURS, range(1))


@pytest.mark.usefixtures("unhurried")
def test_a_former_release_leaves_nothing_to_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where merged fingerprints and what was audited are lost together, as behind a worker of a
    release without audits, nothing is published twice.
    """
    positions = Kept.positions
    monkeypatch.setattr(Kept, "merged", lambda *_: {})
    monkeypatch.setattr(
        Kept,
        "positions",
        lambda *args: {n: replace(p, audited_ms=0) for n, p in positions(*args).items()},
    )
    assert "doubled" not in kinds(HOURS, range(1))


@pytest.mark.usefixtures("unhurried")
def test_without_the_topics_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the topic has forgotten what was published, the audit publishes nothing of it again."""

    async def forgetful(*_: object) -> bool:
        return True

    monkeypatch.setattr(Kept, "read_back", forgetful)
    dials = replace(HOURS, crash_seconds=math.inf)
    assert "doubled" not in kinds(dials, range(1))


def _close(
    table: SourceTable, generations: tuple[Generation, ...], start: Start, head_ms: int
) -> Position:
    return first_position(table, generations, start, head_ms + 2 * HORIZON_MS)


def test_a_copy_that_begins_where_the_log_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 12: where the log is read from the present on, what the base shows later is lost."""
    monkeypatch.setattr(follower, "first_position", _close)
    dials = replace(COPIED, late=0.5, lagging=0.9, copies=0, ask_seconds=1000, partitions=60)
    assert "diverged" in kinds(dials)


def _in_force(generations: tuple[Generation, ...], window: Window, _: int) -> list[Generation]:
    return [g for g in generations if g.start_ms <= window.start_ms][-1:]


def _forgetful(*args: Any) -> Ledger:
    """A ledger that does not know that some lanes were settled further."""
    saved, settled_ms, lanes, bytes_max = args
    return Ledger(saved, dict.fromkeys(settled_ms, 0), lanes, bytes_max)


def _gaps(self: Settling, window: Window, read_from_ms: int) -> None:
    for number, delay in enumerate(self._delays):
        reached = min(window.end_ms, read_from_ms - delay)
        self._reached[number] = max(self._reached[number], reached)


def test_without_repeated_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: where refreshes are not repeated, a base that lags leaves other rows."""
    monkeypatch.setattr(ListedRefreshes, "covers", lambda *_: False)
    assert "diverged" in kinds(ASKED)


def test_repeated_refreshes_suffice() -> None:
    """Rule 4: refreshes that are asked for at any time leave the base's rows, however it lags."""
    assert found(ASKED) == {}


def test_without_delayed_refreshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 5: where what a pass finds late is refreshed once, a base that lags leaves others."""
    asked = stops.requests_for
    monkeypatch.setattr(
        stops,
        "requests_for",
        lambda table, scopes, due_ms=0: [] if due_ms else asked(table, scopes),
    )
    monkeypatch.setattr(stops, "BEHIND_MS", math.inf)
    assert "diverged" in kinds(replace(LAGGING, crash_seconds=math.inf))


def test_with_the_last_pass_delayed_refreshes_suffice() -> None:
    """Rule 5: a worker that is never away ends with the base's rows, however the base lags."""
    assert found(replace(LAGGING, crash_seconds=math.inf)) == {}


def test_without_refreshes_of_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 3: where ties are not refreshed, the order in the log decides, and it is chance."""
    monkeypatch.setattr(follower, "ties", lambda _: [])
    assert "diverged" in kinds(replace(STILL, tied=0.4))


def test_without_streams_of_other_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 7: where a pass reads one generation's streams, rows of others are lost."""
    monkeypatch.setattr(settler, "generations_to_settle", _in_force)
    assert "lost" in kinds(Dials())


def test_without_saved_fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 9: where fingerprints do not outlive their worker, changes are published twice."""
    monkeypatch.setattr(Kept, "cells", lambda *_: {})
    assert "doubled" in kinds(Dials(crash_seconds=5))


def test_without_saved_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 4: where the list of refreshes does not outlive its worker, rows differ."""
    monkeypatch.setattr(Kept, "listed", lambda *_: ())
    assert "diverged" in kinds(ASKED)


def test_without_what_each_lane_has_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where lanes' own settled times are forgotten, removed fingerprints double changes."""
    monkeypatch.setattr(follower, "Ledger", _forgetful)
    assert "doubled" in kinds(Dials(crash_seconds=40, seconds=240), range(2, 5))


def test_without_contiguous_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a late first reading settles what was read too early before it, late rows are lost."""
    monkeypatch.setattr(Settling, "read_first", _gaps)
    assert "lost" in kinds(Dials(away_seconds=20, crash_seconds=6), range(6, 10))
