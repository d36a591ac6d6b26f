"""The lanes topic as a whole: every record that is in force, read and written back.

A change is one transaction, under the id that control records are written with, so that of two
commands at once the later fences the earlier.
"""

import asyncio
from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.transport.kafka import (
    BEGINNING,
    PARTITION_EOF,
    client_properties,
    failure,
    fetch,
    reader_properties,
)
from cdcd.transport.lane_records import Records, Write
from cdcd.transport.topics import lanes_topic

_FETCH_SECONDS = 0.2
_FETCH_RECORDS = 1000
_DOING = "reading the lanes"


async def read_records(settings: KafkaSettings, pipeline: str, lanes: int) -> Records:
    """All records in force, committed ones only. Raises Transient."""
    return await asyncio.to_thread(_read, settings, pipeline, lanes)


def _read(settings: KafkaSettings, pipeline: str, lanes: int) -> Records:
    topic = lanes_topic(pipeline)
    consumer = Consumer(reader_properties(settings, "lane-dump", f"{topic}.look"))
    found: dict[tuple[int, str], str] = {}
    reading = set(range(lanes))
    idle_fetches_max = int(settings.request_timeout_seconds / _FETCH_SECONDS)
    idle_fetches = 0
    try:
        consumer.assign([TopicPartition(topic, lane, BEGINNING) for lane in reading])
        while reading:
            messages = fetch(consumer, _FETCH_RECORDS, _FETCH_SECONDS)
            idle_fetches = 0 if messages else idle_fetches + 1
            if idle_fetches > idle_fetches_max:
                raise Transient(f"Kafka: {_DOING}: no answer")
            for message in messages:
                error, lane = message.error(), message.partition() or 0
                if error is not None and error.code() != PARTITION_EOF:
                    raise failure(error, _DOING)
                if error is not None:
                    reading.discard(lane)
                    continue
                key, value = (message.key() or b"").decode(), message.value()
                if value is None:
                    found.pop((lane, key), None)
                else:
                    found[lane, key] = value.decode()
    except KafkaException as error:
        raise failure(error, _DOING) from error
    finally:
        consumer.close()
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
