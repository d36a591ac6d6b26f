"""A consumer of a table's topic, written from docs/WIRE.md alone: it keeps the table as the records
say. It knows Kafka, the registry's HTTP and Avro, and nothing of the product.
"""

import io
import json
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import fastavro
from confluent_kafka import Consumer, Message, TopicPartition

from tests.independent.cql import Cql, parse
from tests.independent.forms import avro_name, from_avro
from tests.independent.order import in_range
from tests.independent.source import Column, Identity, Key, State, Table, Values
from tests.stack import Stack

# The value of a list of which only some elements are known, until the row is published whole.
UNKNOWN = "unknown until refreshed"


def without_logical_types(schema: Any) -> Any:
    """The schema, so read that all values are the plain ones that Avro encodes."""
    if isinstance(schema, list):
        return [without_logical_types(part) for part in schema]
    if isinstance(schema, dict):
        return {k: without_logical_types(v) for k, v in schema.items() if k != "logicalType"}
    return schema


class Registry:
    """Schemas by their id."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._known: dict[int, tuple[Any, Any]] = {}

    def read(self, framed: bytes) -> tuple[Any, Any]:
        """A record in Confluent's framing, and its schema."""
        assert framed[0] == 0
        number = int.from_bytes(framed[1:5], "big")
        if number not in self._known:
            with urllib.request.urlopen(f"{self._url}/schemas/ids/{number}") as answer:
                schema = json.loads(json.load(answer)["schema"])
            plain = without_logical_types(schema)
            self._known[number] = (schema, fastavro.parse_schema(plain, named_schemas={}))
        schema, parsed = self._known[number]
        rest = io.BytesIO(framed[5:])
        datum = fastavro.schemaless_reader(rest, parsed, None)
        assert not rest.read(1), "a record goes on behind its end"
        return schema, datum


def table_of(schema: Any) -> Table:
    """The table that a value's schema describes."""
    fields = {f["name"]: f for f in schema["fields"]}
    row = fields["before"]["type"][1]
    udts = {name: [(f, t) for f, t in found] for name, found in row["cql.types"].items()}
    columns = (
        Column(
            f["cql.name"],
            parse(f["cql.type"], udts),
            f["cql.kind"],
            f.get("cql.order") == "desc",
        )
        for f in row["fields"]
    )
    return Table(row["cql.keyspace"], row["cql.table"], tuple(columns))


@dataclass
class Replica:
    """The table as its topic tells it."""

    state: State = field(default_factory=State)
    identities: Counter[Identity] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    lates: int = 0
    # Rows of nothing but nulls that may be gone, until they are published whole.
    in_doubt: set[Key] = field(default_factory=set)
    _marked: set[Key] = field(default_factory=set)
    _homes: dict[Key, int] = field(default_factory=dict)

    def take(self, message: Message, registry: Registry) -> None:
        """Apply one record."""
        _, key = registry.read(message.key() or b"")
        schema, value = registry.read(message.value() or b"")
        table, source = table_of(schema), value["source"]
        self.operations[value["op"]] += 1
        if source["stream"] is not None:
            self.identities[source["stream"], source["time"], source["seq"]] += 1
        whole = tuple(from_avro(c.type, key[avro_name(c.name)]) for c in table.key)
        partition = whole[: len(table.of("partition_key"))]
        number = message.partition() or 0
        assert self._homes.setdefault(partition, number) == number, "a partition moved"
        if "cdcd-late" in [header[0] for header in message.headers() or ()]:
            self.lates += 1
            return
        self._apply(table, whole, partition, value)

    def _apply(self, table: Table, key: Key, partition: Key, value: Any) -> None:
        op = value["op"]
        if op == "p":
            self.state.statics.pop(partition, None)
            self._forget(k for k in list(self.state.rows) if k[: len(partition)] == partition)
        elif op == "g":
            size, bounds = len(partition), _bounds(table, value["range"])
            self._forget(
                k
                for k in list(self.state.rows)
                if k[:size] == partition and in_range(table.of("clustering"), k[size:], bounds)
            )
        elif op == "d":
            self._forget([key])
        elif len(key) > len(partition) and key[len(partition)] is None:
            self._write_static(table, partition, value)
        else:
            self._write_row(table, key, value)

    def _forget(self, keys: Any) -> None:
        for key in keys:
            self.state.rows.pop(key, None)
            self._marked.discard(key)
            self.in_doubt.discard(key)

    def _write_static(self, table: Table, partition: Key, value: Any) -> None:
        old = self.state.statics.pop(partition, {})
        new = _after(table.of("static"), old, value)
        if new:
            self.state.statics[partition] = new

    def _write_row(self, table: Table, key: Key, value: Any) -> None:
        old = self.state.rows.get(key)
        new = _after(table.of("regular"), old or {}, value)
        if old is None and not new and value["op"] == "u":
            return  # nulls alone make no row
        self.state.rows[key] = new
        if value["op"] == "c":
            self._marked.add(key)
        elif value["op"] == "r":
            # Whether it has a marker is not known, unless that is all it has.
            self._marked.discard(key)
            if not new:
                self._marked.add(key)
        if new or key in self._marked:
            self.in_doubt.discard(key)
        else:
            self.in_doubt.add(key)


