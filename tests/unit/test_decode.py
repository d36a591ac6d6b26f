"""Log rows to changes: operations, unset and null and set, keys, and what is not understood."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.change import ChangeEvent, Elements, Identity, Operation
from cdcd.model.errors import TableStopped, Transient
from cdcd.model.position import min_timeuuid
from cdcd.source.decode import (
    LogDecoder,
    groups,
    last_group,
    log_columns,
    serialized_key,
    whole_groups,
)
from tests.unit.log_rows import (
    EXPIRED_PARTITION,
    EXPIRED_ROW,
    INSERT,
    PARTITION_DELETE,
    ROW_DELETE,
    SINGLE,
    SPEC,
    STREAM,
    TIME,
    TRUE,
    UPDATE,
    decode,
    log_row,
    number,
    one,
    row_of,
)
from tests.unit.tables import table


def test_the_columns_that_are_read() -> None:
    """Of the log are read its own columns, the key, and each other column with its deleted mark."""
    assert log_columns(SPEC)[6:] == (
        *("p", "a", "b"),
        *("v", "cdc$deleted_v", "w", "cdc$deleted_w"),
    )


def test_columns_that_begin_with_deleted() -> None:
    """Base columns whose names begin like marks keep names and marks of their own."""
    spec = table({"p:p": "int", "r:deleted_v": "int", "r:v": "int"})
    assert log_columns(spec)[7:] == (
        "deleted_v",
        "cdc$deleted_deleted_v",
        "v",
        "cdc$deleted_v",
    )


def test_unset_null_and_set_are_three_things() -> None:
    """A column that was not touched is nowhere, one set to null is in nulls, one set in values."""
    event = one(log_row(UPDATE, v=b"text"))
    assert (dict(event.values), event.nulls) == ({"v": "text"}, ())
    event = one(log_row(UPDATE, **{"cdc$deleted_v": TRUE, "w": number(0)}))
    assert (dict(event.values), event.nulls) == ({"w": 0}, ("v",))


def test_an_empty_text_is_set() -> None:
    """A column set to the empty text is set and not null."""
    event = one(log_row(UPDATE, v=b""))
    assert (dict(event.values), event.nulls) == ({"v": ""}, ())


def test_the_protocols_empty_int_is_null() -> None:
    """A column set to the empty value of a type that has none is set to null."""
    assert one(log_row(UPDATE, w=b"")).nulls == ("w",)


def test_a_value_that_is_deleted_too_is_not_understood() -> None:
    """A column both set and deleted, which a delta never has, stops the table."""
    with pytest.raises(TableStopped, match="v both set and deleted"):
        one(log_row(UPDATE, **{"v": b"x", "cdc$deleted_v": TRUE}))


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (UPDATE, Operation.UPDATE),
        (INSERT, Operation.CREATE),
        (ROW_DELETE, Operation.DELETE),
        (EXPIRED_ROW, Operation.DELETE),
        (PARTITION_DELETE, Operation.PARTITION_DELETE),
        (EXPIRED_PARTITION, Operation.PARTITION_DELETE),
    ],
)
def test_operations(operation: int, expected: Operation) -> None:
    """Each of the log's operations is one of ours; the server's own deletes are deletes."""
    assert one(log_row(operation)).op is expected


@pytest.mark.parametrize("operation", [PARTITION_DELETE, EXPIRED_PARTITION])
def test_a_partition_of_one_row(operation: int) -> None:
    """Without clustering columns a partition delete is a row's delete."""
    assert one(row_of(SINGLE, operation), SINGLE).op is Operation.DELETE


def test_an_insert_of_only_a_key() -> None:
    """An insert without columns is still an insert."""
    event = one(log_row(INSERT))
    assert (event.op, dict(event.values), event.nulls) == (Operation.CREATE, {}, ())


def test_where_and_when() -> None:
    """A change has its key, write time, token, TTL and the identity of its log row."""
    ttl = struct.pack(">q", 60)
    row = log_row(UPDATE, **{"cdc$ttl": ttl, "cdc$batch_seq_no": number(7)})
    event = one(row)
    assert (event.partition, event.clustering) == ((1,), ("x", 2))
    assert event.time_us == 1_000_000
    assert event.token == len(number(1))
    assert event.ttl_seconds == 60
    assert event.identity == Identity(STREAM, TIME, 7)
    assert one(log_row(UPDATE)).ttl_seconds is None


