"""How stages come up and stay up: waiting at the start, and starting again after a failure."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cdcd.model.errors import Fatal, Transient, leading
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


async def supervised(once: Callable[[], Awaitable[None]], stage: str, board: Board) -> None:
    """Run a stage for ever: after a transient failure it starts again from what is saved."""

    async def unwrapped() -> None:
        try:
            await once()
        except BaseExceptionGroup as group:
            raise leading(group) from group

    def report(_attempt: int, _pause_seconds: float, error: Transient) -> None:
        board.retried(stage, str(error))
        log.warning("stage starts again", stage=stage, reason=str(error))

    await retrying(unwrapped, Backoff(), on_retry=report)