def _after(columns: list[Column], old: Values, value: Any) -> Values:
    """A row's columns behind a record."""
    after, delta = value["after"], value["delta"]
    if delta is None:
        found = {c.name: from_avro(c.type, after[avro_name(c.name)]) for c in columns}
    else:
        found = dict(old)
        by_name = {c.name: c for c in columns}
        for name in delta["columns"]:
            found[name] = from_avro(by_name[name].type, after[avro_name(name)])
        for name, change in (delta.get("elements") or {}).items():
            for column in columns if change is not None else ():
                if avro_name(column.name) == name:
                    found[column.name] = _merged(column.type, found.get(column.name), change)
    return {name: v for name, v in found.items() if v is not None}


def _merged(cql: Cql, old: Any, change: Any) -> Any:
    """A value behind a change of some of its elements."""
    put, removed = change["put"], change["removed"] or []
    if cql.name == "list":
        return UNKNOWN
    if cql.name == "set":
        added = from_avro(cql, put) or ()
        gone = {from_avro(cql.args[0], e) for e in removed}
        return tuple({*(old or ()), *added} - gone) or None
    pairs = dict(old or ())
    if cql.name == "udt":
        pairs = dict.fromkeys(cql.fields) | pairs
        pairs |= {f: v for f, v in from_avro(cql, put) or () if v is not None}
        pairs |= dict.fromkeys(removed)
        return tuple(pairs.items()) if any(v is not None for v in pairs.values()) else None
    pairs |= dict(from_avro(cql, put) or ())
    for name in removed:
        pairs.pop(from_avro(cql.args[0], name), None)
    return tuple(pairs.items()) or None


def _bounds(table: Table, found: Any) -> tuple[Key, bool, Key, bool]:
    """Start, whether it is included, end, whether it is included."""

    def prefix(bound: Any) -> Key:
        values = []
        for column in table.of("clustering"):
            value = from_avro(column.type, bound[avro_name(column.name)])
            if value is None:
                break
            values.append(value)
        return tuple(values)

    return (
        prefix(found["start"]),
        found["start_inclusive"],
        prefix(found["end"]),
        found["end_inclusive"],
    )


class Follower:
    """Reads a topic's committed records on and on."""

    def __init__(self, stack: Stack, topic: str) -> None:
        self.replica = Replica()
        self._registry = Registry(stack.registry)
        self._consumer = Consumer(
            {
                "bootstrap.servers": stack.kafka,
                "group.id": f"independent-{topic}",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
            }
        )
        partitions: Any = {}
        while not partitions:  # a test's own limit ends the wait for the topic
            partitions = self._consumer.list_topics(topic, timeout=10).topics[topic].partitions
        self._numbers = set(partitions)
        self._consumer.assign([TopicPartition(topic, number, 0) for number in partitions])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def catch_up(self) -> Replica:
        """Read until every partition's end was seen once more, or nothing came for two seconds."""
        left = set(self._numbers)
        while left:
            messages = self._consumer.consume(1000, 2.0)
            if not messages:
                break
            for message in messages:
                if message.error():
                    left.discard(message.partition())
                else:
                    self.replica.take(message, self._registry)
        return self.replica
