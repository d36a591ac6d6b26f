"""What operators want of this worker, as it was last read; stages look here and wait for changes.

All calls come from the event loop's thread.
"""

import asyncio

from cdcd.model.control import Control


class Directions:
    """The control of a pipeline, kept up to date by whoever reads it."""

    def __init__(self, control: Control | None = None) -> None:
        self._now = control or Control()
        self._changed = asyncio.Event()

    @property
    def now(self) -> Control:
        """As it was last read."""
        return self._now

    def give(self, control: Control) -> None:
        """It is this from now on."""
        if control != self._now:
            self._now = control
            self._changed.set()
            self._changed = asyncio.Event()

    async def change_from(self, seen: Control) -> Control:
        """Wait until it is another one than what was seen."""
        while self._now == seen:
            await self._changed.wait()
        return self._now
