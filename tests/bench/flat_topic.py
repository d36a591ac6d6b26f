"""The changes of a topic of cdcd's again, as records that a JDBC sink has the least work with.

Each is a whole flat row, and a delete is a tombstone: what Debezium's flattening transform leaves
of an envelope, in fewer bytes than cdcd's record. The changes and their order are the same. This
is done before the race, so that it costs the sink nothing.
"""

import io
import json
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import fastavro
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from cdcd.config.settings import KafkaSettings, RegistrySettings
from cdcd.model.change import ChangeEvent, Operation
from cdcd.sink.decode import Decoder, to_apply
from cdcd.transport.avro import FRAME
from cdcd.transport.records import LATE_HEADER, Partition, Record
from cdcd.transport.registry import Registry
from cdcd.transport.topic_reader import TopicReader
from tests.bench import work
from tests.stack import Stack

_TYPES: dict[str, Any] = {
    "active": "boolean",
    "amount": "double",
    "created": {"type": "long", "logicalType": "timestamp-millis"},
    "quantity": "int",
}
_KEY = {"type": "record", "name": "bench_key", "fields": [{"name": "id", "type": "long"}]}
_VALUE: dict[str, Any] = {
    "type": "record",
    "name": "bench_value",
    "fields": [
        {"name": "id", "type": "long"},
        *(
            {"name": name, "type": ["null", _TYPES.get(name, "string")], "default": None}
            for name in work.NAMES[1:]
        ),
    ],
}
_READ_AT_ONCE = 1000


def read_topic(stack: Stack, topic: str) -> list[Record]:
    """All committed records of a topic's one partition, in order."""
    settings = KafkaSettings(bootstrap_servers=stack.kafka)
    place, records = Partition(topic, 0), []
    with TopicReader.from_beginning(settings, topic, "bench", range(1)) as reader:
        for found in reader.to_ends():
            headers = found.record.headers() if found.record else None
            late = LATE_HEADER in dict(headers or ())
            records.append(Record(place, found.offset, 0, found.key, found.value, late))
    return records


async def changes_of(stack: Stack, records: list[Record]) -> list[ChangeEvent]:
    """The change of each record that is to be applied."""
    async with Registry(RegistrySettings(url=stack.registry)) as registry:
        decoder = Decoder(registry, "bench")
        return list(await decoder.decode(to_apply(records)))


def key_of(change: ChangeEvent) -> int:
    """The row that a change is of."""
    (key,) = change.partition
    assert isinstance(key, int)
    return key


@dataclass
class Rows:
    """Whole rows by key, as far as changes were applied to them."""

    by_key: dict[int, dict[str, Any]] = field(default_factory=dict)

    def apply(self, change: ChangeEvent) -> tuple[int, dict[str, Any] | None]:
        """The row's key, and the row afterwards, None if it is gone."""
        key = key_of(change)
        if change.op in (Operation.DELETE, Operation.PARTITION_DELETE):
            self.by_key.pop(key, None)
            return key, None
        assert change.op is not Operation.RANGE_DELETE
        before = {} if change.op is Operation.READ else self.by_key.get(key, {})
        row = {**before, **change.values, **dict.fromkeys(change.nulls)}
        self.by_key[key] = row
        return key, row


def produce(stack: Stack, topic: str, changes: Iterable[ChangeEvent]) -> dict[int, dict[str, Any]]:
    """Write them as flat records to one partition; the rows by key as they are in the end."""
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(10)
    producer = Producer(
        {
            "bootstrap.servers": stack.kafka,
            "compression.type": "lz4",
            "linger.ms": 20,
            "enable.idempotence": True,
            "delivery.report.only.error": True,
        }
    )
    rows = Rows()
    for count, (key, value) in enumerate(_records(stack, topic, changes, rows)):
        producer.produce(topic, value, key, 0)
        if count % _READ_AT_ONCE == 0:
            producer.poll(0)
            while len(producer) > 50 * _READ_AT_ONCE:
                producer.poll(0.05)
    assert producer.flush(60) == 0
    return rows.by_key


def _records(
    stack: Stack, topic: str, changes: Iterable[ChangeEvent], rows: Rows
) -> Iterator[tuple[bytes, bytes | None]]:
    frames = {
        part: FRAME.pack(0, _register(stack, f"{topic}-{part}", schema))
        for part, schema in (("key", _KEY), ("value", _VALUE))
    }
    plain = {**_VALUE, "fields": [_without_logical(f) for f in _VALUE["fields"]]}
    parsed = {"key": fastavro.parse_schema(_KEY), "value": fastavro.parse_schema(plain)}

    def encoded(part: str, datum: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, parsed[part], datum)
        return frames[part] + out.getvalue()

    for change in changes:
        key, row = rows.apply(change)
        value = None if row is None else encoded("value", {**row, "id": key})
        yield encoded("key", {"id": key}), value


def _without_logical(field: dict[str, Any]) -> dict[str, Any]:
    kind = field["type"]
    if isinstance(kind, list) and isinstance(kind[1], dict):
        return {**field, "type": ["null", kind[1]["type"]]}
    return field


def _register(stack: Stack, subject: str, schema: dict[str, Any]) -> int:
    request = urllib.request.Request(
        f"{stack.registry}/subjects/{subject}/versions",
        json.dumps({"schema": json.dumps(schema)}).encode(),
        {"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: int = json.load(answer)["id"]
        return found
