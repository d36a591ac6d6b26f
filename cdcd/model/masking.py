"""Values that must not leave ScyllaDB: what of a column is published in its place. Pure.

One `Masker` masks changes, images, refreshes and copies alike, so that none of them shows more than
the others; reconcile compares rows that went through it. Masks are for whole columns: of a value of
a frozen collection or user-defined type nothing stays, and a non-frozen one, whose elements change
one by one, can only be left out or be null.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cdcd.model.change import AvroValue, ChangeEvent, Operation
from cdcd.model.cqlencode import encoder
from cdcd.model.cqltype import CqlType
from cdcd.model.table import Column, ColumnKind, TableSpec

_TEXT = CqlType("text")
_KEY_PARTS = frozenset({ColumnKind.PARTITION_KEY, ColumnKind.CLUSTERING})
_AS_THEY_ARE = frozenset({"text", "ascii", "uuid", "timeuuid", "inet"})
_WHOLE_NUMBERS = frozenset({"tinyint", "smallint", "int", "bigint", "varint"})


@dataclass(frozen=True, slots=True)
class Mask:
    """What is published for a column: nothing at all (`drop`), always null (`null`), a keyed hash
    as 64 hexadecimal digits (`hash`), or the last characters behind asterisks (`keep_last`).
    """

    kind: str
    keep: int = 0

    def name(self, key_id: str) -> str:
        """As the record's schema says it; a hash with the id of its key."""
        if self.kind == "hash":
            return f"hash:{key_id}"
        return f"{self.kind}:{self.keep}" if self.keep else self.kind


def key_id_of(key: bytes) -> str:
    """Eight hexadecimal digits that tell keys apart and say nothing of them."""
    return hmac.new(key, b"cdcd key id", hashlib.sha256).hexdigest()[:8]


def faults(table: TableSpec, masks: Mapping[str, Mask]) -> list[str]:
    """Why columns cannot be masked as asked, one sentence each. An unknown one is no fault here."""
    found = []
    for name, mask in masks.items():
        column = table.by_name.get(name)
        if column is None:
            continue
        if column.kind in _KEY_PARTS:
            found.append(f'column "{name}" is part of the key, and a key cannot be masked')
        elif mask.kind in ("hash", "keep_last") and column.type.is_multicell:
            found.append(f'column "{name}" is not frozen: it can be dropped or null, no more')
        elif mask.kind == "keep_last" and column.type.name not in _AS_THEY_ARE | _WHOLE_NUMBERS:
            found.append(f'column "{name}" is a {column.type}, which has no last characters')
    return found


class Masker:
    """The masks of one table; `key` hashes. Raises ValueError for masks that cannot be."""

    def __init__(self, table: TableSpec, masks: Mapping[str, Mask], key: bytes) -> None:
        wrong = faults(table, masks)
        if wrong:
            raise ValueError("; ".join(wrong))
        key_id = key_id_of(key)
        there = {n: mask for n, mask in masks.items() if n in table.by_name}
        columns = (_masked_column(c, there.get(c.name), key_id) for c in table.columns)
        self.table = replace(table, columns=tuple(c for c in columns if c is not None))
        self._gone = frozenset(n for n, m in there.items() if m.kind in ("drop", "null"))
        self._forms = {
            n: _form(table.by_name[n].type, m, key) for n, m in there.items() if n not in self._gone
        }
        self.is_idle = not there

    def row(self, values: Mapping[str, AvroValue]) -> dict[str, AvroValue]:
        """The values of some columns, by name, as they are published."""
        forms, gone = self._forms, self._gone
        return {
            name: forms[name](value) if name in forms and value is not None else value
            for name, value in values.items()
            if name not in gone
        }

    def event(self, event: ChangeEvent) -> ChangeEvent:
        """The change as it is published, as one of the masked table."""
        return replace(
            event,
            table=self.table,
            values=self.row(event.values),
            nulls=tuple(n for n in event.nulls if n not in self._gone),
            elements={n: e for n, e in event.elements.items() if n not in self._gone},
            before=None if event.before is None else self.row(event.before),
            after=None if event.after is None else self.row(event.after),
        )

    def hides_life(self, event: ChangeEvent) -> bool:
        """Whether an update is in a masked column what makes the row exist, or end: then what is
        left of it does not say whether there is a row, and it has to be read.
        """
        if event.op is not Operation.UPDATE or event.is_late:
            return False
        touched = {*event.values, *event.nulls, *event.elements}
        if not touched & self._gone:
            return False
        live = {*event.values, *(n for n, e in event.elements.items() if e.put is not None)}
        return not live - self._gone


def _masked_column(column: Column, mask: Mask | None, key_id: str) -> Column | None:
    if mask is None:
        return column
    if mask.kind == "drop":
        return None
    kept = column.type if mask.kind == "null" else _TEXT
    return replace(column, type=kept, mask=mask.name(key_id))


def _form(cql: CqlType, mask: Mask, key: bytes) -> Callable[[Any], str]:
    if mask.kind == "hash":
        serialized = encoder(cql)
        return lambda value: hmac.new(key, serialized(value), hashlib.sha256).hexdigest()
    text = _varint_text if cql.name == "varint" else str
    return lambda value: keep_last(text(value), mask.keep)


def _varint_text(value: Mapping[str, Any]) -> str:
    return str(int.from_bytes(value["value"], "big", signed=True))


def keep_last(text: str, keep: int) -> str:
    """The text with asterisks for all but its last characters; a short one has nothing but them."""
    shown = text[-keep:] if len(text) > keep else ""
    return "*" * (len(text) - len(shown)) + shown
