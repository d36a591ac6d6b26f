"""Ranges in clustering order: which rows they hold, and which of them PostgreSQL can find."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.change import Bounds
from cdcd.model.cqltype import parse
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.model.typemap import ORDERED_ALIKE
from cdcd.sink.orders import EXPRESSIONS
from cdcd.sink.ranges import Ranges, RangeShape
from cdcd.sink.statements import apply, range_columns
from cdcd.sink.target import targets_of


def table(*clustering: str) -> TableSpec:
    """A table with clustering columns of these types, descending where `-` stands before."""
    columns = [Column("p", parse("int"), ColumnKind.PARTITION_KEY)]
    columns += [
        Column(f"c{n}", parse(t.lstrip("-")), ColumnKind.CLUSTERING, t.startswith("-"))
        for n, t in enumerate(clustering)
    ]
    return TableSpec("ks", "t", tuple(columns))


def ranges_of(spec: TableSpec) -> Ranges:
    return Ranges(targets_of(spec, "s").clustering_key)


MIXED = ranges_of(table("int", "-int", "int"))

PREFIX = st.lists(st.integers(0, 2), max_size=3).map(tuple)
BOUNDS = st.builds(Bounds, PREFIX, st.booleans(), PREFIX, st.booleans())


def position(prefix: tuple[Any, ...]) -> tuple[Any, ...]:
    """Where a row or a prefix stands among rows: the second column counts backwards."""
    return tuple(-v if n == 1 else v for n, v in enumerate(prefix))


@given(BOUNDS, st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)))
def test_rows_in_a_range(bounds: Bounds, row: tuple[int, ...]) -> None:
    """A row is inside when it lies behind the start and before the end; what begins with a bound
    is inside where the bound is inclusive, and an empty bound is open.
    """
    at = position(row)
    start, end = position(bounds.start), position(bounds.end)
    behind = at[: len(start)] > start or (
        at[: len(start)] == start and (bounds.start_inclusive or not start)
    )
    before = at[: len(end)] < end or (at[: len(end)] == end and (bounds.end_inclusive or not end))
    assert MIXED.covers(bounds, row) is (behind and before)


def test_the_statement_of_a_range() -> None:
    """What both bounds give is compared for equality, the rest column by column, the other way
    round where the column is descending, and text by its bytes.
    """
    spec = table("int", "-int", "text")
    ranges, target = ranges_of(spec), targets_of(spec, "s").rows
    bounds = Bounds((1, 5), False, (1, 2, "x"), True)
    shape = ranges.shape(bounds)
    assert shape == RangeShape(1, 1, False, 2, True)
    assert ranges.row(bounds) == (1, 5, 2, "x")
    assert [name for name, _ in range_columns(target, shape)] == [
        "p",
        "c0",
        "cdc_start_0",
        "cdc_end_0",
        "cdc_end_1",
    ]
    assert apply(target, shape, "x") == (
        'DELETE FROM "s"."t" AS t USING x AS s WHERE t."p" = s."p" AND t."c0" = s."c0"'
        ' AND (t."c1" < s."cdc_start_0")'
        ' AND (t."c1" > s."cdc_end_0"'
        ' OR t."c1" = s."cdc_end_0"'
        ' AND (t."c2" COLLATE "C") < (s."cdc_end_1" COLLATE "C")'
        ' OR t."c1" = s."cdc_end_0" AND t."c2" = s."cdc_end_1")'
    )


@pytest.mark.parametrize("text", ["uuid", "inet", "time", "double", "frozen<list<int>>"])
def test_orders_that_postgres_does_not_have(text: str) -> None:
    """A range over such a column has no statement, but one that gives its value has."""
    values = {"inet": ("10.0.0.1", "::1"), "time": (1, 2), "double": (0.0, 1.0)}
    low, high = values.get(text, ([1], [2]) if "list" in text else (UUIDS[0], UUIDS[1]))
    ranges = ranges_of(table(text, "int"))
    assert ranges.shape(Bounds((low,), True, (high,), True)) is None
    assert ranges.shape(Bounds((low,), True, (), True)) is None
    assert ranges.shape(Bounds((low,), True, (low,), True)) is not None
    assert ranges.shape(Bounds((low, 1), True, (low,), True)) is not None


UUIDS = ("00000000-0000-4000-8000-000000000000", "10000000-0000-4000-8000-000000000000")


def test_a_bound_that_postgres_cannot_hold() -> None:
    """A range with such a bound has no row, and has to be read instead."""
    assert ranges_of(table("text")).row(Bounds(("a\0",), True, (), True)) is None
    assert ranges_of(table("timestamp")).row(Bounds((2**62,), True, (), True)) is None


def test_every_ordered_type_is_atomic() -> None:
    """Only types that can be columns of their own have an order in PostgreSQL."""
    assert all(parse(name).args == () for name in EXPRESSIONS)


def test_the_source_cuts_where_ranges_are_known() -> None:
    """The types by which partitions are cut are those whose ranges PostgreSQL can find."""
    assert set(EXPRESSIONS) == ORDERED_ALIKE
