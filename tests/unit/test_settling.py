"""Each pass follows the frontier at its delay, on whole cells, and skips nothing."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.fingerprint import CELL_MS
from cdcd.model.position import Window
from cdcd.source.settling import Settling

DELAYS = [3_000, 60_000]
times = st.integers(0, 300_000)


def test_nothing_is_due_before_its_delay() -> None:
    """A cell is due for a pass when all of it is older than the pass's delay."""
    settling = Settling(DELAYS, 0)
    assert settling.due(100_000, CELL_MS + 2_999, CELL_MS) is None
    assert settling.due(100_000, CELL_MS + 3_000, CELL_MS) == (0, Window(0, CELL_MS))


def test_nothing_is_due_behind_the_frontier() -> None:
    """A cell that was not read to its end is not due, however old it is."""
    settling = Settling(DELAYS, 0)
    assert settling.due(CELL_MS - 1, 10**9, CELL_MS) is None
    assert settling.due(CELL_MS, 10**9, CELL_MS) == (0, Window(0, CELL_MS))


def test_the_oldest_window_comes_first() -> None:
    """Of two passes that are due the one that is further behind goes on."""
    settling = Settling(DELAYS, 0)
    settling.done(0, Window(0, 20_000))
    assert settling.due(100_000, 10**9, CELL_MS) == (1, Window(0, CELL_MS))


def test_settled_is_where_the_last_pass_stands() -> None:
    """Time is settled when every pass has read it."""
    settling = Settling(DELAYS, 0)
    settling.done(0, Window(0, 20_000))
    assert settling.settled_ms == 0
    settling.done(1, Window(0, 10_000))
    assert settling.settled_ms == 10_000
    assert settling.horizon_ms == 60_000


def test_a_late_first_reading_settles() -> None:
    """A window that was first read when it was older than all delays is settled."""
    settling = Settling(DELAYS, 1_000)
    settling.read_first(Window(1_000, 50_000), 200_000)
    assert settling.settled_ms == 50_000


def test_a_first_reading_counts_for_what_is_old_enough() -> None:
    """Of a window that was read for the first time only the part past the delay counts."""
    settling = Settling(DELAYS, 0)
    settling.read_first(Window(0, 50_000), 70_000)
    assert settling.settled_ms == 10_000
    assert settling.due(50_000, 70_000, CELL_MS) is None


def test_a_first_reading_behind_a_gap_does_not_count() -> None:
    """What lies before a window was read too early, so the window does not settle it."""
    settling = Settling(DELAYS, 0)
    settling.read_first(Window(10_000, 50_000), 200_000)
    assert settling.settled_ms == 0


@given(
    times,
    st.lists(st.tuples(st.integers(1, 40_000), st.integers(0, 80_000)), min_size=1, max_size=25),
    st.integers(1, 6),
)
def test_every_time_is_read_after_each_delay(
    start_ms: int, steps: list[tuple[int, int]], cells: int
) -> None:
    """Below where a pass stands all was read, first or again, when it was older than the delay;
    windows are whole cells below the frontier.
    """
    settling = Settling(DELAYS, start_ms)
    frontier, now = start_ms, start_ms
    # For each pass, the windows that were read late enough for it.
    read: list[list[tuple[int, int]]] = [[] for _ in DELAYS]
    for width, wait in steps:
        now = max(now + wait, frontier + width)
        window = Window(frontier, frontier + width)
        settling.read_first(window, now)
        for number, delay in enumerate(DELAYS):
            read[number].append((window.start_ms, min(window.end_ms, now - delay)))
        frontier = window.end_ms
        while due := settling.due(frontier, now, cells * CELL_MS):
            number, again = due
            assert again.start_ms % CELL_MS == again.end_ms % CELL_MS == 0
            assert again.end_ms <= min(frontier, now - DELAYS[number])
            read[number].append((again.start_ms, again.end_ms))
            settling.done(number, again)
        assert settling.settled_ms <= frontier
        for windows in read:
            reached = start_ms
            for begin, end in sorted(windows):
                if begin <= reached:
                    reached = max(reached, end)
            assert settling.settled_ms <= reached
