"""Laying out: effects become rows for as few statements as there are shapes."""

from typing import Any

import pytest

from cdcd.model.cqltype import parse
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.sink.merge import BadValue, Effect, Effects, Kind
from cdcd.sink.rows import lay_out
from cdcd.sink.target import targets_of

TABLE = TableSpec(
    "ks",
    "t",
    (
        Column("p", parse("int"), ColumnKind.PARTITION_KEY),
        Column("c", parse("int"), ColumnKind.CLUSTERING),
        Column("a", parse("text"), ColumnKind.REGULAR),
        Column("b", parse("date"), ColumnKind.REGULAR),
    ),
)
TARGETS = targets_of(TABLE, "s")
EPOCH_US = 946_684_800_000_000


def shaped(effects: Effects) -> list[Any]:
    return lay_out(TARGETS, effects, ())


def test_effects_of_one_shape_share_a_statement() -> None:
    """Rows with the same columns set are one part, whatever order the columns were named in."""
    effects = Effects(
        rows={
            (1, 1): Effect(Kind.UPSERT, {"a": "x", "b": 10_957}, EPOCH_US, 0),
            (1, 2): Effect(Kind.UPSERT, {"b": None, "a": "y"}, EPOCH_US + 5, 1),
        }
    )
    (part,) = shaped(effects)
    assert part.shape.columns == ("a", "b")
    assert part.rows == [(1, 1, "x", (0,), (0,)), (1, 2, "y", None, (5,))]


def test_a_replaced_row_names_every_column() -> None:
    """Columns that a full row does not have are written as null."""
    effects = Effects(rows={(1, 1): Effect(Kind.REPLACE, {"a": "x"}, EPOCH_US, 0)})
    (part,) = shaped(effects)
    assert part.shape.columns == ("a", "b")
    assert part.rows == [(1, 1, "x", None, (0,))]


def test_partition_deletes_come_first() -> None:
    """Rows written after a partition delete survive it."""
    effects = Effects(
        partition_deletes={(1,): 0},
        rows={
            (1, 1): Effect(Kind.UPDATE, {"a": None}, 0, 1),
            (1, 2): Effect(Kind.UPSERT, {"a": "x"}, 0, 2),
            (2, 2): Effect(Kind.DELETE, {}, 0, 3),
        },
    )
    parts = shaped(effects)
    assert [(p.shape.kind, p.shape.columns) for p in parts] == [
        (Kind.DELETE, ("p",)),
        (Kind.DELETE, ("p", "c")),
        (Kind.UPSERT, ("a",)),
        (Kind.UPDATE, ("a",)),
    ]


def test_a_column_that_the_target_lacks_is_left_out() -> None:
    """A column that was dropped from the source is no column of a new target."""
    effects = Effects(rows={(1, 1): Effect(Kind.UPSERT, {"a": "x", "gone": 1}, EPOCH_US, 0)})
    (part,) = shaped(effects)
    assert part.shape.columns == ("a",)


def test_a_value_that_cannot_be_stored_is_named_without_itself() -> None:
    """The message has the column and the index of the event, and not the value."""
    effects = Effects(rows={(1, 1): Effect(Kind.UPSERT, {"a": "secret\0"}, 0, 7)})
    with pytest.raises(BadValue, match='"a"') as caught:
        shaped(effects)
    assert caught.value.at == 7
    assert "secret" not in str(caught.value)
