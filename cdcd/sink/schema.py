"""The target database's tables: cdcd's own, and one for each source table.

All DDL runs under one advisory lock, so any number of workers may start at once. A target is looked
at whole before its first write, and everything that is wrong with it is said at once.
"""

# ruff: noqa: S608  SQL is made of names here, and every name goes through `quoted`

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from cdcd.config.tables import TableSettings
from cdcd.model.errors import TableStopped
from cdcd.model.table import TableSpec
from cdcd.sink.comparison import Present, compare
from cdcd.sink.mapping import WrongMapping, key_notes, mapped, options_of
from cdcd.sink.pool import Connection, Pool
from cdcd.sink.state import bring_up, script
from cdcd.sink.statements import add_columns, create, create_expiry_index, evolve, literal
from cdcd.sink.target import DELETED, EXPIRES_AT, Target, Targets, quoted
from cdcd.sink.views import RELATION, prepare_view

# Any number that no other program is likely to lock: "cdcd" in ASCII.
_LOCK = 0x63646364

_COLUMNS = """
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
       a.atthasdef, a.attgenerated <> '' OR a.attidentity = 'a'
FROM pg_attribute a
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
RETURNING true
"""
_OWNER = """
SELECT pipeline, source_table, source_columns, dropped_columns
FROM cdcd.targets WHERE target_schema = $1 AND target_table = $2
"""
_REMEMBER = """
UPDATE cdcd.targets SET source_columns = $3, dropped_columns = $4
WHERE target_schema = $1 AND target_table = $2
  AND (source_columns, dropped_columns) IS DISTINCT FROM ($3::text[], $4::text[])
"""

