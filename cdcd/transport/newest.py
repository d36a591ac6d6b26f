"""The newest changes of a topic, and how long each took to get there. Reads only."""

import asyncio

from confluent_kafka import Message

from cdcd.config.settings import KafkaSettings
from cdcd.transport.avro import Codec, schema_id_of
from cdcd.transport.read_topic import read_committed
from cdcd.transport.records import LATE_HEADER
from cdcd.transport.registry import Registry
from cdcd.transport.topics import Topics


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
    first = {at[1]: max(starts[at], ends[at] - 2 * each) for at in places if starts[at] < ends[at]}
    ages: dict[int, list[float]] = {number: [] for _, number in places}
    codecs: dict[int, Codec] = {}
    messages: list[Message] = []
    await asyncio.to_thread(read_committed, settings, "latency", topic, first, messages.append)
    for message in messages:
        value, number = message.value(), message.partition() or 0
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
