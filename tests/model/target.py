"""PostgreSQL's part in memory: what the sink's statements do to a table, written from their SQL."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cdcd.model.change import ChangeEvent
from cdcd.model.refresh import Request
from cdcd.sink.batch import Batch, lay
from cdcd.sink.merge import Kind
from cdcd.sink.ranges import RangeShape
from cdcd.sink.rows import Part, patched_rows
from cdcd.sink.target import Target, targets_of
from cdcd.sink.writer import requests_of
from cdcd.transport.records import Partition, Record
from tests.model.servers import MULTICELL, TABLE
from tests.model.wire import over_the_wire

Key = tuple[Any, ...]
Rows = dict[Key, dict[str, Any]]

TARGETS = targets_of(TABLE, "public")


class Memory:
    """The target's tables."""

    def __init__(self) -> None:
        self._tables: dict[Target, Rows] = {target: {} for target in TARGETS.all}

    def apply(self, events: Sequence[ChangeEvent]) -> list[Request]:
        """One transaction; gives the refreshes that it asks for."""
        place = Partition("t", 0)
        records = [Record(place, n, e.time_us // 1000, b"", b"") for n, e in enumerate(events)]
        laid = lay(Batch(TARGETS, records, over_the_wire(events)))
        return self.write(laid.parts, events, laid.unclear)

    def write(
        self,
        parts: Iterable[Part],
        events: Sequence[ChangeEvent],
        unclear: Iterable[ChangeEvent],
    ) -> list[Request]:
        """The same of what is laid out already."""
        found = list(unclear)
        for part in parts:
            found += [events[at] for at in self._apply(part)]
        return requests_of(found)

    def copy(self) -> "Memory":
        """Another one with the same rows."""
        other = Memory()
        other._tables = {
            target: {key: dict(row) for key, row in rows.items()}
            for target, rows in self._tables.items()
        }
        return other

    def rows(self) -> dict[Key, dict[str, Any]]:
        """The rows as ScyllaDB would show them."""
        return _shown(self._tables[TARGETS.rows])

    def statics(self) -> dict[Key, dict[str, Any]]:
        """The static rows."""
        assert TARGETS.statics is not None
        return _shown(self._tables[TARGETS.statics])

    def _apply(self, part: Part) -> list[int]:
        rows, width = self._tables[part.target], len(part.target.key)
        names = [name for name, _ in part.columns]
        values = part.rows
        if part.patched:
            columns = [c.name for _, c in part.patched]
            current = {
                at: [rows[row[:width]].get(name) for name in columns]
                for row, at in zip(part.rows, part.ats, strict=True)
                if row[:width] in rows
            }
            values = patched_rows(part, current)
        for row in values:
            if isinstance(part.shape, RangeShape):
                _delete_range(rows, part.shape, row)
            else:
                _write(rows, part.shape.kind, dict(zip(names, row, strict=True)), width)
        return self._emptied(part, width) if part.checked else []

    def _emptied(self, part: Part, width: int) -> list[int]:
        rows = self._tables[part.target]
        empty = [
            (row[:width], at)
            for row, at in zip(part.rows, part.ats, strict=True)
            if row[:width] in rows and all(v is None for v in rows[row[:width]].values())
        ]
        if not part.target.is_static:
            return [at for _, at in empty]
        for key, _ in empty:
            del rows[key]
        return []


def _write(rows: Rows, kind: Kind, row: Mapping[str, Any], width: int) -> None:
    key = tuple(row.values())[:width]
    if kind is Kind.DELETE:
        for found in [k for k in rows if k[: len(row)] == tuple(row.values())]:
            del rows[found]
        return
    if kind is Kind.UPDATE and key not in rows:
        return
    columns = {n: v for at, (n, v) in enumerate(row.items()) if at >= width and "cdc_" not in n}
    rows.setdefault(key, {}).update(columns)


def _delete_range(rows: Rows, shape: RangeShape, row: Key) -> None:
    """The row has the partition, the equal columns, and what the bounds have beyond those."""
    given = row[: 1 + shape.equal]
    start = row[len(given) : len(given) + shape.start]
    end = row[len(given) + shape.start :]
    for key in [k for k in rows if k[: len(given)] == given]:
        rest = key[len(given) :]
        after, before = _beyond(rest, start, shape.equal), -_beyond(rest, end, shape.equal)
        if (after > 0 or (after == 0 and shape.start_inclusive)) and (
            before > 0 or (before == 0 and shape.end_inclusive)
        ):
            del rows[key]


def _beyond(rest: Key, bound: Key, first: int) -> int:
    for number, (value, limit) in enumerate(zip(rest, bound, strict=False)):
        if value != limit:
            falls = TABLE.clustering_key[first + number].descending
            return -1 if (value < limit) is not falls else 1
    return 0


def _shown(rows: Rows) -> Rows:
    """Without nulls, and collections out of their JSON."""
    return {
        key: {
            name: json.loads(value) if name in MULTICELL else value
            for name, value in row.items()
            if value is not None
        }
        for key, row in rows.items()
    }
