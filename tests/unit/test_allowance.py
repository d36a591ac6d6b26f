"""What a stop may read is learned from what stops took."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.source.allowance import (
    READS_FIRST,
    READS_MAX,
    READS_MIN,
    ROWS_FIRST,
    ROWS_MAX,
    ROWS_MIN,
    Allowance,
    Spent,
)

LIMIT_SECONDS = 0.1


def used(allowance: Allowance, seconds: float) -> None:
    """A stop that used all that it was allowed."""
    allowance.learn(Spent(allowance.reads, allowance.rows, seconds, 0.0))


def test_quick_stops_may_read_more() -> None:
    """After short stops that used all they might more is allowed, up to a limit."""
    allowance = Allowance(LIMIT_SECONDS)
    used(allowance, 0.01)
    assert allowance.reads > READS_FIRST
    assert allowance.rows > ROWS_FIRST
    for _ in range(50):
        used(allowance, 0.01)
    assert (allowance.reads, allowance.rows) == (READS_MAX, ROWS_MAX)


def test_long_stops_read_less() -> None:
    """After stops that took too long less is allowed, down to what makes progress."""
    allowance = Allowance(LIMIT_SECONDS)
    used(allowance, 0.2)
    assert allowance.rows == ROWS_FIRST // 2
    for _ in range(50):
        used(allowance, 10)
    assert (allowance.reads, allowance.rows) == (READS_MIN, ROWS_MIN)


def test_what_was_not_used_is_not_judged() -> None:
    """A short stop that read little says nothing; a long one speaks of what it read."""
    allowance = Allowance(LIMIT_SECONDS)
    allowance.learn(Spent(1, 0, 0.001, 0.0))
    assert (allowance.reads, allowance.rows) == (READS_FIRST, ROWS_FIRST)
    allowance.learn(Spent(1, 0, 5.0, 0.0))
    assert allowance.reads < READS_FIRST
    assert allowance.rows == ROWS_FIRST


def test_what_every_stop_costs_is_left_out() -> None:
    """Where a commit alone takes longer than the limit, reading does not shrink to nothing."""
    allowance = Allowance(LIMIT_SECONDS)
    for _ in range(20):
        allowance.learn(Spent(0, allowance.rows, 0.01, 0.3))
    assert allowance.rows == ROWS_MAX


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=30))
def test_limits_hold(stops: list[tuple[float, float]]) -> None:
    """Whatever stops take, what is allowed stays within its bounds."""
    allowance = Allowance(LIMIT_SECONDS)
    for read_seconds, publish_seconds in stops:
        allowance.learn(Spent(allowance.reads, allowance.rows, read_seconds, publish_seconds))
        assert READS_MIN <= allowance.reads <= READS_MAX
        assert ROWS_MIN <= allowance.rows <= ROWS_MAX
