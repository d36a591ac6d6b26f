"""Changes to envelope records and back. Pure; the schemas are in `cdcd.transport.schema`."""

from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import Any

from cdcd import __version__
from cdcd.model.change import Bounds, ChangeEvent, Elements, Identity, Operation
from cdcd.model.cqltype import CqlType, element_type, put_type
from cdcd.model.cqlvalue import field_names, uuid_text
from cdcd.model.table import Column, TableSpec
from cdcd.transport.schema import avro_name

Datum = dict[str, Any]

_WRITES = frozenset({Operation.CREATE, Operation.UPDATE, Operation.READ})


class Envelope:
    """Converts the changes of one table; `pipeline` is the name that records carry as theirs."""

    def __init__(self, table: TableSpec, pipeline: str) -> None:
        self.table = table
        self._pipeline = pipeline
        self._columns = {c.name: _ColumnForm(c) for c in table.columns}
        self._key_forms = [self._columns[c.name] for c in table.key]
        self._key_names = [form.avro_name for form in self._key_forms]
        self._by_avro_name = {form.avro_name: name for name, form in self._columns.items()}
        self._elements = {c.name: _ElementsForm(c) for c in table.columns if c.type.is_multicell}
        self._partition_size = len(table.partition_key)

    def key(self, event: ChangeEvent) -> Datum:
        """The record key."""
        values = event.partition + event.clustering
        return {
            form.avro_name: form.to_wire(value)
            for form, value in zip(self._key_forms, values, strict=True)
        }

    def value(self, event: ChangeEvent, now_ms: int) -> Datum:
        """The record value; `now_ms` is when it is published."""
        return {
            "op": event.op.value,
            "before": None if event.before is None else self._image(event, event.before),
            "after": self._row(event) if event.op in _WRITES else None,
            "source": self._source(event),
            "delta": self._delta(event),
            "ttl": event.ttl_seconds,
            "range": event.bounds and self._range(event.bounds),
            "ts_ms": now_ms,
        }

    def _row(self, event: ChangeEvent) -> Datum:
        """The row afterwards: what was written, on top of the image where there is one. An image
        may be stale; what was written is not.
        """
        if event.after is None:
            return self._image(event, event.values)
        untouched = {n: v for n, v in event.after.items() if n not in event.nulls}
        return self._image(event, untouched | dict(event.values))

    def _image(self, event: ChangeEvent, values: Mapping[str, Any]) -> Datum:
        row = self.key(event)
        for name, value in values.items():
            form = self._columns[name]
            row[form.avro_name] = form.to_wire(value)
        return row

    def _delta(self, event: ChangeEvent) -> Datum | None:
        if event.op not in (Operation.CREATE, Operation.UPDATE):
            return None
        delta: Datum = {"columns": [*event.values, *event.nulls]}
        if event.elements:
            forms = self._elements
            delta["elements"] = {
                forms[name].avro_name: forms[name].to_wire(e) for name, e in event.elements.items()
            }
        return delta

    def _range(self, bounds: Bounds) -> Datum:
        forms = self._key_forms[self._partition_size :]

        def prefix(values: tuple[Any, ...]) -> Datum:
            return {f.avro_name: f.to_wire(v) for f, v in zip(forms, values, strict=False)}

        return {
            "start": prefix(bounds.start),
            "start_inclusive": bounds.start_inclusive,
            "end": prefix(bounds.end),
            "end_inclusive": bounds.end_inclusive,
        }

    def _bounds(self, found: Mapping[str, Any] | None) -> Bounds | None:
        if found is None:
            return None
        forms = self._key_forms[self._partition_size :]

        def prefix(bound: Mapping[str, Any]) -> tuple[Any, ...]:
            values = takewhile(_is_there, (bound[f.avro_name] for f in forms))
            return tuple(f.from_wire(v) for f, v in zip(forms, values, strict=False))

        return Bounds(
            prefix(found["start"]),
            found["start_inclusive"],
            prefix(found["end"]),
            found["end_inclusive"],
        )

    def _read_elements(self, delta: Mapping[str, Any] | None) -> dict[str, Elements]:
        found = (delta and delta.get("elements")) or {}
        return {
            name: form.from_wire(found[form.avro_name])
            for name, form in self._elements.items()
            if found.get(form.avro_name) is not None
        }

    def _source(self, event: ChangeEvent) -> Datum:
        identity = event.identity
        return {
            "version": __version__,
            "connector": "scylla",
            "name": self._pipeline,
            "ts_ms": event.time_us // 1000,
            "ts_us": event.time_us,
            "snapshot": "false",
            "db": self.table.keyspace,
            "keyspace_name": self.table.keyspace,
            "table_name": self.table.name,
            "token": event.token,
            "stream": identity.stream.hex() if identity else None,
            "time": uuid_text(identity.time) if identity else None,
            "seq": identity.seq if identity else None,
        }

    def event(self, key: Mapping[str, Any], value: Mapping[str, Any]) -> ChangeEvent:
        """The change of a decoded key and value. Raises KeyError or ValueError for other shapes."""
        op = Operation(value["op"])
        source = value["source"]
        keys = tuple(form.from_wire(key[form.avro_name]) for form in self._key_forms)
        size = self._partition_size
        values: Datum = {}
        nulls: list[str] = []
        if op in _WRITES:
            self._read_row(value, values, nulls)
        return ChangeEvent(
            table=self.table,
            op=op,
            partition=keys[:size],
            clustering=keys[size:],
            time_us=source["ts_us"],
            token=source["token"],
            identity=_identity(source),
            values=values,
            nulls=tuple(nulls),
            ttl_seconds=value["ttl"],
            elements=self._read_elements(value["delta"]),
            bounds=self._bounds(value.get("range")),
        )

    def _read_row(self, value: Mapping[str, Any], values: Datum, nulls: list[str]) -> None:
        after, delta = value["after"], value["delta"]
        names: Iterable[str]
        if delta is None:
            skipped = set(self._key_names)
            names = [self._by_avro_name[n] for n in after if n not in skipped]
        else:
            names = delta["columns"]
        for name in names:
            form = self._columns[name]
            found = after[form.avro_name]
            if found is not None:
                values[name] = form.from_wire(found)
            elif delta is not None:
                nulls.append(name)


