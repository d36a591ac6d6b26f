"""The distance from the clock follows lateness, between its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.source.confidence import Confidence, FirstPass

CELL_MS, DELAY_MS = 10_000, 30_000


def found_in(number: int, late_rows: int, rows: int = 100) -> FirstPass:
    """What the pass over a cell has found, a settle delay after the cell's end."""
    start_ms = number * CELL_MS
    return FirstPass(late_rows, rows, start_ms, start_ms + CELL_MS + DELAY_MS)


def test_it_begins_at_the_shortest() -> None:
    """Without late rows the distance is the shortest."""
    found = Confidence(250, 3000)
    found.learn(found_in(0, 0))
    assert found.distance_ms == 250


def test_late_rows_double_it() -> None:
    """Late rows double the distance up to the limit, and their absence shrinks it again."""
    found = Confidence(250, 900)
    seen = []
    for number, late_rows in ((0, 1), (4, 5), (8, 1), (9, 0)):
        found.learn(found_in(number, late_rows))
        seen.append(found.distance_ms)
    assert seen == [500, 900, 900, 720]


def test_what_was_read_before_it_was_doubled_does_not_count() -> None:
    """One spell of late rows that some passes find doubles it once."""
    found = Confidence(250, 3000)
    for number in range(4):
        found.learn(found_in(number, 50))
    assert found.distance_ms == 500
    found.learn(found_in(4, 50))
    assert found.distance_ms == 1000


def test_very_few_late_rows_do_not_slow_all() -> None:
    """One row of a thousand may be late: such passes let the distance shrink."""
    found = Confidence(250, 3000)
    found.learn(found_in(0, 2, 1000))
    found.learn(found_in(4, 1, 1000))
    assert found.distance_ms == 400


def test_a_pass_without_rows() -> None:
    """Nothing that was read has nothing that was late."""
    found = Confidence(250, 3000)
    found.learn(found_in(0, 1))
    found.learn(found_in(4, 0, 0))
    assert found.distance_ms == 400


def test_it_grows_from_nothing() -> None:
    """A shortest distance of zero grows when rows are late, and comes back to zero."""
    found = Confidence(0, 100)
    for number in range(20):
        found.learn(found_in(number * 4, 1))
    assert found.distance_ms == 100
    for number in range(60):
        found.learn(found_in(100 + number, 0))
    assert found.distance_ms == 0


@given(st.integers(0, 5000), st.integers(0, 5000), st.lists(st.integers(0, 3)))
def test_it_stays_in_bounds(low: int, high: int, passes: list[int]) -> None:
    """The distance is never below the shortest, nor above the greater of the two bounds."""
    found = Confidence(low, high)
    for number, late_rows in enumerate(passes):
        found.learn(found_in(number, late_rows))
        assert low <= found.distance_ms <= max(low, high)
