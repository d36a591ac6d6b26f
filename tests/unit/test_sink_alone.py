"""Rows that a batch changes once come to the same statements' work as by merging."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.change import Bounds, ChangeEvent, Elements, Operation
from cdcd.model.table import TableSpec
from cdcd.sink.alone import lay_out_alone
from cdcd.sink.batch import Batch, lay
from cdcd.sink.merge import BadValue, merge
from cdcd.sink.rows import Part, lay_out
from cdcd.sink.target import Options, Targets, targets_of
from cdcd.transport.records import Partition, Record
from tests.unit.records import changes
from tests.unit.tables import table

SPEC = table(
    {
        "p:p": "int",
        "c:c": "int",
        "s:s": "text",
        "r:a": "int",
        "r:t": "text",
        "r:d": "timestamp",
        "r:n": "set<int>",
    }
)
NARROW = replace(targets_of(SPEC, "x", Options(excluded=frozenset({"a"}), soft_delete=True)))
COLUMNS = {"a": st.integers(0, 9), "t": st.sampled_from(["", "x"]), "d": st.integers(0, 9)}


@st.composite
def events(draw: st.DrawFn) -> ChangeEvent:
    """A change, mostly of a single row by whole values."""
    op = draw(st.sampled_from("cuuudr" * 4 + "pg"))
    clustering: tuple[int | None, ...]
    partition, clustering = (draw(st.integers(0, 3)),), (draw(st.integers(0, 3)),)
    names = draw(st.sets(st.sampled_from(sorted(COLUMNS))))
    values, nulls, elements, ttl, bounds = {}, [], {}, None, None
    if op in "cur":
        for name in sorted(names):
            value = draw(st.none() | COLUMNS[name])
            if value is not None:
                values[name] = value
            elif op != "r":
                nulls.append(name)
    if op in "cu":
        ttl = draw(st.sampled_from([None] * 5 + [60]))
        if draw(st.integers(0, 5)) == 0:
            elements = {"n": Elements([1], ())}
    if op == "u" and draw(st.integers(0, 9)) == 0:
        clustering, values, nulls, elements = (None,), {"s": "x"}, [], {}
    if op in "pg":
        clustering = (None,)
        bounds = Bounds((1,), True, (2,), True) if op == "g" else None
    return ChangeEvent(
        SPEC,
        Operation(op),
        partition,
        clustering,
        draw(st.integers(1, 10**6)),
        7,
        None,
        values,
        tuple(nulls),
        ttl,
        elements,
        bounds,
    )


def batch_of(targets: Targets, given_events: Sequence[ChangeEvent]) -> Batch:
    """A batch of changes that went through records."""
    place = Partition("t", 0)
    records = [Record(place, n, 5 + n, b"", b"") for n in range(len(given_events))]
    return Batch(targets, records, changes(given_events))


def work(parts: Sequence[Part]) -> dict[Any, Any]:
    """What parts do, whatever the order of rows."""
    return {
        (part.target, part.shape, part.checked, part.patched): (
            part.columns,
            sorted(zip(part.rows, part.ats, strict=True), key=repr),
        )
        for part in parts
    }


@pytest.mark.parametrize("targets", [targets_of(SPEC, "x"), NARROW], ids=["whole", "narrow"])
@given(st.lists(events(), min_size=1, max_size=12))
def test_as_by_merging(targets: Targets, found: list[ChangeEvent]) -> None:
    """A batch comes to the same rows of the same statements, whether some of them were merged or
    all, and no two parts do one statement's work.
    """
    batch = batch_of(targets, found)
    effects = merge(targets, list(batch.events), [r.timestamp_ms for r in batch.records])
    merged = lay_out(targets, effects, list(batch.events))
    laid = lay(batch)
    assert work(laid.parts) == work(merged)
    assert len(work(laid.parts)) == len(laid.parts)
    assert laid.expires_ms == effects.expires_ms


def test_deletes_come_first() -> None:
    """A unique index of the target's owner finds the old row gone before the new one comes."""
    write = ChangeEvent(SPEC, Operation.CREATE, (1,), (1,), 1, 7, None, {"a": 1})
    delete = ChangeEvent(SPEC, Operation.DELETE, (2,), (1,), 2, 7, None, {})
    laid = lay(batch_of(targets_of(SPEC, "x"), [write, delete]))
    assert [part.ats for part in laid.parts] == [[1], [0]]


