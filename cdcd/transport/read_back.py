"""What was published of a window, read back from the change topic.

A worker that took lanes over has the fingerprints of what its predecessor published, and not the
identities. When a fingerprint differs, the topic has them.
"""

import asyncio
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.model.fingerprint import identity_hash
from cdcd.model.position import Window, uuid_time_us
from cdcd.transport.avro import Codec, schema_id_of
from cdcd.transport.kafka import PARTITION_EOF, failure, fetch, reader_properties
from cdcd.transport.registry import Registry
from cdcd.transport.topics import Topics

# Records are published after their write time, but for what the servers' clocks may be ahead.
_CLOCKS_MS = 60_000
_FETCH_RECORDS = 1000
_FETCH_SECONDS = 0.2


async def read_back(
    settings: KafkaSettings, topics: Topics, registry: Registry, topic: str, window: Window
) -> frozenset[int]:
    """The hashes of the log rows with times of the window. Raises Transient or Fatal."""
    count = (await topics.partitions()).get(topic, 0)
    # Up to the high watermarks: another worker's open transaction may hide records of ours.
    ends = await topics.ends((topic, number) for number in range(count))
    partitions = [TopicPartition(topic, n, window.start_ms - _CLOCKS_MS) for n in range(count)]
    consumer = Consumer(reader_properties(settings, "read-back", f"{topic}.read-back"))
    hashes: set[int] = set()
    codecs: dict[int, Codec] = {}
    try:
        timeout = settings.request_timeout_seconds
        starts = await asyncio.to_thread(consumer.offsets_for_times, partitions, timeout)
        consumer.assign(starts)
        reading = set(range(count))
        idle_fetches_left = int(timeout / _FETCH_SECONDS)
        while reading:
            messages = await asyncio.to_thread(fetch, consumer, _FETCH_RECORDS, _FETCH_SECONDS)
            idle_fetches_left -= not messages
            if idle_fetches_left < 0:
                raise Transient(f"Kafka: reading {topic} back: no answer")
            for message in messages:
                if _is_end(message, topic):
                    number = message.partition() or 0
                    if (message.offset() or 0) >= ends[topic, number]:
                        reading.discard(number)
                elif (value := message.value()) is not None:
                    schema_id = schema_id_of(value)
                    if schema_id not in codecs:
                        codecs[schema_id] = Codec(await registry.schema(schema_id), schema_id)
                    _take(codecs[schema_id].decode(value)["source"], window, hashes)
    except KafkaException as error:
        raise failure(error, f"reading {topic} back") from error
    finally:
        await asyncio.to_thread(consumer.close)
    return frozenset(hashes)


def _is_end(message: Message, topic: str) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() != PARTITION_EOF:
        raise failure(error, f"reading {topic} back")
    return True


def _take(source: dict[str, Any], window: Window, hashes: set[int]) -> None:
    if source["stream"] is None:
        return
    time = bytes.fromhex(source["time"].replace("-", ""))
    if window.start_ms <= uuid_time_us(time) // 1000 < window.end_ms:
        stream = bytes.fromhex(source["stream"])
        hashes.add(identity_hash(stream, time, source["seq"]))
