"""Merging: a batch of changes becomes at most one effect for each row."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.change import ChangeEvent, Operation
from cdcd.model.cqltype import parse
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.sink.merge import BadValue, Effect, Kind, key_form, merge, row_form
from cdcd.sink.target import targets_of

TABLE = TableSpec(
    "ks",
    "t",
    (
        Column("p", parse("int"), ColumnKind.PARTITION_KEY),
        Column("c", parse("int"), ColumnKind.CLUSTERING),
        Column("a", parse("text"), ColumnKind.REGULAR),
        Column("b", parse("text"), ColumnKind.REGULAR),
    ),
)

TARGETS = targets_of(TABLE, "s")

Rows = dict[tuple[Any, ...], dict[str, Any]]


def event(
    op: str, row: Sequence[Any], values: Mapping[str, Any] | None = None, time_us: int = 1
) -> ChangeEvent:
    """A change of row (p, c), or of partition (p,); None among the values is a null."""
    written = values or {}
    return ChangeEvent(
        table=TABLE,
        op=Operation(op),
        partition=(row[0],),
        clustering=tuple(row[1:]) or (None,),
        time_us=time_us,
        token=0,
        identity=None,
        values={n: v for n, v in written.items() if v is not None},
        nulls=tuple(n for n, v in written.items() if v is None),
    )


def only_effect(*events: ChangeEvent) -> Effect:
    (effect,) = merge(TARGETS, events).rows.values()
    return effect


def test_partial_updates_of_one_row_are_folded() -> None:
    """Two updates of different columns are one effect that names both and nothing else."""
    effect = only_effect(event("u", (1, 1), {"a": "x"}), event("u", (1, 1), {"b": "y"}, 2))
    assert effect == Effect(Kind.UPSERT, {"a": "x", "b": "y"}, 2, 1)


def test_the_first_change_of_a_row() -> None:
    """An effect of one change has its time, and its place in the batch for what goes wrong."""
    first, second = event("u", (1, 1), {"a": "x"}, 5), event("u", (2, 1), {"a": "y"}, 6)
    assert list(merge(TARGETS, [first, second]).rows.values()) == [
        Effect(Kind.UPSERT, {"a": "x"}, 5, 0),
        Effect(Kind.UPSERT, {"a": "y"}, 6, 1),
    ]


def test_a_later_value_wins() -> None:
    """Of two writes of one column the later one counts, null included."""
    effect = only_effect(event("u", (1, 1), {"a": "x"}), event("u", (1, 1), {"a": None}))
    assert effect.values == {"a": None}
    assert effect.kind is Kind.UPSERT


def test_empty_text_is_neither_null_nor_untouched() -> None:
    """Empty, null and untouched stay three things."""
    effect = only_effect(event("u", (1, 1), {"a": "", "b": None}))
    assert effect.values == {"a": "", "b": None}


def test_nulls_alone_make_no_row() -> None:
    """An update that only writes nulls changes a row that is there and creates none."""
    assert only_effect(event("u", (1, 1), {"a": None})).kind is Kind.UPDATE


def test_an_insert_of_the_key_alone_makes_a_row() -> None:
    """An insert has a live marker, so its row exists without any other value."""
    assert only_effect(event("c", (1, 1))).kind is Kind.UPSERT


def test_an_insert_of_nulls_makes_a_row() -> None:
    """The marker makes the row, whatever the insert writes."""
    assert only_effect(event("c", (1, 1), {"a": None})).kind is Kind.UPSERT


def test_nulls_before_a_value_are_kept() -> None:
    """A null-only update and then a value is one upsert of both columns."""
    effect = only_effect(event("u", (1, 1), {"a": None}), event("u", (1, 1), {"b": "y"}))
    assert (effect.kind, effect.values) == (Kind.UPSERT, {"a": None, "b": "y"})


def test_a_delete_drops_what_was_before() -> None:
    """A deleted row is one delete, whatever the batch wrote to it before."""
    effect = only_effect(event("c", (1, 1), {"a": "x"}), event("d", (1, 1)))
    assert (effect.kind, effect.values) == (Kind.DELETE, {})


def test_an_insert_after_a_delete_replaces_the_row() -> None:
    """Columns that the new insert does not name are null, as the old row is gone."""
    effect = only_effect(event("d", (1, 1)), event("c", (1, 1), {"a": "x"}))
    assert (effect.kind, effect.values) == (Kind.REPLACE, {"a": "x"})


def test_nulls_after_a_delete_leave_it_deleted() -> None:
    """A null-only update of a deleted row does not bring it back."""
    effect = only_effect(event("d", (1, 1)), event("u", (1, 1), {"a": None}))
    assert effect.kind is Kind.DELETE


def test_a_refresh_replaces_the_row() -> None:
    """A full row replaces what the batch did before, and partial updates fold into it."""
    effect = only_effect(
        event("u", (1, 1), {"b": "old"}),
        event("r", (1, 1), {"a": "x"}),
        event("u", (1, 1), {"b": "new"}),
    )
    assert (effect.kind, effect.values) == (Kind.REPLACE, {"a": "x", "b": "new"})


def test_a_partition_delete_drops_the_partitions_effects() -> None:
    """Only effects of that partition go, and only those from before the delete."""
    merged = merge(
        TARGETS,
        [
            event("c", (1, 1), {"a": "x"}),
            event("c", (2, 1), {"a": "x"}),
            event("p", (1,)),
            event("u", (1, 2), {"b": "y"}),
        ],
    )
    assert merged.partition_deletes == {(1,): 2}
    assert {key: e.kind for key, e in merged.rows.items()} == {
        (2, 1): Kind.UPSERT,
        (1, 2): Kind.UPSERT,
    }


def test_a_key_that_looks_like_another_is_refused() -> None:
    """Two times of one microsecond are two rows in the source; the message says what to do."""
    table = TableSpec("ks", "t", (Column("p", parse("time"), ColumnKind.PARTITION_KEY),))
    events = [
        ChangeEvent(table, Operation.CREATE, (ns,), (), 1, 0, None, {}) for ns in (1000, 1999)
    ]
    with pytest.raises(BadValue, match='type = "bigint"') as caught:
        merge(targets_of(table, "s"), events)
    assert caught.value.at == 1
    assert "1999" not in str(caught.value)


def test_a_clustering_key_that_looks_like_another_is_refused() -> None:
    """The message has the place of the second change of the two."""
    columns = (
        Column("p", parse("int"), ColumnKind.PARTITION_KEY),
        Column("c", parse("time"), ColumnKind.CLUSTERING),
    )
    table = TableSpec("ks", "t", columns)
    events = [
        ChangeEvent(table, Operation.CREATE, (1,), (ns,), 1, 0, None, {}) for ns in (1000, 1999)
    ]
    with pytest.raises(BadValue) as caught:
        merge(targets_of(table, "s"), events)
    assert (caught.value.column.name, caught.value.at) == ("c", 1)


def test_keys_of_nested_types_can_be_merged() -> None:
    """A frozen collection is a key like any other."""
    column = Column("p", parse("frozen<map<int, varint>>"), ColumnKind.PARTITION_KEY)
    table = TableSpec("ks", "t", (column,))
    key = [{"key": 1, "value": {"scale": 0, "value": b"\x07"}}]
    events = [ChangeEvent(table, Operation.CREATE, (key,), (), 1, 0, None, {}) for _ in range(2)]
    assert list(merge(targets_of(table, "s"), events).rows) == [('[[1,"7"]]',)]


def test_a_key_that_cannot_be_stored_is_named_without_its_value() -> None:
    """The message has the column and the event's place, and not the value."""
    table = TableSpec("ks", "t", (Column("p", parse("text"), ColumnKind.PARTITION_KEY),))
    good = ChangeEvent(table, Operation.CREATE, ("fine",), (), 1, 0, None, {})
    bad = ChangeEvent(table, Operation.CREATE, ("secret\0",), (), 1, 0, None, {})
    with pytest.raises(BadValue) as caught:
        merge(targets_of(table, "s"), [good, bad])
    assert caught.value.at == 1
    assert '"p" (text)' in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("guilty", ["a", "b", "c"])
