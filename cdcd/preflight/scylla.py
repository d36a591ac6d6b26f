"""Checks of ScyllaDB: rights, the tables' CDC options and types, replication, the clock."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from datetime import UTC, datetime

from cdcd.config.masks import check_masks
from cdcd.config.settings import Settings
from cdcd.config.tables import settings_of
from cdcd.model.errors import ConfigurationError
from cdcd.model.table import LOG_SUFFIX, TableSpec
from cdcd.preflight import clocks
from cdcd.preflight.audit import judge_audit
from cdcd.preflight.levels import copies, writers_note
from cdcd.preflight.report import Finding, note, problem, warning
from cdcd.sink.mapping import WrongMapping, key_notes, mapped, options_of
from cdcd.source.catalog import Catalog, SourceTable, find, read_schema
from cdcd.source.generations import Generations
from cdcd.source.session import Session

LOG_TTL_SECONDS_MIN = 3600
TABLES_READ_MAX = 100

Check = Callable[[Session, Settings, Sequence[str]], Awaitable[list[Finding]]]


def connect(settings: Settings) -> AbstractAsyncContextManager[Session]:
    """The session."""
    return Session.open(settings.scylla)


async def server(session: Session, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Which cluster this is, and whether the wanted data centre is part of it."""
    local = await session.query("SELECT cluster_name, data_center FROM system.local")
    peers = await session.query("SELECT data_center FROM system.peers")
    centres = sorted({row["data_center"] for row in local + peers})
    findings = [note(f"cluster {local[0]['cluster_name']}, {len(peers) + 1} node(s) in {centres}")]
    wanted = settings.scylla.local_datacenter
    if wanted and wanted not in centres:
        found = ", ".join(centres)
        findings.append(problem(f"data centre {wanted} is not in the cluster", f"it has {found}"))
    return findings


async def tables(session: Session, settings: Settings, patterns: Sequence[str]) -> list[Finding]:
    """Whether the tables that are meant can be replicated: CDC on, all values, known types, masks
    that can be.
    """
    catalog = await _catalog(session, patterns)
    findings = [problem(f"{name} {why.reason}", why.hint) for name, why in catalog.refused.items()]
    findings += [
        note(f"{name} {why.reason}: passed over", why.hint)
        for name, why in catalog.passed_over.items()
    ]
    if patterns and not catalog.tables and not catalog.refused:
        findings.append(
            problem(f"no table with CDC is named by {' '.join(patterns)}", "see DESCRIBE TABLES")
        )
    specs = [table.spec for table in catalog.tables.values()]
    try:
        check_masks(settings.tables, settings.masking, specs)
    except ConfigurationError as error:
        findings.append(problem(error.message, error.hint))
    findings += [finding for spec in specs for finding in judge_key(spec, settings)]
    if catalog.tables:
        findings.append(note(f"{len(catalog.tables)} table(s) to replicate"))
    return findings


def judge_key(table: TableSpec, settings: Settings) -> list[Finding]:
    """Which values of a table's key PostgreSQL could take for others."""
    options = options_of(table, settings_of(settings.tables, table.full_name))
    with suppress(WrongMapping):  # `plan` and `run` say what is wrong with the settings
        found = key_notes(mapped(table, settings.postgres.target_schema, options))
        return [note(f"{table.full_name}: {what}", hint) for what, hint in found]
    return []


async def retention(session: Session, settings: Settings, patterns: Sequence[str]) -> list[Finding]:
    """Whether the logs are kept long enough for a worker to be away for a while, and for audits."""
    catalog = await _catalog(session, patterns)
    return [
        finding
        for table in catalog.tables.values()
        for finding in [*judge_ttl(table), *judge_audit(table, settings)]
    ]


