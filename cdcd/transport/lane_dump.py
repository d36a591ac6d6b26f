"""The lanes topic as a whole: every record that is in force, read and written back.

A change is one transaction, under the id that control records are written with, so that of two
commands at once the later fences the earlier.
"""

import asyncio
from collections.abc import Iterable

from confluent_kafka import KafkaException, Producer

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.transport.kafka import client_properties
from cdcd.transport.lane_records import Records, Write
from cdcd.transport.topic_reader import TopicReader
from cdcd.transport.topics import lanes_topic


async def read_records(settings: KafkaSettings, pipeline: str, lanes: int) -> Records:
    """All records in force, committed ones only. Raises Transient."""
    return await asyncio.to_thread(_read, settings, pipeline, lanes)


def _read(settings: KafkaSettings, pipeline: str, lanes: int) -> Records:
    found: dict[tuple[int, str], str] = {}
    topic = lanes_topic(pipeline)
    with TopicReader.from_beginning(settings, topic, "lane-dump", range(lanes)) as reader:
        for record in reader.to_ends():
            name = record.partition, record.key.decode()
            if (value := record.value) is None:
                found.pop(name, None)
            else:
                found[name] = value.decode()
    return found


async def write_records(settings: KafkaSettings, pipeline: str, writes: Iterable[Write]) -> None:
    """Write records, or remove them (None), all or none. Raises Transient."""
    await asyncio.to_thread(_write, settings, pipeline, list(writes))


def _write(settings: KafkaSettings, pipeline: str, writes: list[Write]) -> None:
    topic, timeout_seconds = lanes_topic(pipeline), settings.request_timeout_seconds
    producer = Producer(
        client_properties(settings, "lane-dump")
        | {"transactional.id": f"{topic}-control", "transaction.timeout.ms": 60_000}
    )
    try:
        producer.init_transactions(timeout_seconds)
        producer.begin_transaction()
        for lane, key, value in writes:
            raw = None if value is None else value.encode()
            producer.produce(topic, raw, key.encode(), lane)
            producer.poll(0)
        producer.commit_transaction(timeout_seconds)
    except (KafkaException, BufferError) as error:
        raise Transient("Kafka: writing the lanes: another command does, or no answer") from error
