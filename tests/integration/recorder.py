"""Lanes that are all one worker's for ever, and keep what is published."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from cdcd.model.change import Batch, ChangeEvent
from cdcd.model.destination import Destination
from cdcd.model.lane import Assignment
from cdcd.model.position import Position
from cdcd.model.refresh import Request
from cdcd.model.table import TableSpec
from tests.integration.keyspaces import ALL_LANES


class Recorder:
    """Lanes that are all this worker's for ever, and keep what is published."""

    def __init__(self) -> None:
        self.events: list[ChangeEvent] = []
        self.positions: dict[str, dict[int, Position]] = {}
        self.assignment = Assignment(ALL_LANES, {})

    async def assigned(self) -> Assignment:
        """All lanes, from the beginning."""
        return self.assignment

    async def lost(self, _: Assignment) -> None:
        """Never."""
        await asyncio.Event().wait()

    async def requests(self, _: Assignment) -> Sequence[Request]:
        """None."""
        await asyncio.Event().wait()
        return ()

    async def restored(self, _: Assignment) -> Assignment:
        """What was kept."""
        return replace(self.assignment, positions=self.positions)

    async def prepare(self, _: TableSpec) -> None:
        """Nothing to make."""

    async def destination(self, _: TableSpec) -> Destination | None:
        """One that never changes."""
        return None

    async def published(self, *_: object) -> bool:
        """Nothing that has to be read back."""
        return False

    async def publish(self, _: Assignment, batches: Sequence[Batch]) -> None:
        """Keep the batches."""
        for batch in batches:
            self.events += batch.events
            self.positions.setdefault(batch.table.full_name, {}).update(batch.positions)
            if batch.published is not None:
                batch.published()

    def of(self, table: str) -> list[ChangeEvent]:
        """The changes of a table."""
        return [e for e in self.events if e.table.full_name == table and e.identity is not None]

    async def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Return when the condition holds."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  the stage tells nobody what it published
                await asyncio.sleep(0.02)
