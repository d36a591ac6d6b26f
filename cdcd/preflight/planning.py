"""Finds out what a run would do, without changing anything."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

from cdcd.config.settings import Settings
from cdcd.config.tables import settings_of
from cdcd.model.errors import Transient
from cdcd.model.lane import LaneSet
from cdcd.model.position import uuid_time_us
from cdcd.model.table import LOG_SUFFIX
from cdcd.preflight.audit import judge_audit
from cdcd.preflight.levels import writers_note
from cdcd.preflight.plan import LogSize, Plan, Refused, TablePlan, columns_of
from cdcd.preflight.scylla import replications
from cdcd.sink.pool import Pool
from cdcd.sink.schema import Place, plan_targets
from cdcd.source.catalog import SourceTable, Why, find, read_schema
from cdcd.source.cql import quoted
from cdcd.source.generations import Generations
from cdcd.source.lanes import streams_of
from cdcd.source.session import Session, StatementRefused
from cdcd.transport.control import read_control
from cdcd.transport.registry import Registry
from cdcd.transport.topics import Topics, change_topic, lanes_topic

# How long a table's log is counted; streams that were not reached are estimated.
COUNT_SECONDS = 3.0

_WHOLE_RING = LaneSet(frozenset([0]), 1)


@dataclass(frozen=True)
class _Clients:
    """What is asked."""

    settings: Settings
    session: Session
    generations: Generations
    pool: Pool
    registry: Registry
    topics: Mapping[str, int]


async def plan(settings: Settings, patterns: Sequence[str]) -> Plan:
    """What `cdcd run` of these tables would do. Raises CdcdError where a server is away."""
    name = settings.name
    topics = await Topics(settings.kafka).partitions()
    control = None
    if lanes_topic(name) in topics:
        control = await read_control(settings.kafka, name)
    async with AsyncExitStack() as opened:
        session = await opened.enter_async_context(Session.open(settings.scylla))
        pool = await opened.enter_async_context(Pool(settings.postgres, f"cdcd {name} plan"))
        registry = await opened.enter_async_context(Registry(settings.registry))
        clients = _Clients(settings, session, Generations(session), pool, registry, topics)
        wanted = patterns or (control.tables if control else ()) or ("*",)
        catalog = find(await read_schema(session), wanted)
        refused = _refused(catalog.refused)
        tables = []
        for table in catalog.tables.values():
            found = await _table(clients, table)
            if isinstance(found, Refused):
                refused.append(found)
            else:
                tables.append(found)
        made = {t.topic: settings.kafka.topic_partitions for t in tables if t.topic not in topics}
        if lanes_topic(name) not in topics:
            made = {lanes_topic(name): settings.lanes, **made}
        level, replicated = settings.scylla.consistency, await replications(session)
        keyspaces = sorted({table.spec.keyspace for table in catalog.tables.values()})
        notes = [writers_note(keyspace, replicated[keyspace], level) for keyspace in keyspaces]
        if control and patterns and tuple(sorted(set(patterns))) != control.tables:
            has = " ".join(control.tables)
            notes.append(f"the pipeline has the tables {has}: `cdcd tables add` adds others")
        return Plan(
            name,
            control is None,
            tables,
            refused,
            _refused(catalog.passed_over),
            made,
            await _subjects(registry, tables),
            notes,
        )


def _refused(found: Mapping[str, Why]) -> list[Refused]:
    return [Refused(name, why.reason, why.hint) for name, why in found.items()]


async def _subjects(registry: Registry, tables: Sequence[TablePlan]) -> list[str]:
    """The subjects that are not there yet."""
    wanted = [f"{t.topic}-{part}" for t in tables for part in ("key", "value")]
    return [subject for subject in wanted if await registry.latest(subject) is None]


async def _table(clients: _Clients, table: SourceTable) -> TablePlan | Refused:
    settings, spec = clients.settings, table.spec
    place = Place(
        settings.name,
        settings.postgres.target_schema,
        settings_of(settings.tables, spec.full_name),
    )
    planned = await plan_targets(clients.pool, spec, place)
    if planned.targets is None or planned.faults:
        return Refused(spec.full_name, "; ".join(planned.faults), "mend the target or its settings")
    return TablePlan(
        spec.full_name,
        table.options,
        table.tablets,
        change_topic(settings.name, spec),
        tuple(target.quoted for target in planned.targets.all),
        columns_of(spec, planned.targets),
        planned.ddl,
        await _log_size(clients, table),
        (*planned.notes, *(finding.message for finding in judge_audit(table, settings))),
    )


async def _log_size(clients: _Clients, table: SourceTable) -> LogSize:
    """Count the log stream by stream, as far as the time goes."""
    try:
        generations = await clients.generations.of(table)
    except Transient:
        return LogSize(None, 0.0, None)
    streams = list(dict.fromkeys(s for g in generations for s in streams_of(g, _WHOLE_RING)))
    # Any order would do; one that is not the ring's takes from all of it.
    streams.sort(key=lambda stream: stream[::-1])
    step = clients.settings.source.streams_per_read_max
    ends, done, rows, oldest = time.monotonic() + COUNT_SECONDS, 0, 0, []
    for at in range(0, len(streams), step):
        some = streams[at : at + step]
        counted = await _count(clients.session, table, some)
        if counted is None:
            break
        done, rows = done + len(some), rows + counted[0]
        oldest += [] if counted[1] is None else [counted[1]]
        if time.monotonic() > ends:
            break
    share = done / len(streams) if streams else 0.0
    return LogSize(rows if done else None, share, min(oldest, default=None))


async def _count(
    session: Session, table: SourceTable, streams: Sequence[bytes]
) -> tuple[int, int | None] | None:
    """Rows of some streams, and the oldest one's time; None where the server takes too long."""
    log = f"{quoted(table.spec.keyspace)}.{quoted(table.spec.name + LOG_SUFFIX)}"
    names = ", ".join(f"0x{stream.hex()}" for stream in streams)
    text = (
        'SELECT count(*) AS rows, min("cdc$time") AS oldest'  # noqa: S608  quoted, and numbers
        f' FROM {log} WHERE "cdc$stream_id" IN ({names})'
    )
    try:
        async with asyncio.timeout(COUNT_SECONDS):
            (row,) = await session.query(text)
    except (Transient, StatementRefused, TimeoutError):
        return None
    oldest = row["oldest"]
    # Servers differ in what type they say that the least of timeuuids has.
    raw = oldest.bytes if isinstance(oldest, UUID) else oldest
    return row["rows"], None if raw is None else uuid_time_us(raw) // 1000
