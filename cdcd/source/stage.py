"""The source stage: the logs of all tables, in this worker's lanes, published in order.

What comes in: an assignment of lanes with their saved positions. What goes out: batches of changes
with the positions behind them, to a publisher that commits both together. The stage knows neither
Kafka nor PostgreSQL; whoever assigns lanes and publishes is given to it.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from cdcd.config.settings import SourceSettings
from cdcd.model.change import Batch
from cdcd.model.errors import TableStopped, Transient
from cdcd.model.lane import Assignment, LanesLost
from cdcd.model.position import Generation, Window
from cdcd.model.refresh import Request
from cdcd.model.table import TableSpec
from cdcd.ops.board import Board
from cdcd.ops.logs import get_logger
from cdcd.ops.status import StageState, TableState
from cdcd.source.catalog import Catalog, SourceTable, Why, find, read_schema
from cdcd.source.follower import Follower
from cdcd.source.generations import Generations
from cdcd.source.progress import Start
from cdcd.source.schema_watch import SchemaWatch
from cdcd.source.server_clock import ServerClock
from cdcd.source.session import Session
from cdcd.source.surroundings import STAGE, Saved, Surroundings

log = get_logger(stage=STAGE)

# Batches that wait for the publisher; with windows of `window_rows` they bound the memory.
BATCHES_WAITING_MAX = 4
# Changes past which a transaction takes no further batch: it must end well before its timeout.
TRANSACTION_CHANGES = 10_000


class Lanes(Protocol):
    """Who assigns lanes and publishes what was read in them."""

    async def assigned(self) -> Assignment:
        """Wait for the assignment that is in force, with its positions restored."""

    async def lost(self, assignment: Assignment) -> None:
        """Wait until the assignment is no longer in force."""

    async def prepare(self, table: TableSpec) -> None:
        """Make ready for the changes of a table as it is now. Raises TableStopped, Transient."""

    async def requests(self, assignment: Assignment) -> Sequence[Request]:
        """Wait for requests that came after the assignment's own."""

    async def published(self, table: TableSpec, window: Window) -> frozenset[int]:
        """The hashes of the table's published rows with times of a window, read back."""

    async def publish(self, assignment: Assignment, batches: Sequence[Batch]) -> None:
        """Commit changes and positions together. Raises LanesLost, Transient, Fatal, and
        TableStopped when nothing was committed because of one table.
        """


@dataclass(frozen=True)
class Source:
    """What the stage reads from, and how."""

    session: Session
    settings: SourceSettings
    patterns: Sequence[str]
    start: Start
    board: Board


async def run(source: Source, lanes: Lanes) -> None:
    """Read and publish until cancelled; start again from the saved positions as lanes move."""
    source.board.stage(STAGE, StageState.STARTING)
    while True:
        assignment = await lanes.assigned()
        source.board.lanes(len(assignment.lanes.owned))
        log.info("lanes assigned", lanes=sorted(assignment.lanes.owned))
        if not assignment.lanes.owned:  # more workers than lanes: stand by
            source.board.stage(STAGE, StageState.RUNNING)
            await lanes.lost(assignment)
            continue
        try:
            await _follow(source, lanes, assignment)
        except* LanesLost:
            log.info("lanes lost")


async def _follow(source: Source, lanes: Lanes, assignment: Assignment) -> None:
    """Follow every table in the assigned lanes until they are lost."""
    batches: asyncio.Queue[Batch] = asyncio.Queue(BATCHES_WAITING_MAX)
    around = Surroundings(
        session=source.session,
        settings=source.settings,
        in_flight=asyncio.Semaphore(source.settings.reads_in_flight_max),
        schema=SchemaWatch(source.session),
        clock=ServerClock(),
        board=source.board,
        start=source.start,
        lanes=assignment.lanes,
        generations=partial(_generations_of, Generations(source.session)),
        published=lanes.published,
        prepare=lanes.prepare,
        hand_on=batches.put,
    )
    async with asyncio.TaskGroup() as group:
        tables = _Tables(source, assignment, around, group)
        group.create_task(_publish(lanes, assignment, batches, tables))
        group.create_task(_watch(lanes, assignment))
        group.create_task(_follow_catalog(source, tables, around))
        group.create_task(_follow_requests(lanes, assignment, tables))


async def _watch(lanes: Lanes, assignment: Assignment) -> None:
    await lanes.lost(assignment)
    raise LanesLost


async def _publish(
    lanes: Lanes, assignment: Assignment, batches: "asyncio.Queue[Batch]", tables: "_Tables"
) -> None:
    """Publish what is there in one transaction; what comes meanwhile is the next one."""
    while True:
        ready = [await batches.get()]
        changes = len(ready[0].events)
        while changes < TRANSACTION_CHANGES and not batches.empty():
            ready.append(batches.get_nowait())
            changes += len(ready[-1].events)
        # A table that could not be published has nothing more to say: its position stays before
        # what is missing.
        while ready := [b for b in ready if not tables.is_unpublishable(b.table.full_name)]:
            try:
                await lanes.publish(assignment, ready)
                break
            except TableStopped as stopped:
                tables.stop(stopped)


