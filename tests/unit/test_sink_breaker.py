"""When a table stops because too much of it is refused."""

from cdcd.config.settings import DlqSettings
from cdcd.sink.breaker import STRICT_SECONDS, Breaker

SETTINGS = DlqSettings(
    window_seconds=60, rejected_rows_min=10, rejected_share_max=0.5, rejected_rows_max=100
)


def test_few_refused_changes_are_no_flood() -> None:
    """Up to the least number even a share of all does not stop the table."""
    assert Breaker(SETTINGS).flood(0, 10, 10) is None


def test_a_share_above_the_limit_is_a_flood() -> None:
    """Past the least number the share decides, and the sentence says both numbers."""
    breaker = Breaker(SETTINGS)
    assert breaker.flood(0, 22, 11) is None
    assert breaker.flood(0, 21, 11) == "11 of 21 changes in 60 s were refused"


def test_too_many_are_a_flood_whatever_the_share() -> None:
    """A small share of much is a flood, too."""
    breaker = Breaker(SETTINGS)
    assert breaker.flood(0, 100_000, 100) is None
    assert breaker.flood(0, 100_000, 101) is not None


def test_batches_of_the_window_count_together() -> None:
    """What was written within the window counts with the batch at hand, what is older does not."""
    breaker = Breaker(SETTINGS)
    breaker.count(0, 20, 8)
    breaker.count(30, 20, 8)
    assert breaker.flood(30, 10, 10) is not None
    assert breaker.flood(59.9, 10, 10) is not None
    assert breaker.flood(60, 10, 10) is not None
    assert breaker.flood(90, 10, 10) is None


def test_looking_changes_nothing() -> None:
    """A batch that was only looked at is not counted."""
    breaker = Breaker(SETTINGS)
    for _ in range(100):
        breaker.flood(0, 10, 10)
    assert breaker.flood(0, 10, 10) is None


def test_after_a_flood_a_tenth_is_allowed_for_a_while() -> None:
    """A table that is tried again stops sooner, so that a slow flood does not go on in parts."""
    breaker = Breaker(SETTINGS)
    assert breaker.flood(0, 2, 2) is None
    breaker.trip(0)
    assert breaker.flood(60, 1, 1) is None
    assert breaker.flood(60, 2, 2) is not None
    assert breaker.flood(60, 100_000, 10) is None
    assert breaker.flood(60, 100_000, 11) is not None
    assert breaker.flood(STRICT_SECONDS + 60, 2, 2) is None
