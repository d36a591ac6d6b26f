"""The target table as PostgreSQL shows it, and what it must show."""

import asyncio
from typing import Any

import asyncpg

from tests.independent.forms import asked, expected, shown
from tests.independent.source import Column, Key, State, Table
from tests.stack import Stack

Rows = dict[Key, dict[str, Any]]


def _hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return tuple(sorted(value.items())) if isinstance(value, dict) else value


def _key(columns: list[Column], values: list[Any]) -> Key:
    return tuple(map(_hashable, values[: len(columns)]))


async def _read(stack: Stack, name: str, keys: list[Column], others: list[Column]) -> Rows:
    connection = await asyncpg.connect(stack.postgres)
    columns = [*keys, *others]
    wanted = ", ".join(asked(c.type, c.name) for c in columns)
    try:
        await connection.execute("SET timezone = 'UTC'")
        rows = await connection.fetch(f"SELECT {wanted} FROM {name}")
    except asyncpg.UndefinedTableError:
        return {}
    finally:
        await connection.close()
    found = {}
    for row in rows:
        values = [shown(c.type, text) for c, text in zip(columns, row, strict=True)]
        named = zip((c.name for c in others), values[len(keys) :], strict=True)
        found[_key(keys, values)] = {n: v for n, v in named if v is not None}
    return found


def read(stack: Stack, schema: str, table: Table) -> tuple[Rows, Rows]:
    """Rows and static rows of a target; nulls are left out."""
    partition, statics = table.of("partition_key"), table.of("static")
    name = f'"{schema}"."{table.name}"'
    rows = asyncio.run(_read(stack, name, table.key, table.of("regular")))
    if not statics:
        return rows, {}
    name = f'"{schema}"."{table.name}__static"'
    return rows, asyncio.run(_read(stack, name, partition, statics))


def must_show(table: Table, state: State) -> tuple[Rows, Rows]:
    """What the target must hold for the source's rows."""
    types = {c.name: c.type for c in table.columns}

    def form(found: dict[Key, dict[str, Any]]) -> Rows:
        rows = {}
        for key, values in found.items():
            parts = zip(table.key, key, strict=False)
            rows[tuple(_hashable(expected(c.type, v)) for c, v in parts)] = {
                name: expected(types[name], v) for name, v in values.items()
            }
        return rows

    return form(state.rows), form(state.statics)