def test_of_several_values_the_bad_one_is_named(guilty: str) -> None:
    """Nulls and good values beside it are not blamed, in a key and in a row."""
    columns = tuple(Column(n, parse("text"), ColumnKind.PARTITION_KEY) for n in "abc")
    key = targets_of(TableSpec("ks", "t", columns), "s").rows.key
    values = {n: "\0" if n == guilty else "fine" for n in "abc"}
    with pytest.raises(BadValue) as caught:
        key_form(key)(tuple(values.values()), 7)
    assert (caught.value.column.name, caught.value.at) == (guilty, 7)
    nulls = {n: v for n, v in values.items() if n == guilty}
    for named in (values, nulls):
        with pytest.raises(BadValue) as caught:
            row_form(key)(named, 8)
        assert (caught.value.column.name, caught.value.at) == (guilty, 8)
        assert str(caught.value) == (
            f'column "{guilty}" (text) has a value that PostgreSQL\'s text cannot hold'
        )


def test_a_key_of_another_width() -> None:
    """A key that has not as many values as columns is a mistake, and never another row's."""
    column = Column("p", parse("text"), ColumnKind.PARTITION_KEY)
    key = targets_of(TableSpec("ks", "t", (column,)), "s").rows.key
    with pytest.raises(ValueError, match="zip"):
        key_form(key)(("a", "b"), 0)