def test_a_row_that_is_changed_twice_is_left() -> None:
    """What needs merging is not laid out alone, and the others are."""
    again = [
        ChangeEvent(SPEC, Operation.CREATE, (1,), (c,), 1, 7, None, {"a": 1}) for c in (1, 2, 1)
    ]
    parts, left = lay_out_alone(targets_of(SPEC, "x"), changes(again))
    assert ([part.ats for part in parts], left) == ([[1]], [0, 2])


def test_what_does_not_say_what_it_wrote_is_left() -> None:
    """A write without its columns' names is merged; a delete has none to name."""
    write = ChangeEvent(SPEC, Operation.CREATE, (1,), (1,), 1, 7, None, {"a": 1})
    delete = ChangeEvent(SPEC, Operation.DELETE, (2,), (1,), 2, 7, None, {})
    found = changes([write, delete, replace(write, partition=(3,))])
    assert lay_out_alone(targets_of(SPEC, "x"), found)[1] == []
    found.written[0] = None
    parts, left = lay_out_alone(targets_of(SPEC, "x"), found)
    assert (sorted(part.ats for part in parts), left) == ([[1], [2]], [0])


KEYED = table({"p:p": "timestamp", "c:c": "decimal", "r:a": "int"})


def test_keys_get_the_targets_form() -> None:
    """Keys are converted, each column by its type, as merging does it."""
    number = {"scale": 1, "value": b"\x0f"}
    found = [
        ChangeEvent(KEYED, Operation.CREATE, (at,), (number,), 1, 7, None, {"a": 1})
        for at in (1000, 2000)
    ]
    targets = targets_of(KEYED, "x")
    parts, left = lay_out_alone(targets, changes(found))
    effects = merge(targets, found)
    assert (work(parts), left) == (work(lay_out(targets, effects, found)), [])


def test_a_bad_key_is_named() -> None:
    """A key without a form in PostgreSQL is told with its column and its change."""
    spec = table({"p:p": "text", "c:c": "time", "r:a": "int"})
    found = [
        ChangeEvent(spec, Operation.CREATE, (text,), (time,), 1, 7, None, {"a": 1})
        for text, time in (("x", 1000), ("y", 1001))
    ]
    with pytest.raises(BadValue) as caught:
        lay_out_alone(targets_of(spec, "x"), changes(found))
    assert (caught.value.column.name, caught.value.at) == ("c", 1)
    found[0] = replace(found[0], partition=("\0",))
    with pytest.raises(BadValue) as caught:
        lay_out_alone(targets_of(spec, "x"), changes(found))
    assert (caught.value.column.name, caught.value.at) == ("p", 0)


def test_a_column_that_the_records_lack_is_null() -> None:
    """A row that was read whole, before its table got a column, has null there."""
    old, new = (
        table({"p:p": "int", "r:a": "int"}),
        table({"p:p": "int", "r:a": "int", "r:b": "int"}),
    )
    found = [ChangeEvent(old, Operation.READ, (n,), (), 1, 7, None, {"a": n}) for n in (1, 2)]
    (part,), _ = lay_out_alone(targets_of(new, "x"), changes(found))
    assert [row[:3] for row in part.rows] == [(1, 1, None), (2, 2, None)]


def test_statements_of_a_kind_have_one_order() -> None:
    """Whatever comes first in a batch, so that two workers take their locks alike."""
    first, other = (
        ChangeEvent(SPEC, Operation.UPDATE, (n,), (1,), 1, 7, None, {name: value})
        for n, (name, value) in enumerate([("a", 1), ("t", "x")])
    )
    shapes = [
        [part.shape for part in lay(batch_of(targets_of(SPEC, "x"), batch)).parts]
        for batch in ([first, other], [other, first])
    ]
    assert shapes[0] == shapes[1]


def test_a_bad_value_is_named() -> None:
    """A value without a form in PostgreSQL is told with its column and its change."""
    spec: TableSpec = table({"p:p": "int", "r:t": "text"})
    found = [
        ChangeEvent(spec, Operation.CREATE, (n,), (), 1, 7, None, {"t": text})
        for n, text in enumerate(["x", "\x00", "y"])
    ]
    with pytest.raises(BadValue) as caught:
        lay_out_alone(targets_of(spec, "x"), changes(found))
    assert (caught.value.column.name, caught.value.at) == ("t", 1)
    with pytest.raises(BadValue) as merged:
        lay_out(targets_of(spec, "x"), merge(targets_of(spec, "x"), found), found)
    assert caught.value.condition == merged.value.condition