def test_a_partition_delete_has_no_clustering_key() -> None:
    """The clustering columns of a partition delete are null."""
    assert one(log_row(PARTITION_DELETE)).clustering == (None, None)


@pytest.mark.parametrize("operation", [UPDATE, INSERT, ROW_DELETE, EXPIRED_ROW])
@pytest.mark.parametrize("name", ["a", "b"])
def test_a_row_without_its_clustering_key_is_not_understood(operation: int, name: str) -> None:
    """A row's change whose clustering key is not whole stops the table."""
    with pytest.raises(TableStopped, match="clustering key"):
        one(log_row(operation, **{name: None}))


@pytest.mark.parametrize("operation", [10, 99, -1, -128, None])
def test_unknown_operations_stop_the_table(operation: int | None) -> None:
    """An operation of a newer server stops the table, with its number, and is never passed over."""
    with pytest.raises(TableStopped, match=rf"its log has an unknown operation {operation} "):
        one(log_row(operation))


def test_images_are_passed_over() -> None:
    """Pre- and post-images are no changes, wherever in a group they are."""
    rows = [
        log_row(0, **{"cdc$end_of_batch": None, "v": b"before"}),
        log_row(UPDATE, **{"cdc$end_of_batch": None, "v": b"delta"}),
        log_row(9, v=b"after"),
    ]
    assert [dict(e.values) for e in decode(*rows)] == [{"v": "delta"}]
    assert decode(log_row(0), spec=SPEC) == []


def test_images_belong_to_the_row_with_their_key() -> None:
    """An image fills before or after of the change of the same row, wherever in a group it is."""
    more = {"cdc$end_of_batch": None}
    rows = [
        log_row(0, **more, b=b"\x00\x00\x00\x01", v=b"one before"),
        log_row(0, **more, b=b"\x00\x00\x00\x02", v=b"two before"),
        log_row(UPDATE, **more, b=b"\x00\x00\x00\x02", v=b"two"),
        log_row(UPDATE, **more, b=b"\x00\x00\x00\x01", v=b"one"),
        log_row(9, b=b"\x00\x00\x00\x01", v=b"one after"),
    ]
    found = [(e.before, dict(e.values), e.after) for e in decode(*rows)]
    assert found == [
        ({"v": "two before"}, {"v": "two"}, None),
        ({"v": "one before"}, {"v": "one"}, {"v": "one after"}),
    ]


def test_an_image_of_null_columns_is_no_trouble() -> None:
    """An image of a static row, without clustering key, is passed over like any other."""
    assert decode(log_row(0, a=None, b=None)) == []


def test_several_rows_of_a_group_stay_in_order() -> None:
    """The rows of a batch are changes in the order of their sequence numbers, with one token."""
    rows = [
        log_row(
            UPDATE,
            **{
                "cdc$batch_seq_no": number(n),
                "cdc$end_of_batch": TRUE if n == 2 else None,
                "b": number(n),
            },
        )
        for n in range(3)
    ]
    events = decode(*rows)
    assert [e.clustering[1] for e in events] == [0, 1, 2]
    assert [e.identity.seq for e in events if e.identity] == [0, 1, 2]
    assert {(e.partition, e.token) for e in events} == {((1,), 4)}


def test_a_group_without_end_is_read_again() -> None:
    """A group whose last row is not marked as the end is never published in part."""
    with pytest.raises(Transient, match="no end"):
        one(log_row(UPDATE, **{"cdc$end_of_batch": None}))


def test_composite_partition_keys() -> None:
    """A key of several columns is hashed as length-prefixed components, and keeps their order."""
    spec = table({"p:p": "int", "p:q": "text", "r:v": "int"})
    row = row_of(spec, UPDATE, q=b"ab")
    seen: list[bytes] = []

    def token_of(key: bytes) -> int:
        seen.append(key)
        return 0

    (event,) = LogDecoder(spec, token_of).changes([row], holds=lambda _: True)
    assert event.partition == (1, "ab")
    assert seen == [b"\x00\x04" + number(1) + b"\x00" + b"\x00\x02ab\x00"]


def test_single_keys_are_hashed_as_they_are() -> None:
    """The key of one column is hashed without anything around it."""
    assert serialized_key([b"abc"]) == b"abc"


