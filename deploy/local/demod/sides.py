"""Every row of both sides, read by the drivers alone: nothing of cdcd is asked."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import asyncpg
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import RoundRobinPolicy
from cassandra.query import PreparedStatement

from demod.compare import WRITE_TIME, Compared, Rows, compare, from_scylla, write_time
from demod.places import KEYSPACE, TARGET_SCHEMA
from demod.servers import Addresses

_COLUMNS = (
    "SELECT column_name, kind, position FROM system_schema.columns"
    " WHERE keyspace_name = %s AND table_name = %s"
)
_KEY_KINDS = ("partition_key", "clustering")
_TARGET_KEY = """
SELECT array_agg(a.attname::text ORDER BY array_position(i.indkey::smallint[], a.attnum))
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = to_regclass($1) AND i.indisprimary
"""


class Scylla:
    """ScyllaDB's side; its calls run in threads."""

    def __init__(self, addresses: Addresses) -> None:
        logging.getLogger("cassandra").setLevel(logging.CRITICAL)
        login = addresses.scylla_login
        profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=30)
        self._cluster = Cluster(
            [addresses.scylla_host],
            port=addresses.scylla_port,
            auth_provider=PlainTextAuthProvider(*login) if login else None,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            protocol_version=4,
            schema_metadata_enabled=False,
            token_metadata_enabled=False,
        )
        self._session: Session = self._cluster.connect()

    async def prepare(self, cql: str) -> PreparedStatement:
        """For `execute` with values."""
        return await asyncio.to_thread(self._session.prepare, cql)

    async def execute(
        self, statement: str | PreparedStatement, values: Sequence[Any] = ()
    ) -> list[Any]:
        """All rows."""

        def run() -> list[Any]:
            return list(self._session.execute(statement, tuple(values) or None))

        return await asyncio.to_thread(run)

    async def rows(self, table: str) -> Rows:
        """Every row in the common form, with the time of its last write."""
        key, regular = await asyncio.to_thread(self._columns, table)
        names = [*key, *regular]
        times = [f"WRITETIME({name})" for name in regular]
        found = {}
        for row in await self.execute(f"SELECT {', '.join(names + times)} FROM {KEYSPACE}.{table}"):
            values = [from_scylla(v) for v in row[: len(names)]]
            written = write_time(row[len(names) :])
            found[tuple(values[: len(key)])] = dict(zip(names, values, strict=True)) | {
                WRITE_TIME: written
            }
        return found

    def _columns(self, table: str) -> tuple[list[str], list[str]]:
        """The key's columns in its order, and the others."""
        rows = list(self._session.execute(_COLUMNS, (KEYSPACE, table)))
        key = [row for row in rows if row.kind in _KEY_KINDS]
        key.sort(key=lambda row: (_KEY_KINDS.index(row.kind), row.position))
        regular = [row.column_name for row in rows if row.kind == "regular"]
        return [row.column_name for row in key], regular

    async def close(self) -> None:
        """Disconnect."""
        await asyncio.to_thread(self._cluster.shutdown)


async def target_rows(connection: asyncpg.Connection[Any], table: str) -> Rows:
    """Every row of a target in the common form; none while the table is not there."""
    name = f"{TARGET_SCHEMA}.{table}"
    if await connection.fetchval("SELECT to_regclass($1)", name) is None:
        return {}
    key = await connection.fetchval(_TARGET_KEY, name)
    await connection.reload_schema_state()  # columns may have been added since
    statement = await connection.prepare(f"SELECT * FROM {name}")
    nested = {a.name for a in statement.get_attributes() if a.type.name == "jsonb"}
    found = {}
    for record in await statement.fetch():
        row = {
            column: json.loads(value) if column in nested and value is not None else value
            for column, value in record.items()
            if column == WRITE_TIME or not column.startswith("cdc_")  # which are cdcd's own
        }
        found[tuple(row[c] for c in key)] = row
    return found


async def compare_all(
    scylla: Scylla, postgres: asyncpg.Connection[Any], tables: Sequence[str]
) -> list[Compared]:
    """Read and compare each table."""
    return [
        compare(table, await scylla.rows(table), await target_rows(postgres, table))
        for table in tables
    ]
