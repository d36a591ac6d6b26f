"""Whose turn it is among a table's batches: they are applied in order, and copied before that.

A batch whose turn has come takes the table's lock and then a connection, as all do who take both. A
batch that is copied ahead has its connection before the lock, and there are connections for the
others always (`Pool.ahead`). Before its turn a batch ends only because it is void: a turn may then
seem to have come while an earlier batch is still at work, and whoever takes it is void too.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

# How long a batch that was copied waits for its turn with its transaction open.
OPEN_SECONDS_MAX = 5.0


class Void(Exception):
    """What was read is no longer to be written."""


class NotYet(Exception):
    """The turn has not come in time."""


class Turn:
    """A batch's place behind the one before it."""

    def __init__(
        self, before: asyncio.Event, lock: asyncio.Lock, is_void: Callable[[], bool]
    ) -> None:
        self._before = before
        self._lock = lock
        self._is_void = is_void
        # When it was taken, by the monotonic clock.
        self.came_at = 0.0

    @property
    def has_come(self) -> bool:
        """Whether the batch before is done."""
        return self._before.is_set()

    async def wait(self) -> None:
        """Return when it is."""
        await self._before.wait()

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Gives what to await before anything is done that others see: from then on until the end
        of the block the lock is held. That raises Void, and NotYet when it takes too long; a void
        batch is told at once.
        """
        async with AsyncExitStack() as held:
            is_held = False

            async def come() -> None:
                nonlocal is_held
                try:
                    async with asyncio.timeout(OPEN_SECONDS_MAX):
                        await self._before.wait()
                except TimeoutError:
                    raise NotYet from None
                if not is_held:
                    await held.enter_async_context(self._lock)
                    is_held, self.came_at = True, time.monotonic()
                if self._is_void():
                    raise Void

            if self._is_void():
                raise Void
            if self.has_come:
                await come()
            yield come


class Turns:
    """A table's turns, in the order in which they are asked for."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self._lock = lock
        self._last = asyncio.Event()
        self._last.set()

    @contextmanager
    def next(self, is_void: Callable[[], bool]) -> Iterator[Turn]:
        """The turn of one batch, which is done with the block."""
        before, done = self._last, asyncio.Event()
        self._last = done
        try:
            yield Turn(before, self._lock, is_void)
        finally:
            done.set()
