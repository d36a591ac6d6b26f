"""The SQL of a target: names quoted, values never in the text, only named columns touched."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.cqltype import parse
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.sink.merge import Kind
from cdcd.sink.statements import (
    Shape,
    add_columns,
    apply,
    arrays,
    create,
    create_staging,
    literal,
    shape_columns,
    staged,
)
from cdcd.sink.target import quoted, targets_of

TABLE = TableSpec(
    "ks",
    "t",
    (
        Column("p", parse("int"), ColumnKind.PARTITION_KEY),
        Column("c", parse("text"), ColumnKind.CLUSTERING),
        Column("a", parse("varint"), ColumnKind.REGULAR),
        Column("b", parse("timestamp"), ColumnKind.REGULAR),
    ),
)
TARGET = targets_of(TABLE, "s").rows


def test_an_upsert_touches_the_named_columns_only() -> None:
    """A column that the change did not name stands nowhere in the statement."""
    text = apply(TARGET, Shape(Kind.UPSERT, ("a",)), staged("x"))
    assert text == (
        'INSERT INTO "s"."t" AS t ("p", "c", "a", "cdc_timestamp") '
        'SELECT "p", "c", "a", "cdc_timestamp" '
        'FROM (SELECT * FROM "x" WHERE "cdc_shape" = $1) AS s ORDER BY "p", "c" '
        'ON CONFLICT ("p", "c") DO UPDATE '
        'SET "a" = EXCLUDED."a", "cdc_timestamp" = EXCLUDED."cdc_timestamp"'
    )


def test_an_update_makes_no_row() -> None:
    """Nulls alone go by UPDATE."""
    text = apply(TARGET, Shape(Kind.UPDATE, ("b",)), staged("x"))
    assert text.startswith('UPDATE "s"."t" AS t SET "b" = s."b", ')
    assert 't."p" = s."p" AND t."c" = s."c"' in text


def test_a_partition_delete_compares_the_partition_key() -> None:
    """A delete compares exactly the columns it is given."""
    text = apply(TARGET, Shape(Kind.DELETE, ("p",)), staged("x"))
    assert text.endswith('WHERE t."p" = s."p"')


def test_arrays_have_a_parameter_for_each_column() -> None:
    """A small batch's columns are typed parameters."""
    columns = shape_columns(TARGET, Shape(Kind.UPSERT, ("b",)))
    assert arrays(columns) == (
        "(SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::timestamptz[]) "
        'AS a ("p", "c", "b", "cdc_timestamp"))'
    )


def test_the_target_has_the_sources_primary_key() -> None:
    """The key's columns in the key's order, then the others, then the write time."""
    assert create(TARGET) == (
        'CREATE TABLE "s"."t" ("p" integer, "c" text, "a" numeric, "b" timestamptz, '
        '"cdc_timestamp" timestamptz, "cdc_expires_at" timestamptz, '
        '"cdc_expires_last" timestamptz, "cdc_expires_key" bytea, PRIMARY KEY ("p", "c"))'
    )


@given(st.text(min_size=1).filter(lambda t: "\0" not in t))
def test_quoting_ends_where_the_name_ends(name: str) -> None:
    """Read back by SQL's rule for quoted identifiers and constants, a name is itself."""
    assert re.fullmatch(r'"(?:[^"]|"")*"', quoted(name), re.DOTALL)
    assert quoted(name)[1:-1].replace('""', '"') == name
    assert re.fullmatch(r"E'(?:[^'\\]|''|\\\\)*'", literal(name), re.DOTALL)
    assert literal(name)[2:-1].replace("''", "'").replace("\\\\", "\\") == name


@pytest.mark.parametrize("kind", list(Kind))
def test_odd_names_are_quoted_wherever_they_stand(kind: Kind) -> None:
    """With quoted parts taken out, nothing of a hostile name is left in any statement."""
    evil = 'x"; DROP TABLE users; --'
    key = Column(evil + "k", parse("int"), ColumnKind.CLUSTERING)
    column = Column(evil, parse("int"), ColumnKind.REGULAR)
    target = targets_of(TableSpec("ks", evil, (key, column)), evil).rows
    columns = (evil + "k",) if kind is Kind.DELETE else (evil,)
    shape = Shape(kind, columns)
    texts = [
        apply(target, shape, staged("x")),
        apply(target, shape, arrays(shape_columns(target, shape))),
        create(target),
        create_staging(target, evil),
        add_columns(target, [(evil, "int")]),
    ]
    for text in texts:
        assert "DROP" not in re.sub(r'"(?:[^"]|"")*"', "", text)
