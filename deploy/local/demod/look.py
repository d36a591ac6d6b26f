"""Looking around by hand: CQL, and a topic's records read by Confluent's own deserializer."""

from __future__ import annotations

import asyncio
import json
import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from demod.errors import DemoError
from demod.places import KEYSPACE, PIPELINE
from demod.servers import Addresses
from demod.sides import Scylla

_ANSWER_SECONDS = 10.0


def cql(addresses: Addresses, statement: str) -> None:
    """Run a statement; rows are printed as JSON lines."""
    asyncio.run(_cql(addresses, statement))


async def _cql(addresses: Addresses, statement: str) -> None:
    scylla = await asyncio.to_thread(Scylla, addresses)
    try:
        for row in await scylla.execute(statement):
            print(json.dumps(row._asdict(), default=_plain, ensure_ascii=False))
    finally:
        await scylla.close()


def records(addresses: Addresses, table: str) -> None:
    """Print all committed records of the table's topic, oldest first in each partition."""
    topic = f"{PIPELINE}.{KEYSPACE}.{table}"
    consumer = Consumer(
        {
            "bootstrap.servers": addresses.kafka,
            "group.id": "demo-look",  # required, and never committed to
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    decode = AvroDeserializer(SchemaRegistryClient({"url": addresses.registry}))
    try:
        found = consumer.list_topics(topic, _ANSWER_SECONDS).topics[topic]
        if found.error is not None:
            raise DemoError(f"there is no topic {topic}")
        for partition in found.partitions:
            _print_partition(consumer, decode, TopicPartition(topic, partition, 0))
    except KafkaException as error:
        raise DemoError(f"Kafka: {error}") from error
    finally:
        consumer.close()


def _print_partition(consumer: Consumer, decode: AvroDeserializer, place: TopicPartition) -> None:
    _, end = consumer.get_watermark_offsets(place, _ANSWER_SECONDS)
    consumer.assign([place])
    while consumer.position([place])[0].offset < end:
        message = consumer.poll(1.0)
        if message is None:
            return
        value = decode(message.value(), SerializationContext(place.topic, MessageField.VALUE))
        print(json.dumps(value, default=_plain, ensure_ascii=False))
    sys.stdout.flush()


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if hasattr(value, "_asdict"):
        return value._asdict()
    if hasattr(value, "__iter__") and not isinstance(value, str):
        return list(value)
    return str(value)
