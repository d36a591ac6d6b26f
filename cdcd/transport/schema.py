"""Avro schemas of a table's records, and the table read back from them. Pure.

A value is a Debezium envelope; `docs/WIRE.md` describes it to consumers. A schema is one document
without references, and it carries the CQL names, types and kinds as properties, so that the sink
needs nothing but the schema to know the table.
"""

import re
from collections.abc import Mapping
from typing import Any

from cdcd.model.cqltype import CqlType, UdtFields, element_type, parse, put_type
from cdcd.model.cqlvalue import field_names, has_text_keys
from cdcd.model.errors import ConfigurationError
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.model.typemap import ATOMIC

Schema = dict[str, Any]

# Raised when a sink of the release before would apply records wrongly, and only then.
ENVELOPE_VERSION = 1

_PLAIN = re.compile(r"[A-Za-z0-9_]")
_ESCAPE = re.compile(r"_(?=u[0-9a-f]{4})")


def avro_name(name: str) -> str:
    """A name that Avro takes; different names stay different.

    Each character outside of Avro's grammar, and a leading digit, becomes `_uXXXX` for each of its
    UTF-16 units. An underscore that would read as the start of such an escape is escaped too.
    """
    escaped = _ESCAPE.sub("_u005f", name)
    return "".join(
        c if _PLAIN.match(c) and not (at == 0 and c.isdigit()) else _escape(c)
        for at, c in enumerate(escaped)
    )


def _escape(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"_u{units[i : i + 4]}" for i in range(0, len(units), 4))


def key_schema(table: TableSpec, topic: str) -> Schema:
    """The record key: the full primary key.

    Clustering columns are null for changes that touch a whole partition or its static row.
    """
    builder = _Builder(topic)
    return {
        "type": "record",
        "name": "Key",
        "namespace": topic_namespace(topic),
        "fields": [builder.column(c) for c in table.key],
    }


def value_schema(table: TableSpec, topic: str, remasked_ms: int = 0, revision: int = 0) -> Schema:
    """The envelope. `remasked_ms` is when masks or their key last became others; `revision` tells
    it from an earlier schema that was the same.
    """
    builder = _Builder(topic)
    row: Schema = {
        "type": "record",
        "name": "Value",
        "cql.keyspace": table.keyspace,
        "cql.table": table.name,
        "cql.types": {name: [list(f) for f in fields] for name, fields in table.udts.items()},
        "fields": [builder.column(c) for c in table.columns],
    }
    if remasked_ms:
        row["cql.remasked_ms"] = remasked_ms
    if revision:
        row["cql.revision"] = revision
    return {
        "type": "record",
        "name": "Envelope",
        "namespace": topic_namespace(topic),
        "cdcd.version": ENVELOPE_VERSION,
        "fields": [
            {"name": "op", "type": "string"},
            _optional("before", row),
            _optional("after", "Value"),
            {"name": "source", "type": _SOURCE},
            _optional("delta", builder.delta(table)),
            _optional("ttl", "long"),
            *([_optional("range", builder.range(table))] if table.clustering_key else []),
            _optional("ts_ms", "long"),
        ],
    }


def topic_namespace(topic: str) -> str:
    """The Avro namespace of a topic's records: its parts as Avro names."""
    return ".".join(avro_name(part) for part in topic.split("."))


_SOURCE = {
    "type": "record",
    "name": "Source",
    "fields": [
        {"name": "version", "type": "string"},
        {"name": "connector", "type": "string"},
        {"name": "name", "type": "string"},
        {"name": "ts_ms", "type": "long"},
        {"name": "ts_us", "type": "long"},
        {"name": "snapshot", "type": ["string", "null"], "default": "false"},
        {"name": "db", "type": "string"},
        {"name": "keyspace_name", "type": "string"},
        {"name": "table_name", "type": "string"},
        {"name": "token", "type": "long"},
        {"name": "stream", "type": ["null", "string"], "default": None},
        {"name": "time", "type": ["null", "string"], "default": None},
        {"name": "seq", "type": ["null", "int"], "default": None},
    ],
}


def _optional(name: str, schema: object, **properties: object) -> Schema:
    return {"name": name, "type": ["null", schema], "default": None, **properties}


