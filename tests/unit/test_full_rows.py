"""Whole rows beside what was written: taken from images, or read from the base."""

from collections.abc import Mapping, Sequence
from typing import Any

from cdcd.model.change import ChangeEvent, Operation
from cdcd.model.refresh import Row, Scope, StaticRow
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.model.touched import touched
from cdcd.source.full_rows import ROWS_AT_ONCE, filled
from cdcd.source.refresh import Found
from tests.unit.tables import table

PLAIN = table({"p:p": "int", "c:c": "int", "r:a": "int", "r:b": "int"})
STATIC = Column("s", PLAIN.columns[-1].type, ColumnKind.STATIC)
SPEC = TableSpec("ks", "t", (*PLAIN.columns[:2], STATIC, *PLAIN.columns[2:]))


def event(op: str, row: int | None, values: Mapping[str, Any], **more: Any) -> ChangeEvent:
    """A change of a row of partition 1, or of its static row."""
    given: dict[str, Any] = {"time_us": 1, "token": 0, "identity": None, **more}
    return ChangeEvent(SPEC, Operation(op), (1,), (row,), values=values, **given)


class Base:
    """A base table that keeps what it was asked for."""

    def __init__(self, *rows: ChangeEvent) -> None:
        self.rows = {touched(row): row for row in rows}
        self.asked: list[Scope] = []

    async def read(self, scope: Scope, _: int) -> Found:
        """The row, or that it is gone."""
        self.asked.append(scope)
        gone = event("d", 0, {})
        return Found((self.rows.get(scope, gone),), None, scope)


async def afters(base: Base, events: Sequence[ChangeEvent]) -> list[Mapping[str, object] | None]:
    """The rows that the events have afterwards."""
    return [e.after for e in await filled(base, events)]


async def test_rows_come_from_the_base() -> None:
    """Inserts and updates get the row as it is; what was written stays beside it."""
    base = Base(event("r", 1, {"a": 1, "b": 2}), event("r", None, {"s": 9}))
    events = [event("u", 1, {"a": 1}), event("c", 1, {"b": 2}), event("u", None, {"s": 9})]
    found = await filled(base, events)
    assert [e.after for e in found] == [{"a": 1, "b": 2}, {"a": 1, "b": 2}, {"s": 9}]
    assert [e.values for e in found] == [e.values for e in events]
    assert [type(scope) for scope in base.asked] == [Row, StaticRow]


async def test_what_needs_no_row_is_not_read() -> None:
    """Deletes have no row, a post-image has it, and so has what a refresh published."""
    base = Base()
    events = [
        event("d", 1, {}),
        event("p", None, {}),
        event("u", 1, {"a": 1}, after={"a": 1, "b": 3}),
        event("r", 1, {"a": 1}),
    ]
    assert await filled(base, events) == events
    assert base.asked == []


async def test_a_row_that_is_gone_has_none() -> None:
    """A change whose row was deleted since stays as it is; the delete follows."""
    assert await afters(Base(), [event("u", 1, {"a": 1})]) == [None]


async def test_many_rows_are_read_in_parts() -> None:
    """Every row is read once, however many there are."""
    count = ROWS_AT_ONCE * 2 + 1
    base = Base(*(event("r", n, {"a": n}) for n in range(count)))
    events = [event("u", n, {"b": 1}) for n in range(count) for _ in range(2)]
    found = await afters(base, events)
    assert found == [{"a": n} for n in range(count) for _ in range(2)]
    assert len(base.asked) == count
