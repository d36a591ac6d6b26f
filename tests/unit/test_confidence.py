"""The distance from the clock follows lateness, between its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.source.confidence import Confidence


def test_it_begins_at_the_shortest() -> None:
    """Without late rows the distance is the shortest."""
    found = Confidence(250, 3000)
    found.learn(0)
    assert found.distance_ms == 250


def test_late_rows_double_it() -> None:
    """Late rows double the distance up to the limit, and their absence shrinks it again."""
    found = Confidence(250, 900)
    seen = []
    for late in (1, 5, 1, 0):
        found.learn(late)
        seen.append(found.distance_ms)
    assert seen == [500, 900, 900, 810]


def test_it_grows_from_nothing() -> None:
    """A shortest distance of zero grows when rows are late, and comes back to zero."""
    found = Confidence(0, 100)
    for _ in range(20):
        found.learn(1)
    assert found.distance_ms == 100
    for _ in range(60):
        found.learn(0)
    assert found.distance_ms == 0


@given(st.integers(0, 5000), st.integers(0, 5000), st.lists(st.integers(0, 3)))
def test_it_stays_in_bounds(low: int, high: int, passes: list[int]) -> None:
    """The distance is never below the shortest, nor above the greater of the two bounds."""
    found = Confidence(low, high)
    for late in passes:
        found.learn(late)
        assert low <= found.distance_ms <= max(low, high)
