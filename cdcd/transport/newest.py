"""The newest changes of a topic, and how long each took to get there. Reads only."""

import asyncio
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.transport.avro import Codec, schema_id_of
from cdcd.transport.kafka import PARTITION_EOF, client_properties, failure
from cdcd.transport.records import LATE_HEADER
from cdcd.transport.registry import Registry
from cdcd.transport.topics import Topics

_FETCH_RECORDS = 1000
_FETCH_SECONDS = 0.2


async def newest_ages(
    settings: KafkaSettings, registry: Registry, topic: str, count: int
) -> list[float]:
    """Seconds from the write in ScyllaDB to the record, of about the last `count` changes.

    Late changes and what refreshes published are left out: their write time says nothing of the
    way. Raises Transient or Fatal.
    """
    topics = Topics(settings)
    places = [(topic, number) for number in range((await topics.partitions()).get(topic, 0))]
    starts, ends = await topics.starts(places), await topics.ends(places)
    each = -(-count // max(len(places), 1))
    # Marks of transactions take offsets too, about one for each transaction.
    first = {at: max(starts[at], ends[at] - 2 * each) for at in places}
    ages: dict[int, list[float]] = {number: [] for _, number in places}
    codecs: dict[int, Codec] = {}
    for message in await asyncio.to_thread(_read, settings, topic, first, ends):
        value, number = message.value(), message.partition()
        if value is None or LATE_HEADER in dict(message.headers() or ()):
            continue
        schema_id = schema_id_of(value)
        if schema_id not in codecs:
            codecs[schema_id] = Codec(await registry.schema(schema_id), schema_id)
        source = codecs[schema_id].decode(value)["source"]
        if source["stream"] is not None:
            _, made_ms = message.timestamp()
            ages[number].append(max(made_ms - source["ts_us"] / 1000, 0.0) / 1000)
    return [age for found in ages.values() for age in found[-each:]]


def _read(
    settings: KafkaSettings,
    topic: str,
    first: dict[tuple[str, int], int],
    ends: Any,
) -> list[Any]:
    consumer = Consumer(
        client_properties(settings, "latency")
        | {
            "group.id": f"{topic}.latency",  # required, and never committed to
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    found: list[Any] = []
    reading = {number for (_, number), start in first.items() if start < ends[topic, number]}
    idle_fetches_left = int(settings.request_timeout_seconds / _FETCH_SECONDS)
    try:
        consumer.assign([TopicPartition(topic, n, first[topic, n]) for n in sorted(reading)])
        while reading:
            messages = consumer.consume(_FETCH_RECORDS, _FETCH_SECONDS)
            idle_fetches_left -= not messages
            if idle_fetches_left < 0:
                raise Transient(f"Kafka: reading {topic}: no answer")
            for message in messages:
                wrong = message.error()
                if wrong is None:
                    found.append(message)
                elif wrong.code() == PARTITION_EOF:
                    reading.discard(message.partition() or 0)
                else:
                    raise failure(wrong, f"reading {topic}")
    except KafkaException as error:
        raise failure(error, f"reading {topic}") from error
    finally:
        consumer.close()
    return found
