"""Whose turn it is among a table's batches: they are applied in order, and copied before that.

A batch is copied in a transaction of its own while the batch before is still applied. From its turn
on it holds the table's lock, until it is written or given up.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from cdcd.model.errors import Transient

# How long a batch that was copied waits for its turn with its transaction open.
OPEN_SECONDS_MAX = 5.0


class Void(Exception):
    """What was read is no longer to be written."""


class Turn:
    """A batch's place behind the one before it."""

    def __init__(
        self, before: asyncio.Event, lock: asyncio.Lock, is_void: Callable[[], bool]
    ) -> None:
        self._before = before
        self._lock = lock
        self._is_void = is_void

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
        of the block the lock is held. That raises Void, and Transient when it takes too long.
        """
        async with AsyncExitStack() as held:
            is_held = False

            async def come() -> None:
                nonlocal is_held
                try:
                    async with asyncio.timeout(OPEN_SECONDS_MAX):
                        await self._before.wait()
                except TimeoutError:
                    raise Transient("PostgreSQL: the batch before takes long") from None
                if not is_held:
                    await held.enter_async_context(self._lock)
                    is_held = True
                if self._is_void():
                    raise Void

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