def test_rows_are_cut_into_groups() -> None:
    """A group ends where the stream or the time changes, and rows keep their order."""
    later, other = min_timeuuid(2000), bytes(16)
    rows = [
        log_row(UPDATE, **{"cdc$batch_seq_no": number(0)}),
        log_row(UPDATE, **{"cdc$batch_seq_no": number(1)}),
        log_row(UPDATE, **{"cdc$time": later}),
        log_row(UPDATE, **{"cdc$time": later, "cdc$stream_id": other}),
        log_row(UPDATE, **{"cdc$stream_id": other}),
    ]
    found = groups(rows)
    assert [len(g) for g in found] == [2, 1, 1, 1]
    assert [r for g in found for r in g] == rows
    assert groups([]) == []


@given(st.lists(st.integers(1, 7), max_size=20), st.integers(1, 9))
def test_portions_of_whole_groups(sizes: list[int], rows_min: int) -> None:
    """Portions are all rows in order, no group is cut, and none but the last has too few."""
    rows = [
        log_row(UPDATE, **{"cdc$stream_id": bytes([n]) * 16})
        for n, size in enumerate(sizes)
        for _ in range(size)
    ]
    found = list(whole_groups(rows, rows_min))
    assert [row for part in found for row in part] == rows
    assert [group for part in found for group in groups(part)] == groups(rows)
    assert all(rows_min <= len(part) < rows_min + 7 for part in found[:-1])


def test_the_last_group_of_a_page() -> None:
    """The last group is all rows at the end with the stream and time of the last one."""
    later = min_timeuuid(2000)
    rows = [*(log_row(UPDATE),) * 2, *(log_row(UPDATE, **{"cdc$time": later}) for _ in range(3))]
    assert [last_group(rows[:n]) for n in range(6)] == [0, 0, 0, 2, 2, 2]
    assert last_group([*rows, log_row(UPDATE, **{"cdc$stream_id": bytes(16)})]) == 5


def test_images_show_collections_whole() -> None:
    """A collection of an image is its value, and one that is null is not shown."""
    spec = table({"p:p": "int", "r:s": "set<int>", "r:u": "set<int>"})
    members = b"\0\0\0\1\0\0\0\4" + number(7)
    image = row_of(spec, 0, s=members, **{"cdc$end_of_batch": None})
    (event,) = decode(image, row_of(spec, UPDATE, s=members), spec=spec)
    assert event.before == {"s": [7]}


def test_only_wanted_tokens_are_decoded() -> None:
    """Changes of partitions with other tokens are passed over, whole groups of them."""
    bad = log_row(UPDATE, p=b"", **{"cdc$time": b"x" * 16})
    rows = [log_row(UPDATE, p=number(1)), bad, log_row(UPDATE, p=number(2))]
    found = LogDecoder(SPEC, len).changes(rows, holds=lambda token: token == len(number(1)))
    assert [event.partition for event in found] == [(1,), (2,)]


def test_groups_of_one_row_and_of_two() -> None:
    """Of groups that follow each other every row is a change, in order."""
    later, last = min_timeuuid(2000), min_timeuuid(3000)
    rows = [
        log_row(UPDATE, b=number(0)),
        log_row(UPDATE, **{"cdc$time": later, "cdc$end_of_batch": None, "b": number(1)}),
        log_row(INSERT, **{"cdc$time": later, "b": number(2)}),
        log_row(UPDATE, **{"cdc$time": last, "b": number(3)}),
    ]
    assert [event.clustering[1] for event in decode(*rows)] == [0, 1, 2, 3]


MEMBERS = table({"p:p": "int", "r:a": "set<int>", "r:b": "set<int>", "r:c": "int"})


def test_columns_after_collections() -> None:
    """A collection has three columns in the log; what was put, removed and set is each its own."""
    seven, eight = (b"\0\0\0\1\0\0\0\4" + number(n) for n in (7, 8))
    row = row_of(
        MEMBERS,
        UPDATE,
        **{"a": seven, "cdc$deleted_elements_a": eight},
        **{"b": eight, "cdc$deleted_b": TRUE, "c": number(9)},
    )
    assert one(row, MEMBERS) == ChangeEvent(
        table=MEMBERS,
        op=Operation.UPDATE,
        partition=(1,),
        clustering=(),
        time_us=1_000_000,
        token=4,
        identity=Identity(STREAM, TIME, 0),
        values={"b": [8], "c": 9},
        elements={"a": Elements([7], (8,))},
    )


def test_a_collection_that_is_deleted() -> None:
    """A collection's mark alone sets it to null, whichever collection it is."""
    event = one(row_of(MEMBERS, UPDATE, **{"cdc$deleted_b": TRUE}), MEMBERS)
    assert (dict(event.values), event.nulls, dict(event.elements)) == ({}, ("b",), {})