def _identity(source: Mapping[str, Any]) -> Identity | None:
    if source["stream"] is None:
        return None
    time = bytes.fromhex(source["time"].replace("-", ""))
    return Identity(bytes.fromhex(source["stream"]), time, source["seq"])


class _ColumnForm:
    """How a column's value looks on the wire; only types with odd field names differ there."""

    def __init__(self, column: Column) -> None:
        self.avro_name = avro_name(column.name)
        self.to_wire, self.from_wire = _forms(column.type)


class _ElementsForm:
    """How a change of elements looks on the wire."""

    def __init__(self, column: Column) -> None:
        self.avro_name = avro_name(column.name)
        self._put = _forms(put_type(column.type))
        self._name = _forms(element_type(column.type))

    def to_wire(self, elements: Elements) -> Datum:
        """As the schema's record of the column."""
        removed = [self._name[0](e) for e in elements.removed]
        return {"put": self._put[0](elements.put), "removed": removed or None}

    def from_wire(self, found: Mapping[str, Any]) -> Elements:
        """The change of elements."""
        removed = tuple(self._name[1](e) for e in found["removed"] or ())
        return Elements(self._put[1](found["put"]), removed)


def _is_there(value: object) -> bool:
    return value is not None


def _forms(cql: CqlType) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """To the wire and back; they differ from doing nothing only for types with odd field names."""
    if not _has_odd_names(cql):
        return _same, _same
    return _renamer(cql, avro_name), _renamer(cql, None)


def _same(value: Any) -> Any:
    return value


def _has_odd_names(cql: CqlType) -> bool:
    return any(avro_name(f) != f for f in cql.fields) or any(map(_has_odd_names, cql.args))


def _renamer(cql: CqlType, rename: Callable[[str], str] | None) -> Callable[[Any], Any]:
    """Renames the fields of nested types to Avro's names, or back where `rename` is None."""
    parts = [_renamer(a, rename) for a in cql.args]

    def convert(value: Any) -> Any:
        if value is None or not parts:
            return value
        if cql.name in ("list", "set", "vector"):
            return [parts[0](e) for e in value]
        if cql.name == "map" and isinstance(value, dict):
            return {k: parts[1](v) for k, v in value.items()}
        if cql.name == "map":
            return [{"key": parts[0](e["key"]), "value": parts[1](e["value"])} for e in value]
        names = field_names(cql)
        pairs = [(n, avro_name(n)) if rename is None else (rename(n), n) for n in names]
        return {to: p(value[at]) for (to, at), p in zip(pairs, parts, strict=True)}

    return convert
