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
