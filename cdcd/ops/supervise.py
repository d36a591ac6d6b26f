"""How stages come up and stay up: waiting at the start, and starting again after a failure."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cdcd.model.errors import Fatal, Fenced, Transient, leading
from cdcd.ops.attempt import attempted
from cdcd.ops.board import Board
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff, retrying

Result = TypeVar("Result")

log = get_logger()


class Starting:
    """Waits at the start for servers that are away, up to one limit for all of them."""

    def __init__(self, limit_seconds: float) -> None:
        self._ends = asyncio.get_running_loop().time() + limit_seconds

    async def reach(self, operation: Callable[[], Awaitable[Result]]) -> Result:
        """The operation's result. Raises Fatal when it is still away at the limit."""
        left_seconds = self._ends - asyncio.get_running_loop().time()
        try:
            return await retrying(operation, Backoff(), limit_seconds=max(left_seconds, 0.0))
        except Transient as error:
            raise Fatal(error.message, error.hint or "is it up?") from error


class Fences:
    """How often this process has found its name taken, which once may mean nothing.

    A member of a group that comes back after an outage of Kafka is another one for the brokers,
    and its own request of before, still on the way, is refused as a double's. So the first time
    the stage begins anew. A double that is there is told so by that, and does the same: whoever
    is told again within the time ends, which is the one that was told first.
    """

    # The shortest is longer than a stage needs to begin, so that one beginning does not tell a
    # double twice; and two that were started at once do not go on in step.
    PAUSE_SECONDS = 3.0, 6.0
    # Two pauses, and the way of both into the group, each up to two sessions of at most ten.
    MEMORY_SECONDS = 60.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = -math.inf

    def is_first(self) -> bool:
        """Note that the name is taken; whether that is so for the first time of late."""
        now = self._clock()
        before, self._last = self._last, now
        return now - before > self.MEMORY_SECONDS


async def supervised(once: Callable[[], Awaitable[None]], stage: str, board: Board) -> None:
    """Run a stage for ever: after a transient failure it starts again from what is saved."""
    fences = Fences()

    async def unwrapped() -> None:
        try:
            await attempted(once)
        except ExceptionGroup as group:
            raise leading(group) from group

    async def forgiving() -> None:
        try:
            await unwrapped()
        except Fenced as fenced:
            if not fences.is_first():
                raise
            await asyncio.sleep(random.uniform(*Fences.PAUSE_SECONDS))  # noqa: S311
            raise Transient(fenced.message, "or a late request of its own came in") from fenced

    def report(_attempt: int, _pause_seconds: float, error: Transient) -> None:
        board.retried(stage, str(error))
        log.warning("stage starts again", stage=stage, reason=str(error))

    await retrying(forgiving, Backoff(), on_retry=report)
