"""The one way to try again: pauses that grow up to a limit, spread by chance.

Only `Transient` is tried again. Everything else, cancellation too, passes through at once.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cdcd.model.errors import Transient

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try. Bounds are in seconds."""

    first_seconds: float = 0.1
    factor: float = 2.0
    pause_seconds_max: float = 10.0

    def pause_seconds(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        """The pause after failed attempt 0, 1, …: between half of the step and all of it.

        `chance` gives numbers in [0, 1). Workers that failed together do not come back together.
        """
        # Past 64 doublings the limit holds anyway, and the power would overflow.
        step = min(self.first_seconds * self.factor ** min(attempt, 64), self.pause_seconds_max)
        return step * (0.5 + chance() / 2)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Time and chance, so that tests can be without either."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


Reporter = Callable[[int, float, Transient], None]


def _silent(_attempt: int, _pause_seconds: float, _error: Transient) -> None:
    pass


async def retrying(
    operation: Callable[[], Awaitable[Result]],
    backoff: Backoff,
    *,
    limit_seconds: float | None = None,
    on_retry: Reporter = _silent,
    waiting: Waiting | None = None,
) -> Result:
    """The operation's result, tried again while it raises Transient.

    With a limit the last Transient is raised when the next try would begin after it. `on_retry`
    is told the attempt that failed (from 0), the pause that follows and the failure. Pauses begin
    short again after an attempt that lasted longer than the longest of them: even if all failed
    like it, they would come no more often than with that pause.
    """
    now = waiting or Waiting()
    started = now.clock()
    attempt = 0
    while True:
        tried = now.clock()
        try:
            return await operation()
        except Transient as error:
            if now.clock() - tried > backoff.pause_seconds_max:
                attempt = 0
            pause = backoff.pause_seconds(attempt, now.chance)
            if limit_seconds is not None and now.clock() + pause - started > limit_seconds:
                raise
            on_retry(attempt, pause, error)
        await now.sleep(pause)
        attempt += 1
