"""The target database's tables: cdcd's own, and one for each source table.

All DDL runs under one advisory lock, so any number of workers may start at once. A target is looked
at whole before its first write, and everything that is wrong with it is said at once.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from cdcd.model.errors import ConfigurationError, TableStopped
from cdcd.model.table import TableSpec
from cdcd.sink.pool import Connection, Pool
from cdcd.sink.statements import (
    EXPIRES_AT,
    Target,
    Targets,
    add_columns,
    create,
    create_expiry_index,
    literal,
    quoted,
    targets_of,
)
from cdcd.sink.views import RELATION, prepare_view

STATE_VERSION = 1
NAME_BYTES_MAX = 63
_RESERVED_PREFIX = "cdc_"
# PostgreSQL's own columns, which every table has (manual, "System Columns").
_SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
# Any number that no other program is likely to lock: "cdcd" in ASCII.
_LOCK = 0x63646364

_COLUMNS = """
SELECT a.attname, a.atttypid = to_regtype(e.kind) AND a.atttypmod = -1 AS fits,
       format_type(a.atttypid, a.atttypmod) AS kind,
       a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS demanded,
       a.attgenerated <> '' OR a.attidentity = 'a' AS computed
FROM pg_attribute a
LEFT JOIN unnest($2::text[], $3::text[]) AS e (name, kind) ON e.name = a.attname
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_PRIMARY_KEY = """
SELECT array_agg(a.attname::text ORDER BY k.position)
FROM pg_index i
CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, position)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = $1::oid AND i.indisprimary
"""
_CLAIM = """
INSERT INTO cdcd.targets (target_schema, target_table, pipeline, source_table)
VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
_OWNER = """
SELECT pipeline, source_table FROM cdcd.targets WHERE target_schema = $1 AND target_table = $2
"""


@cache
def _sql(name: str) -> str:
    return (files("cdcd.sink") / name).read_text(encoding="utf-8")


async def prepare_database(pool: Pool, target_schema: str) -> None:
    """Make cdcd's own tables, the target schema and its views where they are not there.

    Raises ConfigurationError for a state that a newer cdcd has made.
    """
    async with pool.transaction() as connection:
        await _lock(connection)
        if not await _exists(connection, "to_regclass($1)", "cdcd.meta"):
            await connection.execute(_sql("bookkeeping.sql"))
        await check_version(connection)
        schema = quoted(target_schema)
        if not await _exists(connection, "to_regnamespace($1)", schema):
            await connection.execute(f"CREATE SCHEMA {schema}")
        if not await _exists(connection, "to_regclass($1)", f"{schema}.validation_summary"):
            script = _sql("validation.sql").replace("{schema}", schema)
            await connection.execute(script.replace("{literal}", literal(target_schema)))


async def check_version(connection: Connection) -> None:
    """Raise ConfigurationError for a state that another release has made."""
    version = await connection.fetchval("SELECT max(state_version) FROM cdcd.meta")
    if version != STATE_VERSION:
        raise ConfigurationError(
            f"PostgreSQL: schema cdcd has version {version}, and this cdcd knows {STATE_VERSION}",
            "run the release that made it, or a later one",
        )


async def prepare_targets(pool: Pool, pipeline: str, table: TableSpec, schema: str) -> Targets:
    """The table's targets: claimed for the pipeline, made or compared, columns added.

    Raises TableStopped with every reason why the table cannot be written.
    """
    targets = targets_of(table, schema)
    _refuse(table, name_faults(table, targets))
    async with pool.transaction() as connection:
        await _lock(connection)
        for target in targets.all:
            await _claim(connection, pipeline, table, target)
            await _prepare(connection, table, target)
        if targets.statics is not None:
            _refuse(table, await prepare_view(connection, targets))
    return targets


async def check_targets(pool: Pool, table: TableSpec, targets: Targets) -> None:
    """Raise TableStopped where a target that was made is gone: made again it would be a part."""
    async with pool.connection() as connection:
        for target in targets.all:
            if await connection.fetchrow(RELATION, target.schema, target.name) is None:
                _refuse(table, [f"{target.quoted} is gone"])


async def _prepare(connection: Connection, table: TableSpec, target: Target) -> None:
    relation = await connection.fetchrow(RELATION, target.schema, target.name)
    if relation is None:
        await connection.execute(create(target))
        await connection.execute(create_expiry_index(target))
        return
    if relation["relkind"] not in ("r", "p"):
        _refuse(table, [f"{target.quoted} is there and is not a table"])
    rows = await connection.fetch(
        _COLUMNS,
        relation["oid"],
        [name for name, _ in target.typed_columns],
        [kind for _, kind in target.typed_columns],
    )
    primary_key = await connection.fetchval(_PRIMARY_KEY, relation["oid"])
    _refuse(table, differences(target, rows, primary_key or []))
    present = {row["attname"] for row in rows}
    missing = [c for c in target.typed_columns if c[0] not in present]
    if missing:
        await connection.execute(add_columns(target, missing))
    if EXPIRES_AT not in present:
        await connection.execute(create_expiry_index(target))


def name_faults(table: TableSpec, targets: Targets) -> list[str]:
    """Names that PostgreSQL or cdcd cannot take, one sentence each."""
    names = [target.name for target in targets.all]
    if targets.statics is not None:
        names.append(targets.full_name)
    faults = [
        f'the target\'s name "{name}" is over {NAME_BYTES_MAX} bytes'
        for name in names
        if _too_long(name)
    ]
    for column in table.columns:
        name = column.name
        if name.startswith(_RESERVED_PREFIX):
            faults.append(
                f'column "{name}": names that begin with {_RESERVED_PREFIX} are cdcd\'s own in '
                "the target; rename the column"
            )
        if name in _SYSTEM_COLUMNS:
            faults.append(f'column "{name}" is one of PostgreSQL\'s own; rename the column')
        if _too_long(name):
            faults.append(f'column "{name}" is over {NAME_BYTES_MAX} bytes; rename the column')
    return faults


def differences(target: Target, columns: Sequence[Any], primary_key: Sequence[str]) -> list[str]:
    """What keeps an existing table from being the target, one sentence each.

    `columns` are rows of attname, kind, fits, demanded, computed. A column other than the key's
    may be missing: it is added.
    """
    found = []
    kinds = dict(target.typed_columns)
    for row in columns:
        name = row["attname"]
        if name in kinds and not row["fits"]:
            found.append(f'column "{name}" is {row["kind"]} and must be {kinds[name]}')
        elif name in kinds and row["computed"]:
            found.append(f'column "{name}" is generated by the database')
        elif name not in kinds and row["demanded"]:
            found.append(f'column "{name}" is not in the source and takes no null')
    present = {row["attname"] for row in columns}
    key = [c.name for c in target.key]
    found += [f'key column "{name}" is missing' for name in key if name not in present]
    if list(primary_key) != key:
        has = ", ".join(map(quoted, primary_key)) or "none"
        found.append(f"its primary key is {has} and must be {', '.join(map(quoted, key))}")
    return found


def _too_long(name: str) -> bool:
    return len(name.encode()) > NAME_BYTES_MAX


def _refuse(table: TableSpec, faults: Sequence[str]) -> None:
    if faults:
        raise TableStopped(
            table.full_name,
            "; ".join(faults),
            "mend the table, or leave it out of the pipeline",
        )


async def _claim(connection: Connection, pipeline: str, table: TableSpec, target: Target) -> None:
    # Rows and static rows are compared with the source apart, so each has a name of its own.
    source = f"{table.full_name} (static)" if target.is_static else table.full_name
    await connection.execute(_CLAIM, target.schema, target.name, pipeline, source)
    owner = await connection.fetchrow(_OWNER, target.schema, target.name)
    if owner is None or tuple(owner) == (pipeline, source):
        return
    raise TableStopped(
        table.full_name,
        f"pipeline {owner['pipeline']} writes {owner['source_table']} to {target.quoted} already",
        "give this pipeline a [postgres] target_schema of its own, or, where the other one is "
        "gone for good, delete its row from cdcd.targets",
    )


async def _exists(connection: Connection, expression: str, name: str) -> bool:
    return await connection.fetchval(f"SELECT {expression}", name) is not None


async def _lock(connection: Connection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
