"""The SQL of tables of some shapes, whole, in files: a change of it is seen in review.

`CDCD_WRITE_SQL=1 pytest tests/unit/test_sql.py` writes the files anew. That PostgreSQL does with
these texts what is meant is shown by the tests on a real server.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cdcd.reconcile.digest import RowForm
from cdcd.sink import statements as sql
from cdcd.sink.merge import Kind
from cdcd.sink.ranges import RangeShape
from cdcd.sink.statements import Shape
from cdcd.sink.target import Options, Target, Targets, targets_of
from tests.unit.tables import table

FOLDER = Path(__file__).parent / "sql"
KEY = {"p:p": "int", "p:q": "text", "c:c": "text", "c:d desc": "int"}
PLAIN = {**KEY, "r:a": "text", "r:b": "int", "r:e": "blob"}
VALUES = """ascii bigint blob boolean date decimal double duration float inet int smallint text time
timestamp timeuuid tinyint uuid varint list<int> map<text,int> set<uuid> tuple<int,text>"""
ORDERED = """ascii bigint blob boolean date decimal int smallint text timestamp timeuuid tinyint
varint"""
TABLES = {
    "plain": targets_of(table(PLAIN), "s"),
    "soft_delete": targets_of(
        table(PLAIN),
        "s",
        Options(
            name="{keyspace}_{table}",
            excluded=frozenset({"b"}),
            renames={"q": "owner", "a": "label"},
            types={"a": "varchar(20)"},
            soft_delete=True,
        ),
    ),
    "statics": targets_of(table({"p:p": "int", "c:c": "int", "r:a": "int", "s:b": "text"}), "s"),
    "key_only": targets_of(table({"p:p": "int"}), "s"),
    "odd_names": targets_of(
        table({'p:"': "int", "c:a'b": "int", "r:{}": "int", "r:c d": "double"}, name='t".x'), 'S"'
    ),
    "value_types": targets_of(
        table({"p:p": "int", **{f"r:v{n:02}": t for n, t in enumerate(VALUES.split())}}), "s"
    ),
    "scaled_keys": targets_of(
        table({"p:p": "decimal", "p:q": "int", "c:c": "decimal", "r:a": "text", "s:b": "text"}), "s"
    ),
    "key_types": targets_of(
        table({"p:p": "int", **{f"c:c{n:02}": t for n, t in enumerate(ORDERED.split())}}), "s"
    ),
}


def _texts(targets: Targets) -> Iterator[tuple[str, str]]:
    for target in targets.all:
        yield from _table(target)
        yield from _effects(target)
        yield from _ranges(target)
        yield from _rows(target)


def _table(target: Target) -> Iterator[tuple[str, str]]:
    missing, names = target.typed_columns[-2:], [c.name for c in target.columns][:2]
    yield "create", sql.create(target)
    yield "create the expiry's index", sql.create_expiry_index(target)
    yield "add columns", sql.add_columns(target, missing)
    yield "widen columns", sql.evolve(target, [(n, "numeric") for n in names], names)
    yield "staging", sql.create_staging(target, "cdc_x")
    yield "staging for one batch", sql.create_staging(target, "cdc_x", is_kept=False)


def _effects(target: Target) -> Iterator[tuple[str, str]]:
    names = tuple(c.name for c in target.columns)
    key = tuple(c.name for c in target.key)
    shapes = {
        "upsert of all": Shape(Kind.UPSERT, names),
        "upsert of one that expires": Shape(Kind.UPSERT, names[:1], expires=True),
        "update of one": Shape(Kind.UPDATE, names[:1]),
        "update of one that expires": Shape(Kind.UPDATE, names[:1], expires=True),
        "replace": Shape(Kind.REPLACE, names, expires=True),
        "delete": Shape(Kind.DELETE, key),
        "delete of a partition": Shape(Kind.DELETE, key[:1]),
    }
    for title, shape in shapes.items():
        yield title, sql.apply(target, shape, sql.staged("cdc_x"))
        yield f"{title}: arrays", sql.arrays(sql.shape_columns(target, shape))


def _ranges(target: Target) -> Iterator[tuple[str, str]]:
    width = sum(c.order is not None for c in target.key if c.source.kind.name == "CLUSTERING")
    shapes = [
        RangeShape(equal, start, start_inclusive, end, end_inclusive)
        for equal, start, start_inclusive, end, end_inclusive in (
            (0, 0, True, 0, True),
            (0, 1, True, 0, True),
            (0, 0, True, 1, False),
            (0, 2, False, 2, True),
            (0, width, True, 1, False),
            (1, 1, False, 1, False),
            (1, 0, True, 0, True),
            (1, 0, False, 1, True),
        )
        if equal + max(start, end) <= width
    ]
    for shape in dict.fromkeys(shapes):
        columns = sql.range_columns(target, shape)
        start = f"{shape.start} {'in' if shape.start_inclusive else 'ex'}clusive"
        end = f"{shape.end} {'in' if shape.end_inclusive else 'ex'}clusive"
        title = f"range: equal {shape.equal}, start {start}, end {end}"
        yield title, sql.apply(target, shape, sql.arrays(columns))


def _rows(target: Target) -> Iterator[tuple[str, str]]:
    names = [c.name for c in target.columns]
    yield "read columns", sql.read_columns(target, names[:2])
    yield "find rows of nulls", sql.find_empty(target)
    yield "delete rows of nulls", sql.delete_empty(target)
    form = RowForm(target.key, target.columns)
    columns = [f"t.{n}" for n in range(len(target.key) + len(names))]
    yield "digest", form.sql_digest(columns)
    yield "bytes", ",\n".join(form.sql_bytes(columns))


@pytest.mark.parametrize("name", TABLES)
def test_sql_is_as_reviewed(name: str) -> None:
    """Every statement for a table is, letter by letter, the one in the table's file."""
    text = "".join(f"-- {title}\n{statement};\n\n" for title, statement in _texts(TABLES[name]))
    path = FOLDER / f"{name}.sql"
    if os.environ.get("CDCD_WRITE_SQL"):
        path.write_text(text)
    assert path.read_text() == text


def test_every_file_is_of_a_table() -> None:
    """No file is left of a table that is no longer looked at."""
    assert {path.stem for path in FOLDER.iterdir()} == set(TABLES)
