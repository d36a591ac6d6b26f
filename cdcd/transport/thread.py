"""Where blocking client calls run: one thread for each client, as the clients want it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class OneThread:
    """Runs blocking calls one after the other in a thread of their own."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, name)

    async def call(self, function: Callable[..., Result], *args: object) -> Result:
        """The function's result. When cancelled it waits for the call to end before it goes: a
        transaction is never left running behind the back of what comes next.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, function, *args)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # looked at: whoever was cancelled has no use for it
            raise

    def close(self) -> None:
        """End the thread; nothing runs in it any more."""
        self._executor.shutdown(wait=False)