async def _follow_requests(lanes: Lanes, assignment: Assignment, tables: "_Tables") -> None:
    """Hand the lanes' requests to the followers of their tables."""
    tables.ask(assignment.requests)
    while True:
        tables.ask(await lanes.requests(assignment))


async def _follow_catalog(source: Source, tables: "_Tables", around: Surroundings) -> None:
    """Look up tables and generations every few seconds; each table has a follower."""
    while True:
        try:
            await around.clock.sample(source.session)
            await tables.update(find(await read_schema(source.session), source.patterns))
            source.board.stage(STAGE, StageState.RUNNING)
        except Transient as error:
            source.board.retried(STAGE, str(error))
        await around.schema.wanted(source.settings.catalog_seconds)


class _Tables:
    """The followers of one assignment, kept in step with the catalog."""

    def __init__(
        self,
        source: Source,
        assignment: Assignment,
        around: Surroundings,
        group: asyncio.TaskGroup,
    ) -> None:
        self._board = source.board
        self._assignment = assignment
        self._around = around
        self._group = group
        self._following: dict[str, tuple[Follower, asyncio.Task[None]]] = {}
        # Only the very first start may leave something out; what this worker finds later, or after
        # it was away, was made meanwhile.
        self._start = Start.LOG if assignment.positions else source.start
        self._told: set[str] = set()
        self._unpublishable: set[str] = set()
        # Requests for tables that the catalog has not shown yet.
        self._waiting: dict[str, list[Request]] = {}

    def ask(self, requests: Iterable[Request]) -> None:
        """Hand requests to their tables' followers."""
        for request in requests:
            if request.table in self._following:
                self._following[request.table][0].ask(request)
            else:
                self._waiting.setdefault(request.table, []).append(request)

    async def update(self, catalog: Catalog) -> None:
        """Begin new tables, tell followers of changed ones, end those that cannot go on."""
        failed: list[Transient] = []
        for name, table in catalog.tables.items():
            try:
                generations = await self._around.generations(table)
            except Transient as error:
                failed.append(error)
                continue
            if name in self._following:
                self._following[name][0].update(table, generations, catalog.version)
            else:
                self._begin(table, generations, catalog.version)
        for name, wrong in catalog.refused.items():
            await self._end(name, wrong)
        for name, why in catalog.passed_over.items():
            if name in self._following:
                await self._end(name, why)
            elif name not in self._told:
                log.info("table passed over", table=name, reason=why.reason)
                self._told.add(name)
        for name in self._following.keys() - catalog.tables.keys() - self._told:
            await self._end(name, Why("was dropped", "its target stays as it is"))
        self._start = Start.LOG
        if failed:
            raise failed[0]

    def _begin(self, table: SourceTable, generations: tuple[Generation, ...], version: str) -> None:
        name = table.spec.full_name
        self._told.discard(name)
        saved = Saved(
            self._assignment.positions.get(name, {}),
            self._assignment.cells.get(name, {}),
            tuple(entry for entry in self._assignment.listed if entry.table == name),
        )
        follower = Follower(saved, replace(self._around, start=self._start))
        follower.update(table, generations, version)
        for request in self._waiting.pop(name, ()):
            follower.ask(request)
        self._board.table(name, TableState.RUNNING, stage=STAGE)
        task = self._group.create_task(_guarded(follower, self._board))
        self._following[name] = (follower, task)

    async def _end(self, name: str, why: Why) -> None:
        if name in self._told:
            return
        self._told.add(name)
        if name in self._following:
            follower, task = self._following[name]
            task.cancel()
            if why.leaves_gap:
                await self._around.hand_on(follower.gap())
        stopped = TableStopped(name, why.reason, why.hint, needs_snapshot=why.leaves_gap)
        _stop(self._board, stopped)

    def stop(self, stopped: TableStopped) -> None:
        """End a table whose changes cannot be published."""
        self._unpublishable.add(stopped.table)
        if stopped.table in self._following:
            self._following[stopped.table][1].cancel()
        _stop(self._board, stopped)

    def is_unpublishable(self, name: str) -> bool:
        """Whether nothing more of a table may be published."""
        return name in self._unpublishable


async def _generations_of(generations: Generations, table: SourceTable) -> tuple[Generation, ...]:
    found = (
        await generations.of_table(table.spec.keyspace, table.spec.name)
        if table.tablets
        else await generations.of_vnodes()
    )
    if not found:
        raise Transient(f"ScyllaDB: there is no stream generation for {table.spec.full_name} yet")
    return found


async def _guarded(follower: Follower, board: Board) -> None:
    """Run a follower; a table that cannot go on stops alone."""
    try:
        await follower.run()
    except TableStopped as stopped:
        _stop(board, stopped)


def _stop(board: Board, stopped: TableStopped) -> None:
    state = TableState.NEEDS_SNAPSHOT if stopped.needs_snapshot else TableState.STOPPED
    board.table(stopped.table, state, str(stopped), stage=STAGE)
    log.error("table stopped", table=stopped.table, reason=stopped.message, hint=stopped.hint)
