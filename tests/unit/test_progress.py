"""A table's lanes move on together, and a position with changes missing behind it is refused."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.model.errors import TableStopped
from cdcd.model.position import Generation, Position, Window
from cdcd.model.table import CdcOptions
from cdcd.source.catalog import SourceTable
from cdcd.source.progress import (
    Progress,
    Start,
    altered_unseen,
    check_saved,
    first_position,
    missing,
    oldest_position,
    save_after_ms,
)
from tests.unit.tables import table

SPEC = table({"p:p": "int"})
LOG = "log-1"
HOUR_MS = 3_600_000


def source(ttl_seconds: int = 3600, log_id: str = LOG) -> SourceTable:
    """A table whose log keeps rows for so long."""
    return SourceTable(SPEC, CdcOptions(enabled=True, ttl_seconds=ttl_seconds), log_id, False)


def generations(*starts: int) -> tuple[Generation, ...]:
    """Generations that begin at these times."""
    return tuple(Generation(start, ()) for start in starts)


def drain(
    progress: Progress, known: tuple[Generation, ...], head_ms: int, widths: list[int]
) -> dict[int, list[tuple[int, int, int]]]:
    """Read up to the head; gives the generation, start and end of each lane's windows."""
    read: dict[int, list[tuple[int, int, int]]] = {n: [] for n in progress.positions}
    for step in range(10_000):
        due = progress.window(known, head_ms, widths[step % len(widths)])
        if due is None:
            return read
        generation, window = due
        lanes = progress.hindmost()
        for lane in lanes:
            read[lane].append((generation.start_ms, window.start_ms, window.end_ms))
        progress.advance(lanes, generation, window)
    raise AssertionError("no end of windows")


frontiers = st.dictionaries(st.integers(0, 15), st.integers(100, 2000), min_size=1, max_size=6)
starts = st.sets(st.integers(101, 2500), max_size=4)
widths = st.lists(st.integers(1, 800), min_size=1, max_size=4)


@settings(max_examples=200)
@given(frontiers, starts, st.integers(0, 2500), widths)
def test_every_lane_is_read_once(
    begin: dict[int, int], later: set[int], head_ms: int, steps: list[int]
) -> None:
    """Each lane's windows cover its time up to the head without gap or overlap, in order, and
    none of them passes the head or the end of a generation, however far apart the lanes began.
    """
    known = generations(100, *sorted(later))
    progress = Progress({n: Position(LOG, 100, at) for n, at in begin.items()})
    # A position names the generation that holds its frontier.
    progress = Progress(
        {
            n: Position(LOG, max(g.start_ms for g in known if g.start_ms <= p.frontier_ms), at)
            for (n, p), at in zip(progress.positions.items(), begin.values(), strict=True)
        }
    )
    for lane, read in drain(progress, known, head_ms, steps).items():
        frontier = begin[lane]
        for generation, start, end in read:
            assert start == frontier
            assert generation == max(g.start_ms for g in known if g.start_ms <= start)
            assert not [g for g in known if start < g.start_ms < end]
            assert end <= head_ms
            frontier = end
        assert frontier == max(begin[lane], head_ms)
        assert progress.positions[lane].frontier_ms == frontier


def test_hindmost_lanes_catch_up_first() -> None:
    """The lanes that are behind are read alone, up to where the next ones stand."""
    progress = Progress({n: Position(LOG, 0, at) for n, at in enumerate((10, 30, 10))})
    read = drain(progress, generations(0), 50, [100])
    assert read == {0: [(0, 10, 30), (0, 30, 50)], 1: [(0, 30, 50)], 2: [(0, 10, 30), (0, 30, 50)]}


def test_a_position_at_the_end_of_a_generation_goes_on_in_the_next() -> None:
    """A lane that stands where a new generation begins reads that one next."""
    progress = Progress({0: Position(LOG, 0, 300)})
    due = progress.window(generations(0, 300), 1000, 100)
    assert due is not None
    assert (due[0].start_ms, due[1].start_ms, due[1].end_ms) == (300, 300, 400)


def test_a_time_before_all_generations_waits() -> None:
    """Before the first generation there is nothing to read."""
    assert Progress({0: Position(LOG, 0, 5)}).window(generations(10), 100, 100) is None


