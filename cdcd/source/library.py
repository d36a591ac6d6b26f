"""The source alone, as a library: the changes of some tables, without Kafka and PostgreSQL.

`docs/LIBRARY.md` shows it. What comes out are the changes that cdcd would publish, in order for
each partition; what a reader has taken is what it need not be given again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from cdcd.config.settings import ScyllaSettings, SourceSettings
from cdcd.model.change import Batch, ChangeEvent
from cdcd.model.control import Control
from cdcd.model.errors import TableStopped, leading
from cdcd.model.fingerprint import Cell, Fingerprint
from cdcd.model.lane import Assignment, LaneSet
from cdcd.model.position import Position
from cdcd.model.published import Sought, TakePublished
from cdcd.model.refresh import Listed, Request
from cdcd.model.table import TableSpec
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.status import BROKEN
from cdcd.source import stage
from cdcd.source.catalog import find, read_schema
from cdcd.source.progress import Start
from cdcd.source.session import Session

LANES = 16
# How often a reader that waits looks whether its tables are still read.
LOOK_SECONDS = 1.0


class Changes:
    """Changes to iterate over, and where to go on later: `saved`.

    Each change comes at least once, late ones (`is_late`) behind their time and followed by the row
    as it is (`Operation.READ`). Iterating raises TableStopped when none of the tables goes on.
    """

    def __init__(self, board: Board, saved: Assignment | None) -> None:
        self._board = board
        begun = saved or Assignment(LaneSet(frozenset(range(LANES)), LANES), {})
        self._lanes = begun.lanes
        self._positions: dict[str, dict[int, Position]] = {
            name: dict(found) for name, found in begun.positions.items()
        }
        self._cells: dict[str, dict[Cell, Fingerprint]] = {
            name: dict(found) for name, found in begun.cells.items()
        }
        self._requests = {request.id: request for request in begun.requests}
        self._listed: dict[str, Listed] = {entry.id: entry for entry in begun.listed}
        self._asked: asyncio.Queue[Request] = asyncio.Queue()
        self._ready: asyncio.Queue[tuple[ChangeEvent, ...]] = asyncio.Queue(1)
        self._taking: deque[ChangeEvent] = deque()
        self._taken = asyncio.Event()

    @property
    def saved(self) -> Assignment:
        """Where to go on: all that was taken need not come again. Plain values, for `changes`."""
        return Assignment(
            self._lanes,
            {name: dict(found) for name, found in self._positions.items()},
            tuple(self._requests.values()),
            {name: dict(found) for name, found in self._cells.items()},
            tuple(self._listed.values()),
        )

    @property
    def stopped(self) -> dict[str, str]:
        """Why tables have stopped, by their names."""
        tables = self._board.snapshot().tables
        return {table.table: table.reason for table in tables if table.state in BROKEN}

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ChangeEvent:
        """The next change; asking for it says that the one before was taken."""
        while not self._taking:
            self._taken.set()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    self._taking.extend(await self._ready.get())
            except TimeoutError:
                self._check()
        return self._taking.popleft()

    def _check(self) -> None:
        tables, stopped = self._board.snapshot().tables, self.stopped
        if tables and len(stopped) == len(tables):
            name, reason = next(iter(stopped.items()))
            raise TableStopped(name, reason.removeprefix(f"{name}: "))

    async def assigned(self) -> Assignment:
        """All lanes."""
        return self.saved

    async def lost(self, _: Assignment) -> None:
        """Never."""
        await asyncio.Event().wait()

    async def restored(self, _: Assignment) -> Assignment:
        """What was taken so far."""
        return self.saved

    async def requests(self, _: Assignment) -> Sequence[Request]:
        """What the source itself asked for."""
        return [await self._asked.get()]

    async def prepare(self, _: TableSpec) -> None:
        """Nothing to make."""

    async def destination(self, _: TableSpec) -> None:
        """Whoever iterates is the only one."""

    async def published(self, _table: TableSpec, _: Sought, _take: TakePublished) -> bool:
        """Nobody remembers: where hashes are forgotten, changes come again as late ones."""
        return False

    async def publish(self, _: Assignment, batches: Sequence[Batch]) -> None:
        """Hand the changes on, and go on when they were taken."""
        for batch in batches:
            if batch.events:
                self._taken.clear()
                await self._ready.put(tuple(batch.events))
                await self._taken.wait()
            self._keep(batch)
            if batch.published is not None:
                batch.published()

    def _keep(self, batch: Batch) -> None:
        name = batch.table.full_name
        self._positions.setdefault(name, {}).update(batch.positions)
        cells = self._cells.setdefault(name, {})
        for cell, fingerprint in batch.cells.items():
            if fingerprint is None:
                cells.pop(cell, None)
            else:
                cells[cell] = fingerprint
        for entry, keep in batch.listed:
            self._listed.pop(entry.id, None)
            if keep:
                self._listed[entry.id] = entry
        for request in batch.served:
            self._requests.pop(request.id, None)
        for request in batch.asked:
            self._requests[request.id] = request
            self._asked.put_nowait(request)


@asynccontextmanager
async def changes(
    scylla: ScyllaSettings,
    *tables: str,
    start: Start = Start.LOG,
    saved: Assignment | None = None,
    settings: SourceSettings | None = None,
) -> AsyncIterator[Changes]:
    """The changes of tables, named `keyspace.table` or by patterns.

    They begin at what was `saved`, else at the oldest change that the log keeps, or now with
    `Start.NOW`. Raises ConfigurationError for a table that cannot be read, and Transient when
    ScyllaDB does not answer at the start; later the source waits for it.
    """
    board = Board("library", "library")
    found = Changes(board, saved)
    async with Session.open(scylla) as session:
        find(await read_schema(session), tables).require(tables)
        wanted = Directions(Control(tables))
        # Nothing remembers what came hours ago, so no audit can tell what is late.
        settings = (settings or SourceSettings()).model_copy(update={"audit_delay_seconds": 0.0})
        source = stage.Source(session, settings, wanted, start, board)
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(stage.run(source, found))
                yield found
                reading.cancel()
        except BaseExceptionGroup as failed:
            raise leading(failed) from failed