def apply_one(rows: Rows, change: ChangeEvent) -> None:
    """What one change does to the rows, written without looking at the code under test."""
    key = change.partition + change.clustering
    written = {**change.values, **dict.fromkeys(change.nulls)}
    stamp = {"time_us": change.time_us}
    empty = {"a": None, "b": None}
    if change.op is Operation.PARTITION_DELETE:
        for found in [k for k in rows if k[0] == change.partition[0]]:
            del rows[found]
    elif change.op is Operation.DELETE:
        rows.pop(key, None)
    elif change.op is Operation.READ:
        rows[key] = {**empty, **written, **stamp}
    elif key in rows:
        rows[key] |= {**written, **stamp}
    elif change.op is Operation.CREATE or change.values:
        rows[key] = {**empty, **written, **stamp}


def apply_batch(rows: Rows, batch: Sequence[ChangeEvent]) -> None:
    """What the merged effects of a batch do, as the statements would."""
    merged = merge(TARGETS, batch)
    for partition in merged.partition_deletes:
        for found in [k for k in rows if k[:1] == partition]:
            del rows[found]
    for key, effect in merged.rows.items():
        stamp = {"time_us": effect.time_us}
        if effect.kind is Kind.DELETE:
            rows.pop(key, None)
        elif effect.kind is Kind.REPLACE or (effect.kind is Kind.UPSERT and key not in rows):
            rows[key] = {"a": None, "b": None, **effect.values, **stamp}
        elif key in rows:
            rows[key] |= {**effect.values, **stamp}


VALUES = st.dictionaries(st.sampled_from("ab"), st.sampled_from([None, "", "x", "y"]))
KEYS = st.tuples(st.integers(0, 1), st.integers(0, 1))
EVENTS = st.lists(
    st.one_of(
        st.builds(event, st.sampled_from(["c", "u", "u", "r"]), KEYS, VALUES, st.integers(1, 9)),
        st.builds(event, st.just("d"), KEYS, time_us=st.integers(1, 9)),
        st.builds(event, st.just("p"), st.tuples(st.integers(0, 1)), time_us=st.integers(1, 9)),
    ),
    max_size=12,
)


@given(EVENTS, st.lists(st.integers(0, 12), max_size=4))
def test_batches_do_what_single_changes_do(events: list[ChangeEvent], cuts: list[int]) -> None:
    """However a list of changes is cut into batches, the rows are those of one after another."""
    expected: Rows = {}
    for change in events:
        apply_one(expected, change)
    found: Rows = {}
    bounds = [0, *sorted(min(c, len(events)) for c in cuts), len(events)]
    for start, end in itertools.pairwise(bounds):
        apply_batch(found, events[start:end])
    assert found == expected
