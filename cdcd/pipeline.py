"""The one page that wires everything: clients, stages, health, and how it all ends."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cdcd.config.masks import check_masks
from cdcd.config.settings import Settings
from cdcd.config.tables import require_columns, settings_of
from cdcd.model.errors import ConfigurationError
from cdcd.ops import garbage, health, heap
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.life import Limits, live
from cdcd.ops.login import TakeLogin, leased_login
from cdcd.ops.logs import get_logger
from cdcd.ops.rotation import Rotation, require
from cdcd.ops.status import StageState
from cdcd.ops.supervise import Starting, supervised
from cdcd.reconcile import continuous
from cdcd.sink import offsets
from cdcd.sink import stage as sink_stage
from cdcd.sink.pool import Pool
from cdcd.sink.schema import prepare_database
from cdcd.source import stage as source_stage
from cdcd.source.catalog import find, read_schema
from cdcd.source.idling import PAUSE_MS_MAX
from cdcd.source.progress import Start
from cdcd.source.session import Session
from cdcd.transport import control
from cdcd.transport.lane_state import settle_tables
from cdcd.transport.lanes import PublishingLanes
from cdcd.transport.registry import Registry
from cdcd.transport.topics import Topics

if TYPE_CHECKING:
    from cdcd.ops.tracing import Tracing

log = get_logger()


@dataclass(frozen=True)
class RunRequest:
    """What to run: table patterns, none for those that the pipeline has; stages (`source`, `sink`);
    and where new tables begin.
    """

    patterns: tuple[str, ...]
    stages: frozenset[str]
    start: str = "snapshot"


@dataclass(frozen=True)
class Renewal:
    """How settings change while the daemon runs: `changed` gives them anew when a secret that they
    name has changed, `reload` takes over what may change on SIGHUP.
    """

    changed: Callable[[], Awaitable[Settings]]
    reload: Callable[[], None]


async def run(settings: Settings, request: RunRequest, renewal: Renewal) -> None:
    """Run the stages until a signal. Raises CdcdError when the process cannot go on."""
    heap.share()
    garbage.expect_little()
    require(settings)
    board = Board(settings.name, settings.instance)
    limits = Limits(settings.stop_timeout_seconds, settings.stall_timeout_seconds)
    async with (
        _traced(settings, board) as tracing,
        health.serve(settings.http, board.snapshot, board.exposition),
    ):
        work = partial(_run_renewed, settings, request, renewal, board, tracing)
        await live(work, board, limits, renewal.reload)


def _traced(settings: Settings, board: Board) -> "AbstractAsyncContextManager[Tracing | None]":
    if settings.tracing.endpoint is None:
        return nullcontext()
    try:
        from cdcd.ops.tracing import tracing_to  # noqa: PLC0415  its library need not be there
    except ImportError as error:
        raise ConfigurationError(
            f"[tracing] has an endpoint, and OpenTelemetry is not installed: {error}",
            "install cdcd with its extra: pip install 'PATH-OF-THE-WHEEL[otel]'",
        ) from error
    return tracing_to(settings, board.spans)


async def _run_renewed(
    settings: Settings,
    request: RunRequest,
    renewal: Renewal,
    board: Board,
    tracing: "Tracing | None",
) -> None:
    """Run the stages; begin them anew, in this process, with secrets and certificates that have
    changed.
    """
    while True:
        rotation = Rotation(settings, board.certificates)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_run_stages(settings, request, board, tracing))
            changed = group.create_task(_as_coroutine(renewal.changed))
            rotated = group.create_task(rotation.changed())
            tasks = running, changed, rotated
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        if not changed.cancelled():
            settings = changed.result()
            log.info("secrets have changed: the stages begin anew with them")
        elif not rotated.cancelled():
            log.info("certificates have changed: the stages begin anew with them")
        else:
            return


async def _as_coroutine(changed: Callable[[], Awaitable[Settings]]) -> Settings:
    return await changed()


async def _run_stages(
    settings: Settings, request: RunRequest, board: Board, tracing: "Tracing | None"
) -> None:
    for stage in sorted(request.stages):
        board.stage(stage, StageState.STARTING)
    starting = Starting(settings.start_timeout_seconds)
    async with Registry(settings.registry) as registry:
        await starting.reach(registry.ping)
    async with leased_login(settings, starting, board.lease) as login:
        applied = []
        if "sink" in request.stages:
            applied = await starting.reach(lambda: _reach_postgres(settings, login))
        await starting.reach(lambda: _settle_tables(settings, request, applied))
        async with (
            control.following(settings.kafka, settings.name) as directions,
            asyncio.TaskGroup() as group,
        ):
            worker = _Worker(settings, starting, directions, login, board, tracing)
            if "source" in request.stages:
                group.create_task(_run_source(worker, Start(request.start)))
            if "sink" in request.stages:
                group.create_task(_run_sink(worker))


@dataclass(frozen=True)
class _Worker:
    """What both stages of a worker are given; `login` is for PostgreSQL, where it is leased."""

    settings: Settings
    starting: Starting
    directions: Directions
    login: TakeLogin | None
    board: Board
    tracing: "Tracing | None"


async def _run_source(worker: _Worker, start: Start) -> None:
    """The source stage; its Kafka clients are made anew after a transient failure."""
    settings, starting, board = worker.settings, worker.starting, worker.board
    registry = Registry(settings.registry)
    session = Session(settings.scylla)
    try:
        await starting.reach(session.connect)
        schema = await starting.reach(lambda: read_schema(session))
        patterns = worker.directions.now.tables
        found = find(schema, patterns)
        found.require(patterns)
        specs = [table.spec for table in found.tables.values()]
        require_columns(settings.tables, {s.full_name: [c.name for c in s.columns] for s in specs})
        check_masks(settings.tables, settings.masking, specs)
        full = partial(_wants_full_rows, settings)
        # What waits is not to be taken for what stands still.
        pause_ms_max = min(PAUSE_MS_MAX, int(settings.stall_timeout_seconds * 1000 / 4))
        source = source_stage.Source(
            session, settings.source, worker.directions, start, board, full, pause_ms_max
        )

        async def once() -> None:
            async with (
                PublishingLanes.open(settings, registry, board, worker.tracing) as lanes,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(source_stage.run(source, lanes))
                if settings.reconcile.continuous:
                    walker = continuous.Worker(lanes, board, worker.directions)
                    group.create_task(continuous.run(settings, walker, worker.login))

        await supervised(once, "source", board)
    finally:
        async with registry:
            await session.close()


def _wants_full_rows(settings: Settings, table: str) -> bool:
    return settings_of(settings.tables, table).full_rows


async def _run_sink(worker: _Worker) -> None:
    """The sink stage; all its clients are made anew after a transient failure of the whole."""
    settings, board = worker.settings, worker.board
    plan = sink_stage.Plan(
        settings.name,
        settings.instance,
        settings.lanes,
        worker.directions,
        settings.kafka,
        settings.registry,
        settings.postgres,
        settings.sink,
        settings.dlq,
        settings.tables,
        worker.login,
        worker.tracing,
    )
    await supervised(lambda: sink_stage.run(plan, board), "sink", board)


async def _reach_postgres(settings: Settings, login: TakeLogin | None) -> list[str]:
    """Make what the target needs; gives the topics that it has applied."""
    async with Pool(settings.postgres, f"cdcd {settings.name}", login) as pool:
        await prepare_database(pool, settings.postgres.target_schema)
        return [topic for topic, _, _ in await offsets.read_all(pool, settings.name)]


async def _settle_tables(settings: Settings, request: RunRequest, applied: list[str]) -> None:
    kafka, patterns = settings.kafka, request.patterns
    await settle_tables(kafka, Topics(kafka), settings.name, settings.lanes, patterns, applied)
