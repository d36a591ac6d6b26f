"""Trying again: pauses grow, are bounded and spread, and only what may pass is repeated."""

import asyncio

import pytest

from cdcd.model.errors import ConfigurationError, Transient
from cdcd.ops.retry import Backoff, Waiting, retrying


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_seconds = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now_seconds

    async def sleep(self, seconds: float) -> None:
        """Note the pause and let it pass."""
        self.pauses.append(seconds)
        self.now_seconds += seconds

    def waiting(self, chance: float = 1.0) -> Waiting:
        """Waiting by this clock."""
        return Waiting(clock=self, sleep=self.sleep, chance=lambda: chance)


class Failing:
    """Fails a number of times, then gives its name."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "done"


AWAY = Transient("away")


def test_pauses_double_up_to_the_limit() -> None:
    """Each pause is twice the one before, and none is longer than the limit."""
    backoff = Backoff(first_seconds=1, pause_seconds_max=5)
    assert [backoff.pause_seconds(n, lambda: 1.0) for n in range(5)] == [1, 2, 4, 5, 5]


def test_pauses_are_spread_over_the_upper_half() -> None:
    """Chance takes away up to half of a pause, so that workers do not come back together."""
    backoff = Backoff(first_seconds=1)
    assert backoff.pause_seconds(0, lambda: 0.0) == 0.5


def test_a_month_of_failures_does_not_overflow() -> None:
    """Any number of attempts gives a pause."""
    assert Backoff().pause_seconds(10**6, lambda: 1.0) == 10.0


async def test_what_may_pass_is_repeated() -> None:
    """Transient failures are tried again until it works, and each is reported."""
    clock, seen = Clock(), []
    result = await retrying(
        Failing(2, AWAY),
        Backoff(first_seconds=1),
        on_retry=lambda attempt, pause, error: seen.append((attempt, pause, error)),
        waiting=clock.waiting(),
    )
    assert result == "done"
    assert seen == [(0, 1.0, AWAY), (1, 2.0, AWAY)]
    assert clock.pauses == [1.0, 2.0]


async def test_the_last_failure_is_raised_at_the_limit() -> None:
    """With a limit no try begins after it, and the failure of the last one is raised."""
    clock, failing = Clock(), Failing(10**6, AWAY)
    with pytest.raises(Transient):
        await retrying(failing, Backoff(first_seconds=1), limit_seconds=7, waiting=clock.waiting())
    assert failing.calls == 4
    assert clock.now_seconds <= 7


@pytest.mark.parametrize("error", [ConfigurationError("wrong"), ValueError("bug")])
async def test_what_does_not_pass_is_not_repeated(error: Exception) -> None:
    """Failures of other kinds come through at once."""
    failing = Failing(1, error)
    with pytest.raises(type(error)):
        await retrying(failing, Backoff(), waiting=Clock().waiting())
    assert failing.calls == 1


async def test_cancellation_ends_the_waiting() -> None:
    """A pause can be cancelled."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await retrying(Failing(10**6, AWAY), Backoff(first_seconds=60))


async def test_pauses_begin_short_after_a_long_attempt() -> None:
    """A failure after a good run is a new trouble, and not the next one of the old."""
    clock = Clock()
    lasting = iter([0, 0, 0, 11, 0])

    async def runs_and_fails() -> None:
        clock.now_seconds += next(lasting, 0)
        raise AWAY

    backoff = Backoff(first_seconds=1, pause_seconds_max=10)
    with pytest.raises(Transient):
        await retrying(runs_and_fails, backoff, limit_seconds=22, waiting=clock.waiting())
    assert clock.pauses == [1, 2, 4, 1, 2]