def test_only_what_was_read_moves() -> None:
    """The lanes that were read get the window's end and generation; others stay."""
    progress = Progress({n: Position(LOG, 0, at) for n, at in enumerate((10, 30))})
    due = progress.window(generations(0), 50, 5)
    assert due is not None
    progress.advance(progress.hindmost(), *due)
    assert progress.positions == {0: Position(LOG, 0, 15), 1: Position(LOG, 0, 30)}
    assert progress.frontier_ms == 15


def test_what_is_settled_never_goes_back() -> None:
    """All lanes take a later time as settled, and none an earlier one."""
    progress = Progress({0: Position(LOG, 0, 50, 10), 1: Position(LOG, 0, 50, 30)})
    assert {n: p.settled_ms for n, p in progress.settled(20, 0).items()} == {0: 20, 1: 30}
    assert {n: p.settled_ms for n, p in progress.positions.items()} == {0: 20, 1: 30}


NOW_MS = 100 * HOUR_MS


def refused(position: Position, known: tuple[Generation, ...]) -> TableStopped:
    """The refusal of a saved position."""
    with pytest.raises(TableStopped) as stopped:
        check_saved(source(), known, position, NOW_MS)
    return stopped.value


def test_a_log_that_was_made_again_is_refused() -> None:
    """A position in a log table that is no more asks for a snapshot."""
    stopped = refused(Position("log-0", 0, NOW_MS), generations(0))
    assert "made again" in stopped.message
    assert stopped.needs_snapshot


def test_a_generation_that_is_gone_is_refused() -> None:
    """A position in a generation that the server no longer knows asks for a snapshot."""
    stopped = refused(Position(LOG, 7, NOW_MS), generations(0))
    assert "gone" in stopped.message
    assert stopped.needs_snapshot


def test_a_position_behind_the_logs_ttl_is_refused() -> None:
    """A position older than the oldest row that the log retains asks for a snapshot."""
    stopped = refused(Position(LOG, 0, NOW_MS - HOUR_MS - 1), generations(0))
    assert "3600 s" in stopped.message
    assert stopped.needs_snapshot


def test_rows_keep_the_ttl_of_their_write() -> None:
    """A position that was saved when the log kept rows for an hour is refused after it, although
    the log keeps them for a day now, and so it is when the log keeps them for ever.
    """
    position = Position(LOG, 0, NOW_MS - HOUR_MS - 1, ttl_seconds=3600)
    for ttl_seconds in (24 * 3600, 0):
        with pytest.raises(TableStopped) as stopped:
            check_saved(source(ttl_seconds), generations(0), position, NOW_MS)
        assert "kept rows of that time for 3600 s" in stopped.value.message
        assert stopped.value.needs_snapshot
    in_time = replace(position, frontier_ms=NOW_MS - HOUR_MS)
    check_saved(source(24 * 3600), generations(0), in_time, NOW_MS)


def test_a_ttl_holds_for_what_was_written_under_it() -> None:
    """A raised time to live counts for a lane when its frontier has reached the raise, a lowered
    one at once; and what was saved by a release that saved none goes by the log's.
    """
    saved = {0: Position(LOG, 0, 50, ttl_seconds=60), 1: Position(LOG, 0, 90)}
    progress = Progress(saved)

    def after(ttl_seconds: int, now_ms: int) -> list[int | None]:
        progress.keep(ttl_seconds, now_ms)
        return [p.ttl_seconds for p in progress.positions.values()]

    assert after(600, 100) == [60, 600]
    progress.advance({0}, Generation(0, ()), Window(50, 99))
    assert after(600, 120) == [60, 600]
    assert progress.ttl_seconds == 60
    progress.advance({0, 1}, Generation(0, ()), Window(99, 130))
    assert after(600, 140) == [600, 600]
    assert after(0, 150) == [600, 600]
    assert after(30, 160) == [30, 30]
    assert progress.ttl_seconds == 30


@pytest.mark.parametrize(
    ("frontier_ms", "ttl_seconds"), [(NOW_MS, 3600), (NOW_MS - HOUR_MS, 3600), (0, 0)]
)
def test_other_positions_are_good(frontier_ms: int, ttl_seconds: int) -> None:
    """A position within the log's time, or of any time where the log is kept for ever, is good."""
    check_saved(source(ttl_seconds), generations(0), Position(LOG, 0, frontier_ms), NOW_MS)


