"""Windows follow each other without gap or overlap, and never pass what bounds them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.position import Generation, Window
from cdcd.source.windows import (
    Pace,
    generation_at,
    generation_end,
    generations_to_settle,
    narrower,
    next_width,
    next_window,
    retained_from,
)

times = st.integers(0, 5000)
widths = st.integers(1, 3000)


@given(times, times, st.lists(st.tuples(widths, times), max_size=20))
def test_windows_follow_each_other(start: int, head: int, steps: list[tuple[int, int]]) -> None:
    """Each window begins where the one before ended, while widths and boundaries change."""
    frontier = start
    for width, boundary in steps:
        window = next_window(frontier, head, width, boundary)
        if window is not None:
            assert window.start_ms == frontier
            assert window.end_ms <= min(head, boundary, frontier + width)
            frontier = window.end_ms
    assert frontier <= max(start, head)


@given(times, times, widths, times)
def test_there_is_a_window_whenever_there_is_time(
    frontier: int, head: int, width: int, boundary: int
) -> None:
    """A window is given exactly if the frontier is before both the head and the boundary."""
    found = next_window(frontier, head, width, boundary)
    assert (found is not None) == (frontier < min(head, boundary))


paces = st.builds(Pace, st.integers(1, 100), st.integers(100, 10_000), st.integers(1, 10_000))


@given(st.data(), paces, st.integers(0, 20_000))
def test_widths_stay_in_bounds(data: st.DataObject, pace: Pace, rows: int) -> None:
    """The next width is never above the longest, and it grows at most to twice or the shortest."""
    width = data.draw(st.integers(1, pace.max_ms))
    found = next_width(width, rows, pace)
    assert width <= found <= pace.max_ms
    assert found <= max(width * 2, pace.min_ms)


@given(st.data(), paces)
def test_a_window_twice_as_wide_would_fit(data: st.DataObject, pace: Pace) -> None:
    """A width grows only if twice as many rows fill at most half of the limit."""
    width = data.draw(st.integers(pace.min_ms, pace.max_ms))
    rows = data.draw(st.integers(0, pace.rows_max))
    if next_width(width, rows, pace) > width:
        assert rows * 2 <= pace.rows_max / 2


@pytest.mark.parametrize(
    ("width", "rows", "expected"),
    [(300, 250, 600), (300, 251, 300), (10, 0, 100), (50, 0, 100), (900, 0, 1000), (10, 251, 10)],
)
def test_widths_double_below_half_of_the_limit(width: int, rows: int, expected: int) -> None:
    """A width doubles between the shortest and the longest while a quarter of the rows are had."""
    assert next_width(width, rows, Pace(100, 1000, 1000)) == expected


def test_empty_time_is_crossed_in_few_windows() -> None:
    """A day without rows takes a few dozen windows, beginning with the shortest."""
    pace = Pace(100, 3_600_000, 1000)
    frontier, width, windows = 0, pace.min_ms, 0
    while window := next_window(frontier, 86_400_000, width, 2**60):
        frontier, windows = window.end_ms, windows + 1
        width = next_width(width, 0, pace)
    assert frontier == 86_400_000
    assert windows < 45


GENERATIONS = tuple(Generation(start, ()) for start in (100, 200, 300))


@pytest.mark.parametrize(
    ("ms", "start_ms"), [(99, None), (100, 100), (199, 100), (200, 200), (10_000, 300)]
)
def test_generations_are_in_force_from_their_start(ms: int, start_ms: int | None) -> None:
    """A generation is in force from its start until the next one's."""
    found = generation_at(GENERATIONS, ms)
    assert (found and found.start_ms) == start_ms


def test_a_generation_ends_where_the_next_begins() -> None:
    """A generation's end is the next one's start, and the last one has none."""
    assert [generation_end(GENERATIONS, g) for g in GENERATIONS] == [200, 300, None]


@pytest.mark.parametrize(
    ("start", "end", "horizon", "expected"),
    [
        (100, 199, 0, [100]),
        (100, 201, 0, [100, 200]),
        # A generation that begins where the window ends has none of its rows.
        (150, 200, 0, [100]),
        (210, 220, 10, [100, 200]),
        (210, 220, 9, [200]),
        (310, 320, 110, [100, 200, 300]),
        (310, 320, 109, [200, 300]),
        # The last one has no end.
        (10_000, 10_001, 0, [300]),
        (0, 100, 1000, []),
    ],
)
def test_old_generations_settle_until_the_horizon(
    start: int, end: int, horizon: int, expected: list[int]
) -> None:
    """A window is settled from each generation that began before its end, and had not ended by
    more than the horizon before its start.
    """
    found = generations_to_settle(GENERATIONS, Window(start, end), horizon)
    assert [g.start_ms for g in found] == expected


def test_what_the_log_retains() -> None:
    """Rows are retained for the log's TTL, and for ever where it is 0."""
    assert retained_from(90_000, 60) == 30_000
    assert retained_from(90_000, 0) is None


@given(st.integers(1, 10**9))
def test_a_window_of_too_many_rows_narrows(width: int) -> None:
    """After too many rows the next try is narrower, until a window cannot be divided."""
    tried = narrower(Window(0, width))
    assert 1 <= tried < max(width, 2)


@pytest.mark.parametrize(("window", "width"), [((800, 1600), 100), ((0, 7), 1), ((5, 28), 2)])
def test_a_narrower_window_is_an_eighth(window: tuple[int, int], width: int) -> None:
    """A burst is come by in few tries: the next window is an eighth, and at least a millisecond."""
    assert narrower(Window(*window)) == width
