"""A reconciliation: tables one after the other, compared and, if that is wanted, repaired."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from uuid import uuid4

from cdcd.config.settings import Settings
from cdcd.config.tables import settings_of
from cdcd.model.control import STAGES, Control, is_glob
from cdcd.model.errors import (
    CdcdError,
    ConfigurationError,
    Fatal,
    TableStopped,
    exit_code,
)
from cdcd.ops.board import wall_clock_ms
from cdcd.ops.login import TakeLogin
from cdcd.ops.logs import get_logger, redact_text
from cdcd.reconcile.applied import Applied, NotApplied
from cdcd.reconcile.compare import Suspect, Trial
from cdcd.reconcile.digest import Key
from cdcd.reconcile.incremental import Compared, compare, touched_since
from cdcd.reconcile.ledger import Ledger
from cdcd.reconcile.part import Part, parts_of
from cdcd.reconcile.result import EXAMPLES_MAX, Example, Failed, Outcome, TableResult, concluded
from cdcd.reconcile.source_side import SourceSide
from cdcd.reconcile.target_side import TargetSide
from cdcd.reconcile.verify import Verifier
from cdcd.sink.pool import Pool
from cdcd.sink.schema import Place, plan_targets
from cdcd.sink.state import require_current
from cdcd.source.catalog import SourceTable, find, read_schema
from cdcd.source.session import Session
from cdcd.transport.brokers import Brokers
from cdcd.transport.control import read_control
from cdcd.transport.lane_watch import LaneWatch
from cdcd.transport.masks import Masks
from cdcd.transport.requests import Requests
from cdcd.transport.topics import Topics, lanes_topic

log = get_logger()

# Requests that are sent before their serving is waited for.
REPAIRS_AT_ONCE = 5000


@dataclass(frozen=True)
class Wanted:
    """What to compare: patterns of tables (none: all of the pipeline's), whether to repair, and
    since when rows must have been touched, milliseconds since 1970; None compares all rows.
    """

    patterns: tuple[str, ...] = ()
    repair: bool = False
    since_ms: int | None = None


@dataclass(frozen=True)
class Clients:
    """What a reconciliation works with; `tables` are the pipeline's."""

    settings: Settings
    session: Session
    pool: Pool
    applied: Applied
    requests: Requests
    lanes: int
    tables: Mapping[str, SourceTable]
    control: Control

    def require_running(self, table: str) -> None:
        """Raise Fatal for a table that is paused: what was read would never be applied."""
        for stage in STAGES:
            pause = self.control.pause_of(table, stage)
            if pause is not None:
                raise Fatal(f"{table} is {pause}")

    async def parts(self, table: SourceTable) -> list[Part]:
        """What there is to compare of a table. Raises Fatal where its target is not as it must."""
        settings, name = self.settings, table.spec.full_name
        own = settings_of(settings.tables, name)
        place = Place(settings.name, settings.postgres.target_schema, own)
        try:
            masked = Masks(settings).of(table.spec).table
        except TableStopped as stopped:
            raise NotApplied(str(stopped), stopped.hint) from stopped
        planned = await plan_targets(self.pool, masked, place)
        if planned.targets is None or planned.faults:
            raise NotApplied(f"{name}: {'; '.join(planned.faults)}", "see `cdcd status`")
        if planned.ddl:
            raise NotApplied(
                f"{name}: its target is not made, or not changed, yet", "does the daemon run?"
            )
        return parts_of(table.spec, planned.targets)

    def verifier(self, part: Part, page_rows: int | None = None) -> Verifier:
        """For one part."""
        settings = self.settings
        in_flight = asyncio.Semaphore(settings.reconcile.reads_in_flight_max)
        rows = page_rows or settings.source.page_rows
        source = SourceSide(self.session, part, rows, in_flight)
        target = TargetSide(self.pool, part)
        settle_seconds = settings.source.settle_delays_seconds[0]
        return Verifier(part, (source, target), self.applied, self.lanes, settle_seconds)


@asynccontextmanager
async def clients(settings: Settings, login: TakeLogin | None = None) -> AsyncIterator[Clients]:
    """Connect to all of it, to PostgreSQL by a leased login if there is one.

    Raises Fatal where the pipeline, or a worker of it, is not there.
    """
    name = settings.name
    topics, brokers = Topics(settings.kafka), Brokers(settings.kafka)
    lanes = (await topics.partitions()).get(lanes_topic(name))
    if lanes is None:
        raise Fatal(f"there is no pipeline {name}: topic {lanes_topic(name)} is not there")
    control = await read_control(settings.kafka, name) or Control()
    async with AsyncExitStack() as opened:
        session = await opened.enter_async_context(Session.open(settings.scylla))
        pool = await opened.enter_async_context(
            Pool(settings.postgres, f"cdcd {name} reconcile", login)
        )
        async with pool.connection() as connection:
            await require_current(connection)
        watch = await opened.enter_async_context(LaneWatch(settings.kafka, name, lanes))
        requests = await opened.enter_async_context(Requests(settings.kafka, name, lanes))
        limit_seconds = settings.reconcile.wait_seconds_max
        applied = Applied(name, brokers, topics, pool, watch, limit_seconds)
        tables = find(await read_schema(session), control.tables).tables
        yield Clients(settings, session, pool, applied, requests, lanes, tables, control)


async def reconcile(
    settings: Settings, wanted: Wanted, told: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Compare, and repair if that is wanted. A table that cannot be compared is left for the next
    one. Raises CdcdError where none can be; `told` is called with a line now and then.
    """
    async with clients(settings) as open_clients:
        tables = chosen(open_clients.tables, wanted.patterns, settings.name)
        await open_clients.applied.require_workers()
        mode = "full" if wanted.since_ms is None else "incremental"
        ledger = Ledger(open_clients.pool, settings.name, uuid4(), mode)
        found: list[TableResult] = []
        failed: list[Failed] = []
        for table in tables:
            name = table.spec.full_name
            told(f"comparing {name}")
            try:
                open_clients.require_running(name)
                found += await _table(open_clients, ledger, table, wanted)
            except CdcdError as error:
                what, hint = redact_text(error.message), redact_text(error.hint)
                failed.append(Failed(name, what, hint, exit_code(error)))
        return Outcome(found, failed)


def chosen(
    tables: Mapping[str, SourceTable], patterns: Iterable[str], pipeline: str
) -> list[SourceTable]:
    """The tables that the patterns mean, in order; all of them without patterns.

    Raises ConfigurationError for a pattern that means none.
    """
    wanted = tuple(patterns)
    for pattern in wanted:
        if not any(fnmatchcase(name, pattern) for name in tables):
            what = "no table that matches" if is_glob(pattern) else "no table"
            raise ConfigurationError(
                f"pipeline {pipeline} replicates {what} {pattern}",
                f"it replicates {', '.join(tables) or 'nothing'}",
            )
    names = [n for n in tables if not wanted or any(fnmatchcase(n, p) for p in wanted)]
    return [tables[name] for name in names]


async def _table(
    clients: Clients, ledger: Ledger, table: SourceTable, wanted: Wanted
) -> list[TableResult]:
    """Compare the parts of a table, and write it down."""
    parts = await clients.parts(table)
    numbers = [await ledger.begin(part) for part in parts]
    try:
        if wanted.since_ms is None:
            found = [await _full(clients, part, wanted) for part in parts]
        else:
            found = await _incremental(clients, table, parts, wanted)
    except BaseException:
        await asyncio.shield(ledger.fail(numbers))
        raise
    for number, result in zip(numbers, found, strict=True):
        await ledger.finish(number, result)
    return found


async def _full(clients: Clients, part: Part, wanted: Wanted) -> TableResult:
    verifier = clients.verifier(part)
    counted = await verifier.count()
    suspects, is_cut = await verifier.narrow(counted)
    trial = await verifier.judge(suspects)
    found = TableResult(part.name, counted.source.total, counted.target.total, is_cut=is_cut)
    found = replace(found, unjudged=trial.given_up)
    return await conclude(clients, verifier, found, trial.confirmed, repair=wanted.repair)


async def _incremental(
    clients: Clients, table: SourceTable, parts: Sequence[Part], wanted: Wanted
) -> list[TableResult]:
    """Compare what the log says was touched."""
    verifiers = [(clients.verifier(part), Compared()) for part in parts]
    times = (wanted.since_ms or 0, wall_clock_ms())
    async for scopes in touched_since(clients.session, table, clients.settings.source, times):
        for verifier, compared in verifiers:
            await compare(verifier, scopes, compared)
    results = []
    for verifier, compared in verifiers:
        trial = await verifier.judge(compared.suspects)
        name, rows, there = verifier.part.name, compared.rows_source, compared.rows_target
        found = TableResult(name, rows, there, unjudged=trial.given_up)
        results.append(
            await conclude(clients, verifier, found, trial.confirmed, repair=wanted.repair)
        )
    return results


async def conclude(
    clients: Clients,
    verifier: Verifier,
    found: TableResult,
    confirmed: Mapping[Key, Suspect],
    *,
    repair: bool,
) -> TableResult:
    """The result with the differences that count; they are repaired first, if that is wanted."""
    examples = await _examples(verifier, list(confirmed.values())[:EXAMPLES_MAX])
    again = await repaired(clients, verifier, confirmed) if repair and confirmed else None
    return concluded(replace(found, examples=examples), confirmed.values(), again)


async def _examples(verifier: Verifier, suspects: Sequence[Suspect]) -> tuple[Example, ...]:
    columns = await verifier.columns(suspects)
    return tuple(
        Example(s.seen.kind, verifier.part.shown_key(s.cql_key), names)
        for s, names in zip(suspects, columns, strict=True)
    )


async def refreshed(clients: Clients, verifier: Verifier, suspects: Mapping[Key, Suspect]) -> None:
    """Return when the lanes have refreshed rows and the sink has applied that."""
    part, applied, left = verifier.part, clients.applied, list(suspects.items())
    log.info("asking for refreshes", table=part.name, rows=len(left))
    for at in range(0, len(left), REPAIRS_AT_ONCE):
        some = dict(left[at : at + REPAIRS_AT_ONCE])
        asked = [part.request(s.cql_key, uuid4().hex) for s in some.values()]
        await clients.requests.ask(asked)
        lanes = verifier.lanes(some)
        # The second wait is for what the refreshes have published.
        await applied.past(part.table, lanes, wall_clock_ms())
        await applied.served(part.table, lanes, {r.id for r in asked})
        await applied.past(part.table, lanes, wall_clock_ms())


async def repaired(clients: Clients, verifier: Verifier, confirmed: Mapping[Key, Suspect]) -> Trial:
    """Have rows refreshed by the lanes and look at them again; gives the trial of those that still
    differ.
    """
    await refreshed(clients, verifier, confirmed)
    looked = await verifier.look(confirmed)
    differing = {
        key: Suspect(confirmed[key].cql_key, seen)
        for key, seen in looked.items()
        if not seen.is_equal
    }
    return await verifier.judge(differing)
