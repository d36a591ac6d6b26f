"""A row's digest is the same from ScyllaDB's bytes and from PostgreSQL, whatever is in it."""

import asyncio
import itertools
import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cdcd.config.settings import PostgresSettings
from cdcd.model.casts import rules_of
from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import decoder
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.model.typemap import Replaced, UnstorableValue, postgres_type
from cdcd.reconcile.part import Part, parts_of
from cdcd.reconcile.target_side import TargetSide
from cdcd.sink.pool import Pool
from cdcd.sink.statements import arrays, create
from cdcd.sink.target import Options, TargetColumn, targets_of
from tests.stack import Stack
from tests.unit import cql_values

ROWS = 30
_number = itertools.count()

RawRow = tuple[bytes | None, ...]


@st.composite
def _tables(draw: st.DrawFn) -> tuple[Part, list[RawRow]]:
    """A table with columns of some types, written to any that the target may have, and rows as
    ScyllaDB sends them; the key is a number.
    """
    cqls = draw(st.lists(cql_values.types, min_size=1, max_size=6))
    columns = [Column("id", CqlType("int"), ColumnKind.PARTITION_KEY)]
    columns += [Column(f"v{n}", cql, ColumnKind.REGULAR) for n, cql in enumerate(cqls)]
    kinds = [draw(st.sampled_from([postgres_type(c), *sorted(rules_of(c))])) for c in cqls]
    replaced = Replaced(*draw(st.tuples(*[st.booleans()] * 3)))
    options = Options(types={f"v{n}": k for n, k in enumerate(kinds)}, replaced=replaced)
    spec = TableSpec("ks", f"digest{os.getpid()}x{next(_number)}", tuple(columns))
    (part,) = parts_of(spec, targets_of(spec, "public", options))
    row = st.tuples(*[st.none() | _raw(column) for column in part.target.columns])
    rows = draw(st.lists(row, min_size=1, max_size=ROWS))
    return part, [(n.to_bytes(4, "big"), *raws) for n, raws in enumerate(rows)]


def _raw(column: TargetColumn) -> st.SearchStrategy[bytes]:
    """Bytes of a value that PostgreSQL can hold."""
    cql = column.source.type
    values = cql_values.values(cql)
    if cql.name == "text" and column.kind in _TEXTS:
        values = st.sampled_from(_TEXTS[column.kind]).map(lambda v: cql_values.Value(v, v))
    raw = values.map(lambda v: cql_values.serialized(cql, v.driver))
    return raw.filter(lambda r: _storable(column, r))


# Text that these types can be made of; any other is refused.
_TEXTS = {
    "uuid": ["6ecd8c99-4036-403d-bf84-cf8400f67836", "{6ECD8C99-4036-403D-BF84-CF8400F67837}"],
    "jsonb": ['{"b": 1.50, "a": [1E5, -0.0, null]}', "12345678901234567890", '"\\u00e9"'],
}


def _storable(column: TargetColumn, raw: bytes) -> bool:
    try:
        return len(repr(_bound(column, raw))) < 10_000
    except UnstorableValue:
        return False


def _bound(column: TargetColumn, raw: bytes | None) -> Any:
    value = None if raw is None else decoder(column.source.type)(raw)
    return None if value is None else column.convert(value)


async def _written(stack: Stack, part: Part, rows: list[RawRow]) -> dict[int, bytes]:
    """The rows' digests from PostgreSQL, by number."""
    target = part.target
    columns = target.typed_columns[: len(rows[0])]
    held = (*target.key, *target.columns)
    bound = [[_bound(column, raw) for column, raw in zip(held, row, strict=True)] for row in rows]
    names = ", ".join(f'"{n}"' for n, _ in columns)
    async with Pool(PostgresSettings(dsn=stack.postgres), "digest test") as pool:
        async with pool.connection() as connection:
            await connection.execute(create(target))
            await connection.execute(
                f"INSERT INTO {target.quoted} ({names}) SELECT {names} FROM {arrays(columns)} AS s",
                *map(list, zip(*bound, strict=True)),
            )
        side = TargetSide(pool, part)
        found = [r for c in (await side.size()).chunks async for page in side.scan(c) for r in page]
        async with pool.connection() as connection:
            await connection.execute(f"DROP TABLE {target.quoted}")
    return {int.from_bytes(key, "big"): digest for key, digest in found}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(_tables())
def test_both_sides_give_one_digest(stack: Stack, made: tuple[Part, list[RawRow]]) -> None:
    """Each row's digest from its CQL bytes is the one that PostgreSQL makes of what was bound."""
    part, rows = made
    order = {c.name: n for n, c in enumerate((*part.target.key, *part.target.columns))}
    ours = {
        number: part.form.digest([row[order[c.name]] for c in (*part.form.key, *part.form.columns)])
        for number, row in enumerate(rows)
    }
    assert asyncio.run(_written(stack, part, rows)) == ours
