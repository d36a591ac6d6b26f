"""The independent checker: source against target, and log against topic. It shares no code with
the product: its own drivers, its own reading of the topics, its own idea of equal values.
"""

import asyncio
import io
import json
import urllib.request
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import asyncpg
import fastavro
from cassandra.cluster import Session
from cassandra.util import OrderedMapSerializedKey, SortedSet
from confluent_kafka import Consumer, TopicPartition

from tests.stack import Stack

Identity = tuple[str, str, int]

# Log rows that are no changes: images, and the second row of a range delete.
_NO_EVENT = {0, 7, 8, 9}


def log_identities(session: Session, keyspace: str, table: str) -> Counter[Identity]:
    """What the topic must hold: the identity of each delta row of the log."""
    rows = session.execute(
        'SELECT "cdc$stream_id" AS stream, "cdc$time" AS time, "cdc$batch_seq_no" AS seq,'
        f' "cdc$operation" AS op FROM {keyspace}."{table}_scylla_cdc_log"'
    )
    return Counter(
        (bytes(row.stream).hex(), str(row.time), row.seq) for row in rows if row.op not in _NO_EVENT
    )


def read_topic(stack: Stack, topic: str) -> list[dict[str, Any]]:
    """The values of all committed records of a topic, partition after partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka,
            "group.id": f"check-{topic}",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    schemas: dict[int, Any] = {}
    values = []
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        open_partitions = set(partitions)
        while open_partitions:
            for message in consumer.consume(1000, 1.0):
                if message.error():
                    open_partitions.discard(message.partition())
                elif (value := message.value()) is not None:  # not a tombstone
                    values.append(_decoded(stack, schemas, value))
    finally:
        consumer.close()
    return values


def _decoded(stack: Stack, schemas: dict[int, Any], framed: bytes) -> Any:
    number = int.from_bytes(framed[1:5], "big")
    if number not in schemas:
        with urllib.request.urlopen(f"{stack.registry}/schemas/ids/{number}") as answer:
            schemas[number] = fastavro.parse_schema(json.loads(json.load(answer)["schema"]))
    return fastavro.schemaless_reader(io.BytesIO(framed[5:]), schemas[number], None)


def topic_identities(values: Iterable[dict[str, Any]]) -> Counter[Identity]:
    """The identities of the changes in a topic; what a refresh published has none."""
    sources = (value["source"] for value in values)
    return Counter((s["stream"], s["time"], s["seq"]) for s in sources if s["stream"])


def source_rows(
    session: Session, keyspace: str, table: str, key: tuple[str, ...]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The source's rows by key, as values that compare equal to the target's."""
    rows = session.execute(f"SELECT * FROM {keyspace}.{table}")
    found = {}
    for row in rows:
        columns = {name: _plain(getattr(row, name)) for name in row._fields}
        found[tuple(columns[k] for k in key)] = columns
    return found


def target_rows(
    stack: Stack, schema: str, table: str, key: tuple[str, ...]
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The target's rows by key, without the columns that are cdcd's own."""

    async def fetch() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(stack.postgres)
        try:
            await connection.set_type_codec(
                "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
            )
            return list(await connection.fetch(f'SELECT * FROM "{schema}"."{table}"'))
        except asyncpg.UndefinedTableError:
            return []  # not made yet, so no row of it is there
        finally:
            await connection.close()

    found = {}
    for row in asyncio.run(fetch()):
        columns = {n: _plain(v) for n, v in row.items() if not n.startswith("cdc_")}
        found[tuple(columns[k] for k in key)] = columns
    return found


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return {n: _plain(v) for n, v in value._asdict().items()}
    if isinstance(value, OrderedMapSerializedKey | dict):
        pairs = [(_plain(k), _plain(v)) for k, v in value.items()]
        return dict(pairs) if all(isinstance(k, str) for k, _ in pairs) else list(map(list, pairs))
    if isinstance(value, SortedSet | list | tuple | set):
        return [_plain(v) for v in value]
    if isinstance(value, Decimal):
        return value.normalize()
    if hasattr(value, "tzinfo") and value.tzinfo is not None:
        return value.replace(tzinfo=None)
    return value


def differences(
    source: dict[tuple[Any, ...], dict[str, Any]], target: dict[tuple[Any, ...], dict[str, Any]]
) -> list[str]:
    """What is missing, extra or different in the target, in words."""
    missing = [f"missing {key}" for key in source.keys() - target.keys()]
    extra = [f"extra {key}" for key in target.keys() - source.keys()]
    different = [
        f"{key}: {source[key]} became {target[key]}"
        for key in source.keys() & target.keys()
        if source[key] != target[key]
    ]
    return missing + extra + different
