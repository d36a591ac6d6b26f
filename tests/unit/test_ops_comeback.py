"""When stopped tables are tried again."""

from cdcd.ops.comeback import Comeback
from cdcd.ops.retry import Backoff


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def comeback(clock: Clock) -> Comeback:
    return Comeback(Backoff(first_seconds=4.0, pause_seconds_max=60.0), clock)


def test_a_stopped_table_is_tried_later_each_time() -> None:
    """The pause between tries grows up to its limit; a table that runs is never due."""
    clock = Clock()
    stops = comeback(clock)
    assert not stops.is_due("ks.t")
    waits = []
    for _ in range(8):
        stops.stopped("ks.t", "why")
        began = clock.now
        while not stops.is_due("ks.t"):
            clock.now += 1
        waits.append(clock.now - began)
    assert waits[0] <= 4
    assert waits[2] > waits[0]
    assert 30 <= waits[-1] <= 60


def test_the_same_reason_again_is_no_news() -> None:
    """A first stop and one for another reason are news, and so is a stop after it has worked."""
    stops = comeback(Clock())
    assert stops.stopped("ks.t", "a")
    assert not stops.stopped("ks.t", "a")
    assert stops.stopped("ks.t", "b")
    assert stops.recovered("ks.t")
    assert not stops.recovered("ks.t")
    assert stops.stopped("ks.t", "b")


def test_a_change_makes_all_due() -> None:
    """When something may have mended them, all stopped tables are due, and no others."""
    stops = comeback(Clock())
    stops.stopped("ks.t", "a")
    assert not stops.is_due("ks.t")
    stops.hurry()
    assert stops.is_due("ks.t")
    assert not stops.is_due("ks.u")
    assert "ks.t" in stops
    assert "ks.u" not in stops
