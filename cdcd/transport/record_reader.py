"""Record keys and values as changes, by the schemas that they were written with. Pure.

The counterpart of `cdcd.transport.record_writer`: straight-line code, made from a schema, that
reads what applying a change takes, and passes over the rest, which is most of `source`.
"""

import struct
from collections.abc import Callable, KeysView, Mapping
from itertools import takewhile
from typing import Any

from cdcd.model.change import Bounds, ChangeEvent, Elements, Operation
from cdcd.model.straight import straight_line
from cdcd.model.table import TableSpec
from cdcd.transport.avro import FRAME, MalformedRecord
from cdcd.transport.avro_read import GIVEN, AtSight, Names, Reader, indented, lines, reader
from cdcd.transport.avro_write import field_name, string
from cdcd.transport.schema import Schema, avro_name

_OPERATIONS = {string(op.value): op for op in Operation}
# Fields of `source` that are the same in all records of a table, while one version of one pipeline
# writes them.
_CONSTANT = frozenset(
    ("version", "connector", "name", "snapshot", "db", "keyspace_name", "table_name")
)
# What a change cannot be applied without.
_NEEDED = ("op", "before", "after", "source", "delta")
# Of these, and of sets of written columns, so many are recognised at sight.
_KNOWN_MAX = 16

KeyReader = Callable[[bytes], tuple[Any, ...]]


class RecordReader:
    """Reads the records of one value schema. What it gives has no `identity`: applying takes none.

    Raises ValueError for a schema that is not of cdcd's making.
    """

    def __init__(self, schema: Schema, table: TableSpec) -> None:
        self._table = table
        self._size = len(table.partition_key)
        self._names = [avro_name(c.name) for c in table.clustering_key]
        try:
            if lacking := set(_NEEDED) - {field["name"] for field in schema["fields"]}:
                raise ValueError(f"not a schema of cdcd: it lacks {', '.join(sorted(lacking))}")
            self._read = _Code(schema, table).function()
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not a schema of cdcd: {error!r}") from error

    def change(self, key: tuple[Any, ...], framed: bytes) -> ChangeEvent:
        """The change of a key and a framed value. Raises MalformedRecord."""
        values: dict[str, Any] = {}
        try:
            end, op, time_us, token, names, elements, ttl, bounds = self._read(framed, values)
        except (IndexError, ValueError, KeyError, struct.error) as error:
            raise MalformedRecord(f"not a record of its schema: {error!r}") from error
        if end != len(framed):
            raise MalformedRecord("a record ends elsewhere than its schema says")
        nulls: tuple[str, ...] = ()
        if names is not None and values.keys() != names:
            nulls = tuple([n for n in names if n not in values])
            # What an image shows was not written.
            values = {n: values[n] for n in names if n in values}
        size = self._size
        return ChangeEvent(
            self._table,
            op,
            key[:size],
            key[size:],
            time_us,
            token,
            None,
            values,
            nulls,
            ttl,
            _elements(elements) if elements else {},
            bounds and self._bounds(bounds),
        )

    def _bounds(self, found: Mapping[str, Any]) -> Bounds:
        def prefix(bound: Mapping[str, Any]) -> tuple[Any, ...]:
            return tuple(takewhile(_is_there, (bound[name] for name in self._names)))

        return Bounds(
            prefix(found["start"]),
            found["start_inclusive"],
            prefix(found["end"]),
            found["end_inclusive"],
        )


def key_reader(schema: Schema) -> KeyReader:
    """Reads a framed key to its values in key order. What it gives raises MalformedRecord."""
    names: Names = {}
    given = dict(GIVEN)
    fields = schema["fields"]
    code = [f"at = {FRAME.size}"]
    for n, field in enumerate(fields):
        code += [f"v{n} = None", *lines(field["type"], f"v{n}", given, names)]
    values = "".join(f"v{n}, " for n in range(len(fields)))
    read = straight_line("read_key(buf)", [*code, f"return at, ({values})"], given)

    def checked(framed: bytes) -> tuple[Any, ...]:
        try:
            end, key = read(framed)
        except (IndexError, ValueError, KeyError, struct.error) as error:
            raise MalformedRecord(f"not a record of its schema: {error!r}") from error
        if end != len(framed):
            raise MalformedRecord("a record ends elsewhere than its schema says")
        found: tuple[Any, ...] = key
        return found

    return checked


