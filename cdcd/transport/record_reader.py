"""Record keys and values as changes, by the schemas that they were written with. Pure.

The counterpart of `cdcd.transport.record_writer`. Of many records the same field is read at once,
if applying a change takes it, and passed over if not, which most of `source` is.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, TypeVar

import numpy as np

from cdcd.model.change import Bounds, Elements, Operation
from cdcd.model.table import TableSpec
from cdcd.transport import avro_read
from cdcd.transport.avro import FRAME, MalformedRecord
from cdcd.transport.avro_columns import (
    RECORDS_MAX,
    AtSight,
    Buffer,
    Column,
    Ints,
    Malformed,
    Skipper,
    objects,
    parts_of,
    reader,
    skipper,
    there_of,
)
from cdcd.transport.avro_read import Names
from cdcd.transport.avro_write import field_name, string
from cdcd.transport.changes import Changes, Key, Written
from cdcd.transport.schema import Schema, avro_name

# Fields of `source` that are the same in all records of a table, while one version of one pipeline
# writes them.
_CONSTANT = frozenset(
    ("version", "connector", "name", "snapshot", "db", "keyspace_name", "table_name")
)
# What a change cannot be applied without.
_NEEDED = ("op", "before", "after", "source", "delta")
_NEEDED_OF_SOURCE = ("ts_us", "token", "stream")
# Of these, and of sets of written columns, so many are recognised at sight.
_KNOWN_MAX = 16
# Of sets of written columns, so many are one object wherever they come.
_SHARED_MAX = 1024

Result = TypeVar("Result")

KeyReader = Callable[[Sequence[bytes]], list[Key]]
# Reads a field of all records into the changes that are in the making; gives where it ends.
_Step = Callable[[Buffer, Ints, Changes], Ints]


class RecordReader:
    """Reads the records of one value schema.

    Raises ValueError for a schema that is not of cdcd's making.
    """

    def __init__(self, schema: Schema, table: TableSpec) -> None:
        self._table = table
        try:
            parts = {field["name"]: field["type"] for field in schema["fields"]}
            lacking = set(_NEEDED) - parts.keys()
            if not lacking:
                lacking = set(_NEEDED_OF_SOURCE) - {f["name"] for f in parts["source"]["fields"]}
            if lacking:
                raise ValueError(f"not a schema of cdcd: it lacks {', '.join(sorted(lacking))}")
            self._steps = _Steps(schema, table).all()
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(f"not a schema of cdcd: {error!r}") from error

    def changes(self, keys: Sequence[Key], framed: Sequence[bytes]) -> Changes:
        """The changes of keys and framed values. Raises MalformedRecord."""
        found = Changes()
        for at in _portions(len(framed)):
            found.extend(_blaming(at.start, self._read, framed[at], keys[at]))
        return found

    def _read(self, framed: Sequence[bytes], keys: Sequence[Key]) -> Changes:
        buffer, count = Buffer(framed), len(framed)
        found = Changes([self._table] * count, list(keys))
        at = buffer.moved(buffer.starts, FRAME.size)
        for step in self._steps:
            at = step(buffer, at, found)
        _expect_ends(buffer, at)
        return found


def key_reader(schema: Schema) -> KeyReader:
    """Reads framed keys to their values in key order. What it gives raises MalformedRecord."""
    names: Names = {}
    readers = [reader(field["type"], names) for field in schema["fields"]]

    def read(framed: Sequence[bytes]) -> list[Key]:
        buffer, columns = Buffer(framed), []
        at = buffer.moved(buffer.starts, FRAME.size)
        for read_field in readers:
            column, at = read_field(buffer, at)
            columns.append(column.tolist())
        _expect_ends(buffer, at)
        return list(zip(*columns, strict=True))

    def checked(framed: Sequence[bytes]) -> list[Key]:
        found: list[Key] = []
        for at in _portions(len(framed)):
            found += _blaming(at.start, read, framed[at])
        return found

    return checked


def _portions(count: int) -> Iterator[slice]:
    return (slice(n, n + RECORDS_MAX) for n in range(0, count, RECORDS_MAX))


def _expect_ends(buffer: Buffer, at: Ints) -> None:
    if (at != buffer.ends).any():
        raise Malformed("a record ends elsewhere than its schema says")


def _blaming(first: int, read: Callable[..., Result], *records: Sequence[Any]) -> Result:
    """What is read of records, the first of which has that place. Where one of them is malformed,
    they are read one after the other, to say which.
    """
    try:
        return read(*records)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        count = len(records[0])
        for n in range(count if count > 1 else 0):
            _blaming(first + n, read, *(part[n : n + 1] for part in records))
        raise MalformedRecord(f"not a record of its schema: {error}", first) from error


class _Steps:
    """Makes the steps that read framed values, in the order of the schema's fields."""

    def __init__(self, schema: Schema, table: TableSpec) -> None:
        self._schema = schema
        self._table = table
        self._keys = len(table.key)
        self._names: Names = {}

    def all(self) -> list[_Step]:
        """The steps."""
        return [self._step(field["name"], field["type"]) for field in self._schema["fields"]]

    def _step(self, name: str, schema: Any) -> _Step:
        if name == "op":
            return _operations
        if name == "after":
            return self._row()
        if name == "source":
            return _in_turn(self._source(schema["fields"]))
        if name == "delta":
            return self._delta(schema)
        if name == "ttl":
            return self._sparse(schema, "ttls")
        if name == "range":
            return self._sparse(schema, "bounds", self._bounds)
        return self._past(schema)

    def _past(self, schema: Any) -> _Step:
        skip: Skipper = skipper(schema, self._names)
        return lambda buffer, at, _: skip(buffer, at)

    def _into(self, schema: Any, name: str) -> _Step:
        read = reader(schema, self._names)

        def step(buffer: Buffer, at: Ints, found: Changes) -> Ints:
            column, at = read(buffer, at)
            setattr(found, name, column.tolist())
            return at

        return step

    def _sparse(self, schema: Any, name: str, form: Callable[[Any], Any] | None = None) -> _Step:
        null, part = parts_of(schema)
        read = reader(part, self._names)

        def step(buffer: Buffer, at: Ints, found: Changes) -> Ints:
            there, at = there_of(buffer, at, null)
            if there is None:
                there = np.arange(len(at))
            if there.size:
                column, at[there] = read(buffer, at[there])
                values = column.tolist()
                if form is not None:
                    values = [form(value) for value in values]
                setattr(found, name, dict(zip(there.tolist(), values, strict=True)))
            return at

        return step

    def _row(self) -> _Step:
        """The key's columns are the record key's too, and passed over here."""
        before = {f["name"]: f["type"] for f in self._schema["fields"]}["before"]
        fields = before[1]["fields"]
        keys = [skipper(field["type"], self._names) for field in fields[: self._keys]]
        columns = [
            (field_name(field), reader(field["type"], self._names))
            for field in fields[self._keys :]
        ]

        def step(buffer: Buffer, at: Ints, found: Changes) -> Ints:
            there, at = there_of(buffer, at)
            within = at if there is None else at[there]
            for skip in keys:
                within = skip(buffer, within)
            for name, read in columns:
                column, within = read(buffer, within)
                found.values[name] = _spread(column, there, len(at)).tolist()
            if there is None:
                return within
            at[there] = within
            return at

        return step

    def _source(self, fields: list[Schema]) -> list[_Step]:
        """Write time and token; the strings before, between and behind are mostly the same."""
        steps: list[_Step] = []
        constant: list[Any] = []
        for field in fields:
            name, schema = field["name"], field["type"]
            if name in _CONSTANT:
                constant.append(schema)
                continue
            steps += _at_sight(constant)
            constant = []
            to = {"ts_us": "times_us", "token": "tokens"}.get(name)
            if name == "stream":
                steps.append(self._stream(schema))
            else:
                steps.append(self._past(schema) if to is None else self._into(schema, to))
        return steps + _at_sight(constant)

    def _stream(self, schema: Any) -> _Step:
        """Whether a change came from a row of the log, and not from which."""
        null, part = parts_of(schema)
        skip = skipper(part, self._names)

        def step(buffer: Buffer, at: Ints, found: Changes) -> Ints:
            there, at = there_of(buffer, at, null)
            if there is None:
                return skip(buffer, at)
            found.refreshed = dict.fromkeys(set(range(len(at))).difference(there.tolist()), True)
            if there.size:
                at[there] = skip(buffer, at[there])
            return at

        return step

    def _delta(self, schema: Any) -> _Step:
        null, part = parts_of(schema)
        step = _in_turn([self._delta_step(field) for field in part["fields"]])

        def where(buffer: Buffer, at: Ints, found: Changes) -> Ints:
            there, at = there_of(buffer, at, null)
            within = Changes()
            if there is None:
                there = np.arange(len(at))
            if there.size:
                at[there] = step(buffer, at[there], within)
            written: Column = np.full(len(at), None, object)
            written[there] = objects(within.written)
            found.written = written.tolist()
            places = there.tolist()
            found.elements = {places[n]: found for n, found in within.elements.items()}
            return at

        return where

    def _delta_step(self, field: Schema) -> _Step:
        if field["name"] == "columns":
            read = AtSight(self._written(field["type"]), _KNOWN_MAX)

            def columns(buffer: Buffer, at: Ints, found: Changes) -> Ints:
                column, at = read(buffer, at)
                found.written = column.tolist()
                return at

            return columns
        if field["name"] == "elements":
            return self._sparse(field["type"], "elements", _elements)
        return self._past(field["type"])

    def _written(self, schema: Any) -> avro_read.Reader:
        read = avro_read.reader(schema, {})
        columns = frozenset(c.name for c in self._table.columns[self._keys :])
        # Also where there are too many to be recognised at sight.
        share = lru_cache(_SHARED_MAX)(Written)

        def written(buf: bytes, at: int) -> tuple[Written, int]:
            found, end = read(buf, at)
            if not columns.issuperset(found):
                raise Malformed("a column that the table does not have")
            return share(tuple(found)), end

        return written

    def _bounds(self, found: Mapping[str, Any]) -> Bounds:
        names = [avro_name(c.name) for c in self._table.clustering_key]

        def prefix(bound: Mapping[str, Any]) -> tuple[Any, ...]:
            return tuple(takewhile(_is_there, (bound[name] for name in names)))

        return Bounds(
            prefix(found["start"]),
            found["start_inclusive"],
            prefix(found["end"]),
            found["end_inclusive"],
        )


