"""The newest changes of a topic, and how long each took to get there. Reads only."""

import asyncio
from collections.abc import Mapping

from cdcd.config.settings import KafkaSettings
from cdcd.transport.avro import Codec, schema_id_of
from cdcd.transport.records import read_headers
from cdcd.transport.registry import Registry
from cdcd.transport.topic_reader import Found, TopicReader
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
    first = {at: max(starts[at], ends[at] - 2 * each) for at in places}
    ages: dict[int, list[float]] = {number: [] for _, number in places}
    codecs: dict[int, Codec] = {}
    for number, _, record in await asyncio.to_thread(_read, settings, topic, first, ends):
        value = None if record is None else record.value()
        if record is None or value is None or read_headers(record.headers())[0]:
            continue
        schema_id = schema_id_of(value)
        if schema_id not in codecs:
            codecs[schema_id] = Codec(await registry.schema(schema_id), schema_id)
        source = codecs[schema_id].decode(value)["source"]
        if source["stream"] is not None:
            _, made_ms = record.timestamp()
            ages[number].append(max(made_ms - source["ts_us"] / 1000, 0.0) / 1000)
    return [age for found in ages.values() for age in found[-each:]]


def _read(
    settings: KafkaSettings,
    topic: str,
    first: Mapping[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
) -> list[Found]:
    starts = {at[1]: start for at, start in first.items() if start < ends[at]}
    with TopicReader(settings, topic, "latency", starts) as reader:
        return list(reader.to_ends())