class _Builder:
    """Builds column types; a named type is written out once and then referred to by its name."""

    def __init__(self, topic: str) -> None:
        self.namespace = topic_namespace(topic)
        self.defined: set[str] = set()

    def column(self, column: Column) -> Schema:
        name = avro_name(column.name)
        schema = self.type(column.type, f"{self.namespace}.column.{name}")
        properties = {
            "cql.name": column.name,
            "cql.type": str(column.type),
            "cql.kind": column.kind.value,
        }
        if column.descending:
            properties["cql.order"] = "desc"
        if column.mask:
            properties["cql.mask"] = column.mask
        if column.kind is ColumnKind.PARTITION_KEY:
            return {"name": name, "type": schema, **properties}
        return _optional(name, schema, **properties)

    def delta(self, table: TableSpec) -> Schema:
        """What was written of a row: names of columns, and elements of non-frozen types."""
        fields: list[Schema] = [{"name": "columns", "type": {"type": "array", "items": "string"}}]
        multicell = [c for c in table.columns if c.type.is_multicell]
        if multicell:
            elements = [self.elements(c) for c in multicell]
            record = {"type": "record", "name": "Elements", "fields": elements}
            fields.append(_optional("elements", record))
        return {"type": "record", "name": "Delta", "fields": fields}

    def elements(self, column: Column) -> Schema:
        """What was put into and removed from a collection or user-defined type."""
        name = avro_name(column.name)
        path = f"{self.namespace}.elements.{name}"
        put = self.type(put_type(column.type), f"{path}.put")
        removed = self.type(element_type(column.type), f"{path}.removed")
        fields = [_optional("put", put), _optional("removed", {"type": "array", "items": removed})]
        record = {"type": "record", "name": path, "fields": fields}
        return _optional(name, record, **{"cql.name": column.name})

    def range(self, table: TableSpec) -> Schema:
        """The bounds of a range delete: prefixes of the clustering key, null behind their end."""
        fields = [
            _optional(
                avro_name(c.name), self.type(c.type, f"{self.namespace}.bound.{avro_name(c.name)}")
            )
            for c in table.clustering_key
        ]
        bound = {"type": "record", "name": "Bound", "fields": fields}
        return {
            "type": "record",
            "name": "Range",
            "fields": [
                {"name": "start", "type": bound},
                {"name": "start_inclusive", "type": "boolean"},
                {"name": "end", "type": "Bound"},
                {"name": "end_inclusive", "type": "boolean"},
            ],
        }

    def type(self, cql: CqlType, path: str) -> object:
        """The Avro type; `path` names the records of tuples, which have no name of their own.

        Its parts are joined by dots, which no part holds, so that no two columns share a name.
        """
        if cql.name in ATOMIC:
            return self.once(ATOMIC[cql.name].avro)
        if cql.name in ("list", "set", "vector"):
            return {"type": "array", "items": self.type(cql.args[0], f"{path}.e")}
        if cql.name == "map":
            return self.map(cql, path)
        name = f"{self.namespace}.udt.{avro_name(cql.udt)}" if cql.udt else f"{path}.t"
        if name in self.defined:
            return name
        self.defined.add(name)
        fields = [
            _optional(avro_name(f), self.type(a, f"{name}.{avro_name(f)}"), **{"cql.name": f})
            for f, a in zip(field_names(cql), cql.args, strict=True)
        ]
        return {"type": "record", "name": name, "fields": fields}

    def map(self, cql: CqlType, path: str) -> object:
        if has_text_keys(cql):
            return {"type": "map", "values": self.type(cql.args[1], f"{path}.v")}
        # The key first: where both hold the same record it is defined where it is read first.
        key = self.type(cql.args[0], f"{path}.k")
        value = self.type(cql.args[1], f"{path}.v")
        fields = [{"name": "key", "type": key}, {"name": "value", "type": value}]
        return {"type": "array", "items": {"type": "record", "name": f"{path}.m", "fields": fields}}

    def once(self, schema: object) -> object:
        if not isinstance(schema, dict) or schema["type"] != "record":
            return schema
        if schema["name"] in self.defined:
            return schema["name"]
        self.defined.add(schema["name"])
        return schema


def _refuse_newer(schema: Schema) -> None:
    # A schema that says none is from before there was a second one.
    version = int(schema["cdcd.version"]) if "cdcd.version" in schema else 1
    if version > ENVELOPE_VERSION:
        raise ConfigurationError(
            f"a topic has records of version {version}, and this cdcd knows {ENVELOPE_VERSION}",
            "run the newer cdcd",
        )


def remasked_from_schema(schema: Schema) -> int:
    """When masks or their key last became others, in milliseconds since 1970; 0 for never."""
    return int(_row_of(schema).get("cql.remasked_ms", 0))


def revision_from_schema(schema: Schema) -> int:
    """What tells a schema from earlier ones that were the same; 0 where there was none."""
    return int(_row_of(schema).get("cql.revision", 0))


def _row_of(schema: Schema) -> Schema:
    found: Schema = next(f for f in schema["fields"] if f["name"] == "before")["type"][1]
    return found


def table_from_schema(schema: Schema) -> TableSpec:
    """The table that `value_schema` described.

    Raises ValueError for a schema of another maker, ConfigurationError for a newer release's.
    """
    try:
        _refuse_newer(schema)
        row = _row_of(schema)
        udts: Mapping[str, UdtFields] = {
            name: tuple((f, t) for f, t in fields) for name, fields in row["cql.types"].items()
        }
        columns = tuple(
            Column(
                f["cql.name"],
                parse(f["cql.type"], udts),
                ColumnKind(f["cql.kind"]),
                f.get("cql.order") == "desc",
                f.get("cql.mask", ""),
            )
            for f in row["fields"]
        )
        return TableSpec(row["cql.keyspace"], row["cql.table"], columns, udts)
    except (KeyError, IndexError, TypeError, StopIteration) as error:
        raise ValueError(f"not a schema of cdcd: {error!r}") from error