def _in_turn(steps: Sequence[_Step]) -> _Step:
    def all_of(buffer: Buffer, at: Ints, found: Changes) -> Ints:
        for step in steps:
            at = step(buffer, at, found)
        return at

    return all_of


def _spread(column: Column, there: Ints | None, count: int) -> Column:
    """A column of those that are there, for all."""
    if there is None:
        return column
    spread: Column = np.full(count, None, object)
    spread[there] = column
    return spread


# An operation is a letter, and its length in front.
_LETTER = string("c")[0]
_BY_LETTER: Column = np.full(256, None, object)
for _operation in Operation:
    _BY_LETTER[ord(_operation.value)] = _operation


def _operations(buffer: Buffer, at: Ints, found: Changes) -> Ints:
    letters = buffer.octets[at + 1]
    found.operations = _BY_LETTER[letters].tolist()
    if None in found.operations or (buffer.octets[at] != _LETTER).any():
        raise Malformed("an operation that is none")
    return buffer.moved(at, 2)


def _at_sight(schemas: list[Any]) -> list[_Step]:
    if not schemas:
        return []
    fields = [{"name": str(n), "type": schema} for n, schema in enumerate(schemas)]
    read_all = avro_read.reader({"type": "record", "name": "constant", "fields": fields}, {})
    read = AtSight(lambda buf, at: (None, read_all(buf, at)[1]), _KNOWN_MAX)
    return [lambda buffer, at, _: read(buffer, at)[1]]


def _elements(found: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Elements]:
    return {
        name: Elements(part["put"], tuple(part["removed"] or ()))
        for name, part in found.items()
        if part is not None
    }


def _is_there(value: object) -> bool:
    return value is not None
