"""Log rows that are not understood: the table stops, and what it says is for an operator."""

import pytest

from cdcd.model.errors import TableStopped, Transient
from cdcd.source.decode import LogDecoder
from cdcd.source.row_readers import RawRow
from tests.unit.log_rows import (
    INSERT,
    PARTITION_DELETE,
    ROW_DELETE,
    SINGLE,
    SPEC,
    TRUE,
    UPDATE,
    decode,
    log_row,
    number,
    one,
    row_of,
)
from tests.unit.tables import table

RENAMED = "its log has a row without a clustering key: was a key column renamed?"
MORE = {"cdc$end_of_batch": None}


def stopped(*rows: RawRow) -> TableStopped:
    """How the table stops at a group."""
    with pytest.raises(TableStopped) as caught:
        decode(*rows)
    return caught.value


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([log_row(99)], "its log has an unknown operation 99"),
        ([log_row(5)], "its log has the start of a range without its end"),
        ([log_row(6)], "its log has the start of a range without its end"),
        ([log_row(7)], "its log has the end of a range without its start"),
        ([log_row(8)], "its log has the end of a range without its start"),
        (
            [log_row(5, **MORE), log_row(7, **MORE), log_row(7)],
            "its log has the end of a range without its start",
        ),
        ([log_row(UPDATE, p=b"")], "its log has an empty value in a key"),
        ([log_row(UPDATE, b=b"")], "its log has an empty value in a key"),
        ([log_row(PARTITION_DELETE, b=b"")], "its log has an empty value in a key"),
        (
            [log_row(UPDATE, **{"v": b"x", "cdc$deleted_v": TRUE})],
            "its log has v both set and deleted",
        ),
        ([log_row(UPDATE)[:-2]], "its log has a value that is not of its column's type"),
        ([log_row(UPDATE, w=b"\0")], "its log has a value that is not of its column's type"),
        ([log_row(UPDATE, v=b"\xff")], "its log has a value that is not of its column's type"),
    ],
)
def test_what_is_not_understood_is_said(rows: list[RawRow], message: str) -> None:
    """The table stops with its name and what its log has; nothing is missed by a later cdcd."""
    error = stopped(*rows)
    assert error.message == f"ks.t: {message}"
    assert error.hint == "a newer cdcd may know it"
    assert error.table == "ks.t"
    assert not error.needs_snapshot


@pytest.mark.parametrize(
    "names", [["cdc$stream_id"], ["cdc$time"], ["cdc$batch_seq_no"], ["cdc$stream_id", "cdc$time"]]
)
def test_rows_without_their_own_key(names: list[str]) -> None:
    """A change whose identity is not whole stops the table, and is never passed over."""
    row = log_row(UPDATE, **dict.fromkeys(names))
    assert stopped(row).message.endswith("of its column's type")


@pytest.mark.parametrize("operation", [UPDATE, INSERT, ROW_DELETE])
@pytest.mark.parametrize("key", [{"a": None}, {"b": None}, {"a": None, "b": None}])
def test_rows_whose_key_column_was_renamed(operation: int, key: dict[str, None]) -> None:
    """A row without its whole clustering key stops the table for good, and says what to do."""
    error = stopped(log_row(operation, **key))
    assert error.message == f"ks.t: {RENAMED}"
    assert error.table == "ks.t"
    assert error.hint == (
        "begin it anew: take it out of the pipeline, delete its target and that one's row in"
        " cdcd.targets, and add it again"
    )
    assert error.needs_snapshot


STATIC = table({"p:p": "int", "c:a": "int", "c:b": "int", "s:s": "int", "r:v": "int"})


def test_static_rows_have_no_clustering_key() -> None:
    """Where there are static columns, an update without any clustering column is of those."""
    event = one(row_of(STATIC, UPDATE, s=number(5)), STATIC)
    assert event.clustering == (None, None)
    assert dict(event.values) == {"s": 5}


@pytest.mark.parametrize(
    ("operation", "key"), [(UPDATE, {"a": number(1)}), (INSERT, {}), (ROW_DELETE, {})]
)
def test_what_is_no_static_row(operation: int, key: dict[str, bytes]) -> None:
    """A table with static columns has no other rows without their whole clustering key."""
    with pytest.raises(TableStopped, match="renamed"):
        one(row_of(STATIC, operation, **key), STATIC)


def test_a_key_that_is_not_there() -> None:
    """A partition key without a value is hashed as the empty one, and stops its table's lane."""
    row = row_of(SINGLE, UPDATE, p=None)
    with pytest.raises(TableStopped, match="empty value in a key"):
        LogDecoder(SINGLE, len).changes([row], holds=lambda token: token == 0)


def test_a_group_without_end_is_named() -> None:
    """A group whose end is not there yet is read again, and its table named."""
    with pytest.raises(Transient) as caught:
        decode(log_row(UPDATE), log_row(UPDATE, **MORE))
    assert str(caught.value) == "ScyllaDB: ks.t: a group of log rows has no end"


def test_specs_differ() -> None:
    """The rows above are of the table that they stop."""
    assert SPEC.full_name == SINGLE.full_name == "ks.t"