def judge_ttl(table: SourceTable) -> list[Finding]:
    """What a table's log retention means."""
    name, ttl = table.spec.full_name, table.options.ttl_seconds
    if ttl == 0:
        return [note(f"{name}: the log is kept for ever and only grows", "set cdc = {'ttl': …}")]
    if ttl < LOG_TTL_SECONDS_MIN:
        return [
            warning(
                f"{name}: the log is kept for {ttl} s; a worker away for longer loses changes",
                "set cdc = {'ttl': 86400} or more",
            )
        ]
    return [note(f"{name}: the log is kept for {ttl} s")]


async def rights(session: Session, _: Settings, patterns: Sequence[str]) -> list[Finding]:
    """Whether the streams' descriptions, the tables and their logs can be read."""
    catalog = await _catalog(session, patterns)
    chosen = list(catalog.tables.values())[:TABLES_READ_MAX]
    generations = Generations(session)
    findings = []
    if not all(t.tablets for t in chosen) and not await generations.of_vnodes():
        findings.append(problem("there is no CDC generation", "is CDC on in this cluster?"))
    for table in chosen:
        keyspace, name = table.spec.keyspace, table.spec.name
        if table.tablets and not await generations.of(table):
            findings.append(problem(f"{keyspace}.{name} has no CDC streams"))
        for read in (name, name + LOG_SUFFIX):
            await session.query(f"SELECT * FROM {_quoted(keyspace)}.{_quoted(read)} LIMIT 1")  # noqa: S608  quoted
    return findings


async def consistency(
    session: Session, settings: Settings, patterns: Sequence[str]
) -> list[Finding]:
    """Whether the reads' consistency level can be met, and is strong enough."""
    catalog = await _catalog(session, patterns)
    wanted = {t.spec.keyspace for t in catalog.tables.values()}
    nodes = 1 + len(await session.query("SELECT peer FROM system.peers"))
    found, level = await replications(session), settings.scylla.consistency
    return [
        finding
        for keyspace in sorted(wanted)
        for finding in (
            *judge_copies(keyspace, copies(found[keyspace]), nodes, level),
            note(writers_note(keyspace, found[keyspace], level)),
        )
    ]


async def replications(session: Session) -> dict[str, Mapping[str, str]]:
    """How each keyspace is replicated."""
    rows = await session.query("SELECT keyspace_name, replication FROM system_schema.keyspaces")
    return {row["keyspace_name"]: row["replication"] for row in rows}


def judge_copies(keyspace: str, copies: int, nodes: int, level: str) -> list[Finding]:
    """What a keyspace's replication means for reads at this level."""
    findings = []
    if copies > nodes:
        findings.append(
            warning(
                f"keyspace {keyspace} asks for {copies} copies and the cluster has {nodes} node(s)",
                "reads at QUORUM fail while too few nodes are there",
            )
        )
    if level in {"ONE", "LOCAL_ONE"} and copies > 1:
        findings.append(
            warning(
                f"scylla.consistency is {level} and keyspace {keyspace} has {copies} copies:"
                " a change that its node missed is seen late",
                'set scylla.consistency = "QUORUM"',
            )
        )
    if level == "ALL" and copies > 1:
        findings.append(
            warning(
                f"scylla.consistency is ALL: one node away stops keyspace {keyspace}",
                'set scylla.consistency = "QUORUM"',
            )
        )
    return findings or [note(f"keyspace {keyspace}: {copies} copies, read at {level}")]


async def clock(session: Session, _settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether the server's clock and ours agree."""

    async def ask_ms() -> float:
        rows = await session.query("SELECT toTimestamp(now()) AS now FROM system.local")
        now: datetime = rows[0]["now"]
        return now.replace(tzinfo=UTC).timestamp() * 1000

    return await clocks.compare("ScyllaDB", ask_ms)


CHECKS: Mapping[str, Check] = {
    "server": server,
    "tables": tables,
    "retention": retention,
    "rights": rights,
    "consistency": consistency,
    "clock": clock,
}


async def _catalog(session: Session, patterns: Sequence[str]) -> Catalog:
    return find(await read_schema(session), patterns or ["*"])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
