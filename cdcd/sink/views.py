"""The view of a table that has static columns: its rows with the statics of their partition.

As in the source, a partition that has nothing but statics is a row without a clustering key.
"""

# ruff: noqa: S608  making SQL text is what this module is for; every name goes through `quoted`

from collections.abc import Mapping, Sequence

from cdcd.sink.pool import Connection
from cdcd.sink.statements import matches
from cdcd.sink.target import DELETED, TIMESTAMP, Targets, quoted

RELATION = """
SELECT c.oid, c.relkind::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2
"""
_COLUMNS_OF = """
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS kind
FROM pg_attribute a
WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_PASSES_OVER_DELETED = f"SELECT pg_get_viewdef($1::text::regclass) LIKE '%NOT _.{DELETED}%'"


async def prepare_view(connection: Connection, targets: Targets) -> list[str]:
    """Make the view, or add what its tables have gained; gives what keeps it from being made."""
    statics = targets.statics
    if statics is None:
        return []
    view = f"{quoted(targets.rows.schema)}.{quoted(targets.full_name)}"
    found = await connection.fetchrow(RELATION, targets.rows.schema, targets.full_name)
    if found is not None and found["relkind"] != "v":
        return [f'"{targets.full_name}" is there and is not a view']
    kinds = {}
    for row in await connection.fetch(_COLUMNS_OF, targets.rows.quoted):
        kinds[row["name"]] = row["kind"]
    present = [] if found is None else await connection.fetch(_COLUMNS_OF, view)
    before = [row["name"] for row in present]
    wanted = view_columns(targets, before)
    passes_over = found is not None and await connection.fetchval(_PASSES_OVER_DELETED, view)
    if wanted != before or passes_over is not targets.rows.soft_delete:
        await connection.execute(create_view(targets, wanted, kinds))
    return []


def view_columns(targets: Targets, before: Sequence[str]) -> list[str]:
    """The view's columns: those that it has, which PostgreSQL keeps in their places, and then, in
    the order of `SELECT *` in the source, those that are new.
    """
    statics = targets.statics.columns if targets.statics is not None else ()
    columns = (*targets.rows.key, *statics, *targets.rows.columns)
    names = [*(c.name for c in columns), TIMESTAMP]
    return [*before, *(name for name in names if name not in before)]


def create_view(targets: Targets, columns: Sequence[str], kinds: Mapping[str, str]) -> str:
    """The view; `kinds` has the type of each column that the rows have."""
    rows, statics = targets.rows, targets.statics
    if statics is None:
        raise ValueError("only a table with static columns has a view")
    partition = [c.name for c in statics.key]
    joined, alone = [], []
    for name in columns:
        if name == TIMESTAMP:
            joined.append(f"GREATEST(r.{quoted(name)}, s.{quoted(name)}) AS {quoted(name)}")
            alone.append(f"s.{quoted(name)}")
        elif name in partition:
            joined.append(f"r.{quoted(name)}")
            alone.append(f"s.{quoted(name)}")
        elif name not in kinds:
            joined.append(f"s.{quoted(name)}")
            alone.append(f"s.{quoted(name)}")
        else:
            joined.append(f"r.{quoted(name)}")
            alone.append(f"NULL::{kinds[name]}")
    matching = matches(statics.key, "r")
    # As the source answers: without rows that were deleted and stay in the tables.
    row, static = ([f"NOT {t}.{quoted(DELETED)}"] if rows.soft_delete else [] for t in "rs")
    view = f"{quoted(rows.schema)}.{quoted(targets.full_name)}"
    return (
        f"CREATE OR REPLACE VIEW {view} AS "
        f"SELECT {', '.join(joined)} FROM {rows.quoted} AS r "
        f"LEFT JOIN {statics.quoted} AS s ON {' AND '.join([matching, *static])}{_where(row)} "
        f"UNION ALL SELECT {', '.join(alone)} FROM {statics.quoted} AS s"
        + _where(
            [f"NOT EXISTS (SELECT FROM {rows.quoted} AS r{_where([matching, *row])})", *static]
        )
    )


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