@pytest.mark.parametrize(
    ("start", "starts", "ttl_seconds", "expected"),
    [
        # The oldest generation is older than what is retained.
        (Start.LOG, (0, NOW_MS - 10), 3600, (0, NOW_MS - HOUR_MS + 1000)),
        # The table is younger than the log's time.
        (Start.LOG, (NOW_MS - 500,), 3600, (NOW_MS - 500, NOW_MS - 500)),
        (Start.LOG, (5, NOW_MS - 500), 0, (5, 5)),
        (Start.NOW, (0, NOW_MS - 10), 3600, (NOW_MS - 10, NOW_MS)),
        # Settling reads whole cells of ten seconds.
        (Start.NOW, (0, NOW_MS - 500_000), 3600, (NOW_MS - 500_000, NOW_MS)),
        # The first generation is yet to begin.
        (Start.NOW, (NOW_MS + 70,), 3600, (NOW_MS + 70, NOW_MS + 70)),
        (Start.LOG, (NOW_MS + 70,), 3600, (NOW_MS + 70, NOW_MS + 70)),
    ],
)
def test_where_a_new_table_begins(
    start: Start, starts: tuple[int, ...], ttl_seconds: int, expected: tuple[int, int]
) -> None:
    """With `log` a table begins at the oldest retained row, with `now` at the head; both within
    its generations.
    """
    found = first_position(source(ttl_seconds), generations(*starts), start, NOW_MS)
    assert (found.generation_ms, found.frontier_ms) == expected
    assert found.log_id == LOG


@given(st.lists(st.integers(0, 2 * NOW_MS), min_size=1, max_size=4, unique=True))
def test_a_first_position_is_good(begin: list[int]) -> None:
    """Where a table begins, its position is one that a restart would take."""
    known = generations(*sorted(begin))
    position = first_position(source(), known, Start.LOG, NOW_MS)
    check_saved(source(), known, position, NOW_MS)


@pytest.mark.parametrize(
    ("frontier_ms", "expected"),
    [
        (NOW_MS - 60_000, NOW_MS - HOUR_MS + 1000),
        # The oldest row is about to expire: what begins behind the position would leave some out.
        (NOW_MS - HOUR_MS + 400, NOW_MS - HOUR_MS + 400),
    ],
)
def test_where_a_table_is_read_again(frontier_ms: int, expected: int) -> None:
    """A table is read again from the oldest retained row, and never from behind its position."""
    saved = Position(LOG, 0, frontier_ms, frontier_ms - 100, from_oldest=True)
    found = oldest_position(source(), generations(0), saved, NOW_MS)
    assert replace(found, ttl_seconds=None) == Position(LOG, 0, expected, expected)


def test_lanes_without_a_position() -> None:
    """Lanes that are owned and have no saved position are new."""
    saved = {1: Position(LOG, 0, 0), 9: Position(LOG, 0, 0)}
    assert missing({0, 1, 2}, saved) == {0, 2}


@pytest.mark.parametrize(
    ("altered_ms", "frontiers", "expected"),
    [
        (None, [5], False),
        (9, [], False),
        (9, [5, 10], False),
        (10, [10], False),
        (11, [5, 10], True),
    ],
)
def test_an_alter_behind_all_positions_was_not_seen(
    altered_ms: int | None, frontiers: list[int], expected: bool
) -> None:
    """A table altered before the foremost position was looked at since; one never read is new."""
    positions = [Position(LOG, 0, ms) for ms in frontiers]
    assert altered_unseen(replace(source(), altered_ms=altered_ms), positions) is expected


@pytest.mark.parametrize(
    ("limit_seconds", "ttl_seconds", "is_watched", "expected"),
    [
        (30, 0, False, 30_000),
        (30, 86_400, False, 30_000),
        (30, 60, False, 6_000),
        (30, 86_400, True, 1_000),
        (0.5, 0, True, 500),
        (30, 5, True, 500),
    ],
)
def test_how_old_a_saved_position_may_get(
    limit_seconds: float, ttl_seconds: int, is_watched: bool, expected: int
) -> None:
    """As old as the settings say, a tenth of the log's life, or a second under somebody's eyes."""
    assert save_after_ms(limit_seconds, ttl_seconds, is_watched=is_watched) == expected
