"""Checks of PostgreSQL: rights, that it takes writes, room for our connections, the clock."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cdcd.config.settings import Settings
from cdcd.preflight import clocks
from cdcd.preflight.report import Finding, note, problem, warning
from cdcd.sink.pool import Pool
from cdcd.sink.state import STATE_VERSION, check_version

Check = Callable[[Pool, Settings, Sequence[str]], Awaitable[list[Finding]]]

OWN_SCHEMA = "cdcd"
VERSION_MIN = 130_000

_SERVER = """
SELECT current_database() AS database, current_user AS role, pg_is_in_recovery() AS standby,
       current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_number,
       current_setting('default_transaction_read_only')::bool AS read_only,
       current_setting('max_connections')::int AS connections_max
"""
_SCHEMA = """
SELECT n.oid IS NOT NULL AS there,
       has_database_privilege(current_database(), 'CREATE') AS may_make_schema,
       coalesce(has_schema_privilege(n.oid, 'CREATE'), false) AS may_make_tables,
       coalesce(has_schema_privilege(n.oid, 'USAGE'), false) AS may_use
FROM (VALUES ($1::text)) AS wanted(name)
LEFT JOIN pg_namespace n ON n.nspname = wanted.name
"""
_TABLES = """
SELECT c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
  AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
           AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
ORDER BY 1
"""


@asynccontextmanager
async def connect(settings: Settings) -> AsyncIterator[Pool]:
    """The pool, once the server answered."""
    async with Pool(settings.postgres, "cdcd check") as pool:
        await pool.ping()
        yield pool


async def server(pool: Pool, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether this server takes writes and has room for our connections."""
    rows = await _query(pool, _SERVER)
    return judge_server(rows[0], settings.postgres.pool_connections_max)


def judge_server(row: Mapping[str, Any], pool_connections_max: int) -> list[Finding]:
    """What a server's answers mean."""
    findings = [note(f"PostgreSQL {row['version']}, database {row['database']}, as {row['role']}")]
    if row["version_number"] < VERSION_MIN:
        findings.append(problem(f"PostgreSQL {row['version']} is too old", "use 13 or newer"))
    if row["standby"] or row["read_only"]:
        findings.append(problem("PostgreSQL takes no writes here", "connect to the primary"))
    if pool_connections_max > row["connections_max"] // 2:
        findings.append(
            warning(
                f"postgres.pool_connections_max is {pool_connections_max} of"
                f" {row['connections_max']} connections that the server has for everyone",
                "lower it, or raise max_connections",
            )
        )
    return findings


async def rights(pool: Pool, settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether schemas and tables can be made, and existing ones written."""
    findings = []
    for schema in (OWN_SCHEMA, settings.postgres.target_schema):
        rows = await _query(pool, _SCHEMA, schema)
        findings += judge_schema(schema, rows[0])
        findings += [
            problem(
                f"this user may not read and write {schema}.{row['name']}",
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.{row['name']} TO the user",
            )
            for row in await _query(pool, _TABLES, schema)
        ]
    return findings


def judge_schema(schema: str, row: Mapping[str, Any]) -> list[Finding]:
    """What this user may do with a schema, or with its absence."""
    if not row["there"]:
        if row["may_make_schema"]:
            return [note(f"schema {schema} is not there and will be made")]
        return [
            problem(
                f"schema {schema} is not there, and this user may not make it",
                f"CREATE SCHEMA {schema} AUTHORIZATION the user, or GRANT CREATE ON DATABASE",
            )
        ]
    if not (row["may_use"] and row["may_make_tables"]):
        return [
            problem(
                f"this user may not make tables in schema {schema}",
                f"GRANT USAGE, CREATE ON SCHEMA {schema} TO the user",
            )
        ]
    return []


async def clock(pool: Pool, _settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether the server's clock and ours agree."""

    async def ask_ms() -> float:
        rows = await _query(pool, "SELECT extract(epoch FROM clock_timestamp())::float8 AS now")
        return float(rows[0]["now"]) * 1000

    return await clocks.compare("PostgreSQL", ask_ms)


async def state(pool: Pool, _settings: Settings, _: Sequence[str]) -> list[Finding]:
    """Whether what an earlier or later release left there can be taken over."""
    async with pool.connection() as connection:
        version = await check_version(connection)
    if 0 < version < STATE_VERSION:
        return [note(f"schema cdcd has version {version} and will be made {STATE_VERSION}")]
    return []


CHECKS: Mapping[str, Check] = {"server": server, "rights": rights, "state": state, "clock": clock}


async def _query(pool: Pool, sql: str, *values: object) -> list[Mapping[str, Any]]:
    async with pool.connection() as connection:
        rows: list[Mapping[str, Any]] = await connection.fetch(sql, *values)
    return rows