class _Code:
    """Makes the function that reads a framed value: what applying it takes, and where it ends."""

    def __init__(self, schema: Schema, table: TableSpec) -> None:
        self._schema = schema
        self._keys = len(table.key)
        self._columns = frozenset(c.name for c in table.columns[self._keys :])
        self._names: Names = {}
        self._given: dict[str, Any] = dict(GIVEN)

    def function(self) -> Callable[[bytes, dict[str, Any]], tuple[Any, ...]]:
        """Puts the columns that are not null into the dict that it is given."""
        wanted = ("op", "time_us", "token", "names", "elements", "ttl", "bounds")
        body = [f"{' = '.join(wanted)} = None", f"at = {FRAME.size}"]
        for field in self._schema["fields"]:
            body += self._field(field["name"], field["type"])
        signature = "read_value(buf, values)"
        return straight_line(signature, [*body, f"return at, {', '.join(wanted)}"], self._given)

    def _field(self, name: str, schema: Any) -> list[str]:
        if name == "op":
            # A letter, and its length in front.
            self._given["_operations"] = _OPERATIONS
            return ["op = _operations[buf[at : at + 2]]", "at += 2"]
        if name == "after":
            return self._optional(self._row())
        if name == "source":
            return self._source(schema["fields"])
        if name == "delta":
            return self._optional(self._delta(schema[1]["fields"]))
        return self._lines(schema, {"ttl": "ttl", "range": "bounds"}.get(name))

    def _lines(self, schema: Any, to: str | None) -> list[str]:
        return lines(schema, to, self._given, self._names)

    def _optional(self, code: list[str]) -> list[str]:
        unknown = "elif which: raise ValueError('a type that the union lacks')"
        return ["which = buf[at]", "at += 1", "if which == 2:", *indented(code), unknown]

    def _row(self) -> list[str]:
        """The key's columns are the record key's too, and passed over here."""
        before = {f["name"]: f["type"] for f in self._schema["fields"]}["before"]
        code: list[str] = []
        for n, field in enumerate(before[1]["fields"]):
            if n < self._keys:
                code += self._lines(field["type"], None)
            else:
                self._given[f"name_{n}"] = field_name(field)
                code += self._lines(field["type"], f"values[name_{n}]")
        return code

    def _source(self, fields: list[Schema]) -> list[str]:
        """Write time and token; the strings before, between and behind are mostly the same."""
        code: list[str] = []
        constant: list[Any] = []
        for field in fields:
            name, schema = field["name"], field["type"]
            if name in _CONSTANT:
                constant.append(schema)
                continue
            code += self._at_sight(constant)
            constant = []
            code += self._lines(schema, {"ts_us": "time_us", "token": "token"}.get(name))
        return code + self._at_sight(constant)

    def _at_sight(self, schemas: list[Any]) -> list[str]:
        if not schemas:
            return []
        fields = [{"name": str(n), "type": schema} for n, schema in enumerate(schemas)]
        read = reader({"type": "record", "name": "constant", "fields": fields}, {})
        name = f"_at_sight_{len(self._given)}"
        self._given[name] = AtSight(read, _KNOWN_MAX)
        return [f"_, at = {name}(buf, at)"]

    def _delta(self, fields: list[Schema]) -> list[str]:
        code: list[str] = []
        for field in fields:
            if field["name"] == "columns":
                self._given["_columns"] = AtSight(self._written(field["type"]), _KNOWN_MAX)
                code.append("names, at = _columns(buf, at)")
            else:
                to = "elements" if field["name"] == "elements" else None
                code += self._lines(field["type"], to)
        return code

    def _written(self, schema: Any) -> Reader:
        read = reader(schema, {})

        def written(buf: bytes, at: int) -> tuple[KeysView[str], int]:
            found, end = read(buf, at)
            if not self._columns.issuperset(found):
                raise ValueError("a column that the table does not have")
            return dict.fromkeys(found).keys(), end

        return written


def _elements(found: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Elements]:
    return {
        name: Elements(part["put"], tuple(part["removed"] or ()))
        for name, part in found.items()
        if part is not None
    }


def _is_there(value: object) -> bool:
    return value is not None
