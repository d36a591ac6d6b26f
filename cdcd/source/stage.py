"""The source stage: the logs of all tables, in this worker's lanes, published in order.

What comes in: an assignment of lanes with their saved positions. What goes out: batches of changes
with the positions behind them, to a publisher that commits both together. The stage knows neither
Kafka nor PostgreSQL; whoever assigns lanes and publishes is given to it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cdcd.config.settings import SourceSettings
from cdcd.model.change import Batch
from cdcd.model.destination import Destination
from cdcd.model.errors import TableStopped, Transient
from cdcd.model.lane import Assignment, LanesLost
from cdcd.model.position import Generation
from cdcd.model.published import Sought, TakePublished
from cdcd.model.refresh import Request
from cdcd.model.table import TableSpec
from cdcd.ops.attempt import attempted
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.logs import get_logger
from cdcd.ops.status import StageState
from cdcd.source.catalog import SourceTable, find, read_schema
from cdcd.source.generations import Generations
from cdcd.source.idling import PAUSE_MS_MAX, Idling
from cdcd.source.progress import Start
from cdcd.source.schema_watch import SchemaWatch
from cdcd.source.server_clock import ServerClock
from cdcd.source.session import Session
from cdcd.source.surroundings import STAGE, Surroundings
from cdcd.source.tables import Tables

log = get_logger(stage=STAGE)

# Batches that wait for the publisher; with windows of `window_rows` they bound the memory.
BATCHES_WAITING_MAX = 2
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

    async def destination(self, table: TableSpec) -> Destination | None:
        """Where the changes of a table go, which is made if it is not there. None is not known, and
        the same for ever. Raises TableStopped, Transient.
        """

    async def requests(self, assignment: Assignment) -> Sequence[Request]:
        """Wait for requests that came after the assignment's own."""

    async def restored(self, assignment: Assignment) -> Assignment:
        """What is saved now for the lanes of the assignment. Raises LanesLost, Transient."""

    async def published(self, table: TableSpec, sought: Sought, take: TakePublished) -> bool:
        """Hand on the table's published rows that are sought, read back; false where nobody
        remembers any.
        """

    async def publish(self, assignment: Assignment, batches: Sequence[Batch]) -> None:
        """Commit changes and positions together. Raises LanesLost, Transient, Fatal, and
        TableStopped when nothing was committed because of one table.
        """


@dataclass(frozen=True)
class Source:
    """What the stage reads from, and how; `full_rows` says which tables' changes are to come with
    whole rows, `pause_ms_max` to what pauses of idle tables may grow.
    """

    session: Session
    settings: SourceSettings
    directions: Directions
    start: Start
    board: Board
    full_rows: Callable[[str], bool] = lambda _: False
    pause_ms_max: int = PAUSE_MS_MAX


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
            await attempted(partial(_follow, source, lanes, assignment))
        except* LanesLost:
            log.info("lanes lost")


async def _follow(source: Source, lanes: Lanes, assignment: Assignment) -> None:
    """Follow every table in the assigned lanes until they are lost."""
    batches: asyncio.Queue[Batch] = asyncio.Queue(BATCHES_WAITING_MAX)
    generations = Generations(source.session)
    set_ms = int(source.settings.idle_window_seconds_max * 1000)
    around = Surroundings(
        session=source.session,
        settings=source.settings,
        in_flight=asyncio.Semaphore(source.settings.reads_in_flight_max),
        schema=SchemaWatch(source.session),
        clock=ServerClock(),
        board=source.board,
        start=source.start,
        lanes=assignment.lanes,
        generations=partial(_known, generations.of),
        seen=partial(_known, generations.seen),
        published=lanes.published,
        prepare=lanes.prepare,
        hand_on=batches.put,
        full_rows=source.full_rows,
        destination=lanes.destination,
        idling=Idling(set_ms, source.settings.idle_reads_per_second_max, source.pause_ms_max),
    )
    async with asyncio.TaskGroup() as group:
        start = source.start
        tables = Tables(assignment, around, start, partial(lanes.restored, assignment), group)
        group.create_task(_publish(lanes, assignment, batches, tables))
        group.create_task(_watch(lanes, assignment))
        group.create_task(_follow_catalog(source, tables, generations, around))
        group.create_task(_follow_requests(lanes, assignment, tables))
        group.create_task(_follow_directions(source.directions, around.schema))


async def _watch(lanes: Lanes, assignment: Assignment) -> None:
    await lanes.lost(assignment)
    raise LanesLost


async def _publish(
    lanes: Lanes, assignment: Assignment, batches: "asyncio.Queue[Batch]", tables: Tables
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
        while ready := [b for b in ready if not tables.is_unpublishable(b)]:
            try:
                await lanes.publish(assignment, ready)
                break
            except TableStopped as stopped:
                tables.stop(stopped)


async def _follow_requests(lanes: Lanes, assignment: Assignment, tables: Tables) -> None:
    """Hand the lanes' requests to the followers of their tables."""
    tables.ask(assignment.requests)
    while True:
        tables.ask(await lanes.requests(assignment))


async def _follow_directions(directions: Directions, schema: SchemaWatch) -> None:
    """Have the tables looked at as soon as operators want something else of them."""
    seen = directions.now
    while True:
        seen = await directions.change_from(seen)
        schema.want_catalog()


async def _follow_catalog(
    source: Source, tables: Tables, generations: Generations, around: Surroundings
) -> None:
    """Look up tables and generations every few seconds; each table has a follower."""
    while True:
        try:
            await around.clock.sample(source.session)
            schema = await read_schema(source.session)
            directions = source.directions.now
            catalog = find(schema, directions.tables)
            await generations.look(catalog.tables.values())
            await tables.update(catalog, directions)
            source.board.stage(STAGE, StageState.RUNNING)
        except Transient as error:
            source.board.retried(STAGE, str(error))
        await around.schema.wanted(source.settings.catalog_seconds)


async def _known(
    of: Callable[[SourceTable], Awaitable[tuple[Generation, ...]]], table: SourceTable
) -> tuple[Generation, ...]:
    """A table's generations, of which it must have one. Raises Transient."""
    found = await of(table)
    if not found:
        raise Transient(f"ScyllaDB: there is no stream generation for {table.spec.full_name} yet")
    return found