# How a target that somebody dropped is had again, and whole. By itself it is not made again: it
# would lack what was applied before.
_GONE = (
    "delete its row from cdcd.targets, which has it made again, and `cdcd backfill` the table; "
    "or leave the table out of the pipeline"
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a source's columns: those that it had at last, and those that it lost."""

    columns: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


async def prepare_database(pool: Pool, target_schema: str) -> None:
    """Make cdcd's own tables, the target schema and its views where they are not there.

    Raises ConfigurationError for a state that a newer cdcd has made.
    """
    async with pool.transaction() as connection:
        await _lock(connection)
        await bring_up(connection)
        schema = quoted(target_schema)
        if not await _exists(connection, "to_regnamespace($1)", schema):
            await connection.execute(f"CREATE SCHEMA {schema}")
        if not await _exists(connection, "to_regclass($1)", f"{schema}.validation_summary"):
            views = script("validation.sql").replace("{schema}", schema)
            await connection.execute(views.replace("{literal}", literal(target_schema)))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table's rows go: whose pipeline's they are, the schema, and the table's settings."""

    pipeline: str
    schema: str
    settings: TableSettings = field(default_factory=TableSettings)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Targets that may be written, and what their owner should know, one sentence each."""

    targets: Targets
    notes: tuple[str, ...] = ()


async def prepare_targets(pool: Pool, table: TableSpec, place: Place) -> Prepared:
    """The table's targets: claimed for the pipeline, made or compared, changed as the policy says.

    Raises TableStopped with every reason why the table cannot be written.
    """
    options = options_of(table, place.settings)
    try:
        targets = mapped(table, place.schema, options)
    except WrongMapping as error:
        raise _refused(table, error.faults) from error
    async with pool.transaction() as connection:
        await _lock(connection)
        new = await _new_columns(connection, targets)
        if place.settings.policy == "ignore":
            targets = mapped(table, place.schema, replace(options, excluded=options.excluded | new))
        claims = [await _claim(connection, place, table, target) for target in targets.all]
        known = claims[0].known
        for claim in claims:
            if not claim.is_new and not await _is_there(connection, claim.target):
                raise TableStopped(table.full_name, f"{claim.target.quoted} is gone", _GONE)
        faults, notes = judged(table, place.settings.policy, new, known)
        for target in targets.all:
            faults += await _prepare(connection, targets, target, place.settings.policy)
        if targets.statics is not None and not faults:
            faults += await prepare_view(connection, targets)
        if faults:
            raise _refused(table, faults)
        await _remember(connection, targets, known)
    return Prepared(targets, tuple(notes))


@dataclass(frozen=True, slots=True)
class Planned:
    """What `prepare_targets` would do: the targets, the statements to make them ready, what is
    wrong, and notes, one sentence each. Without targets the settings themselves are wrong.
    """

    targets: Targets | None
    ddl: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


async def plan_targets(pool: Pool, table: TableSpec, place: Place) -> Planned:
    """Look at the table's targets as `prepare_targets` does, and change nothing."""
    options = options_of(table, place.settings)
    try:
        targets = mapped(table, place.schema, options)
    except WrongMapping as error:
        return Planned(None, faults=error.faults)
    policy = place.settings.policy
    async with pool.connection() as connection:
        new = await _new_columns(connection, targets)
        if policy == "ignore":
            targets = mapped(table, place.schema, replace(options, excluded=options.excluded | new))
        known, faults = await _claimed(connection, place, table, targets)
        wrong, notes = judged(table, policy, new, known)
        faults += wrong
        ddl: list[str] = []
        for target in targets.all:
            wrong, statements = await _judge(connection, targets, target, policy)
            faults, ddl = faults + wrong, ddl + statements
    notes += [": ".join(filter(None, note)) for note in key_notes(targets)]
    return Planned(targets, tuple(ddl), tuple(faults), tuple(notes))


async def _claimed(
    connection: Connection, place: Place, table: TableSpec, targets: Targets
) -> tuple[Known, list[str]]:
    """What is known of the target, and what is wrong with it: another's, or gone."""
    known, faults = Known(), []
    if not await _exists(connection, "to_regclass($1)", "cdcd.targets"):
        return known, []
    for target in targets.all:
        owner = await connection.fetchrow(_OWNER, target.schema, target.name)
        if owner is None:
            continue
        if (owner["pipeline"], owner["source_table"]) != (place.pipeline, _claim_of(table, target)):
            faults.append(
                f"pipeline {owner['pipeline']} writes {owner['source_table']} to {target.quoted}"
                " already"
            )
            continue
        if not await _is_there(connection, target):
            faults.append(f"{target.quoted} is gone: {_GONE}")
        if not target.is_static:
            known = Known(tuple(owner["source_columns"]), tuple(owner["dropped_columns"]))
    return known, faults


def _claim_of(table: TableSpec, target: Target) -> str:
    # Rows and static rows are compared with the source apart, so each has a name of its own.
    return f"{table.full_name} (static)" if target.is_static else table.full_name


def judged(
    table: TableSpec, policy: str, new: Collection[str], known: Known
) -> tuple[list[str], list[str]]:
    """Faults and notes of a source's columns that the target does not have yet, and of columns
    that it has and the source no more.
    """
    names = {c.name for c in table.columns}
    gone = sorted(set(known.columns) - names)
    fails = policy == "fail"
    mend = 'set `policy` to "add" or "ignore", or change the target and its source together'
    added = (
        f"is new in the source, and the policy is to fail: {mend}"
        if fails
        else "is new in the source and is not replicated: add it to the target, and it will be"
    )
    dropped = "was dropped in the source" + (
        f", and the policy is to fail: {mend}" if fails else "; it stays in the target as it is"
    )
    said = [f'column "{name}" {added}' for name in sorted(new) if policy in ("fail", "ignore")]
    said += [f'column "{name}" {dropped}' for name in gone]
    return (said, []) if fails else ([], said)


async def _new_columns(connection: Connection, targets: Targets) -> frozenset[str]:
    """Columns of the source, by their names there, that an existing target lacks."""
    rows = await connection.fetchrow(RELATION, targets.rows.schema, targets.rows.name)
    if rows is None:
        return frozenset()
    found: set[str] = set()
    for target in targets.all:
        relation = await connection.fetchrow(RELATION, target.schema, target.name)
        columns = [] if relation is None else await connection.fetch(_COLUMNS, relation["oid"])
        present = {row["name"] for row in columns}
        found |= {c.source.name for c in target.columns if c.name not in present}
    return frozenset(found)


async def _prepare(
    connection: Connection, targets: Targets, target: Target, policy: str
) -> list[str]:
    """Make the table, or compare it and change what may be; gives what is wrong with it."""
    faults, ddl = await _judge(connection, targets, target, policy)
    for statement in () if faults else ddl:
        await connection.execute(statement)
    return faults


async def _judge(
    connection: Connection, targets: Targets, target: Target, policy: str
) -> tuple[list[str], list[str]]:
    """What is wrong with a table, and the statements that make or change it; only looks."""
    relation = await connection.fetchrow(RELATION, target.schema, target.name)
    if relation is None:
        return [], [create(target), create_expiry_index(target)]
    if relation["relkind"] not in ("r", "p"):
        return [f"{target.quoted} is there and is not a table"], []
    rows = await connection.fetch(_COLUMNS, relation["oid"])
    present = [Present(*row) for row in rows]
    primary_key = await connection.fetchval(_PRIMARY_KEY, relation["oid"])
    found = compare(target, present, primary_key or [], evolves=policy == "evolve")
    names = {column.name for column in present}
    faults = [*found.faults, *await _undeleted(connection, target, names)]
    if target.is_static:
        faults = [f"{target.quoted}: {f}" for f in faults]
    ddl = []
    if found.retyped:
        # PostgreSQL retypes no column that a view shows; it is made again.
        view = f"{quoted(target.schema)}.{quoted(targets.full_name)}"
        ddl.append(f"DROP VIEW IF EXISTS {view}")
    if found.retyped or found.freed:
        ddl.append(evolve(target, found.retyped, found.freed))
    if found.missing:
        ddl.append(add_columns(target, found.missing))
    if EXPIRES_AT not in names:
        ddl.append(create_expiry_index(target))
    return faults, ddl


async def _undeleted(connection: Connection, target: Target, names: Collection[str]) -> list[str]:
    """A fault where rows that were deleted and stayed would come to life."""
    if target.soft_delete or DELETED not in names:
        return []
    rows = f"SELECT FROM {target.quoted} WHERE {quoted(DELETED)}"
    if not await connection.fetchval(f"SELECT EXISTS ({rows})"):
        return []
    what = f"{target.quoted} has rows with {DELETED} true, and `soft_delete` is off"
    return [f"{what}: delete those rows, or set it back"]


def _refused(table: TableSpec, faults: Sequence[str]) -> TableStopped:
    hint = "mend the table or its settings, or leave it out of the pipeline"
    return TableStopped(table.full_name, "; ".join(faults), hint)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A target that is the pipeline's, since now or before, and what is known of its source."""

    target: Target
    is_new: bool
    known: Known


async def _claim(connection: Connection, place: Place, table: TableSpec, target: Target) -> _Claim:
    """Make the target the pipeline's, if it is nobody's. Raises TableStopped."""
    source = _claim_of(table, target)
    is_new = await connection.fetchval(_CLAIM, target.schema, target.name, place.pipeline, source)
    owner = await connection.fetchrow(_OWNER, target.schema, target.name)
    if owner is None:
        raise RuntimeError("a claim that was made under the lock is not there")
    if (owner["pipeline"], owner["source_table"]) == (place.pipeline, source):
        known = Known(tuple(owner["source_columns"]), tuple(owner["dropped_columns"]))
        return _Claim(target, bool(is_new), known)
    raise TableStopped(
        table.full_name,
        f"pipeline {owner['pipeline']} writes {owner['source_table']} to {target.quoted} already",
        f'set `target` in [tables."{table.full_name}"], "{{keyspace}}__{{table}}" for instance, or '
        "a [postgres] target_schema for the pipeline; where the other one is gone for good, delete "
        "its row from cdcd.targets",
    )


async def _remember(connection: Connection, targets: Targets, known: Known) -> None:
    """Keep which columns the source has, and clear what came back: of a column that was dropped
    and added again the source has no former value.
    """
    now = {c.name for c in targets.table.columns}
    back = now.intersection(known.dropped)
    for target in targets.all:
        for column in target.columns:
            if column.source.name in back:
                name = quoted(column.name)
                await connection.execute(
                    f"UPDATE {target.quoted} SET {name} = NULL WHERE {name} IS NOT NULL"
                )
    dropped = sorted({*known.dropped, *known.columns} - now)
    rows = targets.rows
    await connection.execute(_REMEMBER, rows.schema, rows.name, sorted(now), dropped)


async def _is_there(connection: Connection, target: Target) -> bool:
    return await connection.fetchrow(RELATION, target.schema, target.name) is not None


async def _exists(connection: Connection, expression: str, name: str) -> bool:
    return await connection.fetchval(f"SELECT {expression}", name) is not None


async def _lock(connection: Connection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
