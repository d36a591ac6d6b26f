"""The one page that wires everything: clients, stages, health, and how it all ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cdcd.config.settings import Settings
from cdcd.config.tables import require_columns
from cdcd.model.errors import Fatal, Transient, leading
from cdcd.ops import garbage, health
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.life import Limits, live
from cdcd.ops.login import Login
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff, retrying
from cdcd.ops.status import StageState
from cdcd.reconcile import continuous
from cdcd.sink import stage as sink_stage
from cdcd.sink.pool import Pool
from cdcd.sink.schema import prepare_database
from cdcd.source import stage as source_stage
from cdcd.source.catalog import find, read_schema
from cdcd.source.progress import Start
from cdcd.source.session import Session
from cdcd.transport import control
from cdcd.transport.lane_state import settle_tables
from cdcd.transport.lanes import PublishingLanes
from cdcd.transport.registry import Registry
from cdcd.transport.topics import Topics

Result = TypeVar("Result")

log = get_logger()


@dataclass(frozen=True)
class RunRequest:
    """What to run: table patterns, none for those that the pipeline has; stages (`source`, `sink`);
    and where new tables begin.
    """

    patterns: tuple[str, ...]
    stages: frozenset[str]
    start: str = "log"


@dataclass(frozen=True)
class Renewal:
    """How settings change while the daemon runs: `changed` gives them anew when a secret that they
    name has changed, `reload` takes over what may change on SIGHUP.
    """

    changed: Callable[[], Awaitable[Settings]]
    reload: Callable[[], None]


async def run(settings: Settings, request: RunRequest, renewal: Renewal) -> None:
    """Run the stages until a signal. Raises CdcdError when the process cannot go on."""
    garbage.expect_little()
    board = Board(settings.name, settings.instance)
    limits = Limits(settings.stop_timeout_seconds, settings.stall_timeout_seconds)
    async with health.serve(settings.http, board.snapshot, board.exposition):
        work = partial(_run_renewed, settings, request, renewal, board)
        await live(work, board, limits, renewal.reload)


async def _run_renewed(
    settings: Settings, request: RunRequest, renewal: Renewal, board: Board
) -> None:
    """Run the stages; begin them anew, in this process, with secrets that have changed."""
    while True:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(_run_stages(settings, request, board))
            changed = group.create_task(_as_coroutine(renewal.changed))
            await asyncio.wait((running, changed), return_when=asyncio.FIRST_COMPLETED)
            running.cancel()
            changed.cancel()
        if changed.cancelled():
            return
        settings = changed.result()
        log.info("secrets have changed: the stages begin anew with them")


async def _as_coroutine(changed: Callable[[], Awaitable[Settings]]) -> Settings:
    return await changed()


async def _run_stages(settings: Settings, request: RunRequest, board: Board) -> None:
    for stage in sorted(request.stages):
        board.stage(stage, StageState.STARTING)
    starting = _Starting(settings.start_timeout_seconds)
    registry = Registry(settings.registry)
    await starting.reach(registry.ping)
    await starting.reach(lambda: _settle_tables(settings, request))
    async with (
        control.following(settings.kafka, settings.name) as directions,
        asyncio.TaskGroup() as group,
    ):
        if "source" in request.stages:
            start = Start(request.start)
            group.create_task(_run_source(settings, start, starting, directions, board))
        if "sink" in request.stages:
            group.create_task(_run_sink(settings, starting, directions, board))


async def _run_source(
    settings: Settings, start: Start, starting: "_Starting", directions: Directions, board: Board
) -> None:
    """The source stage; its Kafka clients are made anew after a transient failure."""
    registry = Registry(settings.registry)
    session = Session(settings.scylla)
    try:
        await starting.reach(session.connect)
        schema = await starting.reach(lambda: read_schema(session))
        patterns = directions.now.tables
        found = find(schema, patterns)
        found.require(patterns)
        columns = {n: [c.name for c in t.spec.columns] for n, t in found.tables.items()}
        require_columns(settings.tables, columns)
        source = source_stage.Source(session, settings.source, directions, start, board)

        async def once() -> None:
            async with (
                PublishingLanes.open(settings, registry, board) as lanes,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(source_stage.run(source, lanes))
                if settings.reconcile.continuous:
                    group.create_task(continuous.run(settings, lanes, board))

        await _supervised(once, "source", board)
    finally:
        await session.close()


async def _run_sink(
    settings: Settings, starting: "_Starting", directions: Directions, board: Board
) -> None:
    """The sink stage; all its clients are made anew after a transient failure of the whole."""
    async with _login(settings, starting, board) as login:
        await _sink(settings, login, starting, directions, board)


async def _sink(
    settings: Settings,
    login: Callable[[], Login] | None,
    starting: "_Starting",
    directions: Directions,
    board: Board,
) -> None:
    await starting.reach(lambda: _reach_postgres(settings, login))
    plan = sink_stage.Plan(
        settings.name,
        settings.instance,
        settings.lanes,
        directions,
        settings.kafka,
        settings.registry,
        settings.postgres,
        settings.sink,
        settings.dlq,
        settings.tables,
        login,
    )
    await _supervised(lambda: sink_stage.run(plan, board), "sink", board)


@asynccontextmanager
async def _login(
    settings: Settings, starting: "_Starting", board: Board
) -> AsyncIterator[Callable[[], Login] | None]:
    """The login for PostgreSQL that is leased from Vault, kept while the context is open."""
    path = settings.postgres.vault_login
    if path is None:
        yield None
        return
    from cdcd.ops.vault import LeasedLogin  # noqa: PLC0415  few need it, and it takes memory

    leased = LeasedLogin(settings.vault, path)
    try:
        await starting.reach(leased.begin)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(leased.keep(board.lease))
            yield lambda: leased.login
            keeping.cancel()
    finally:
        leased.close()


async def _reach_postgres(settings: Settings, login: Callable[[], Login] | None) -> None:
    async with Pool(settings.postgres, f"cdcd {settings.name}", login) as pool:
        await prepare_database(pool, settings.postgres.target_schema)


async def _settle_tables(settings: Settings, request: RunRequest) -> None:
    topics = Topics(settings.kafka)
    await settle_tables(settings.kafka, topics, settings.name, settings.lanes, request.patterns)


class _Starting:
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


async def _supervised(once: Callable[[], Awaitable[None]], stage: str, board: Board) -> None:
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
