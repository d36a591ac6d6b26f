"""What was published of a window, read back from the change topic.

A worker that took lanes over has the fingerprints of what its predecessor published, and not the
identities. When a fingerprint differs, the topic has them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdcd.config.settings import KafkaSettings
from cdcd.model.fingerprint import identity_hash
from cdcd.model.position import Window, uuid_time_us
from cdcd.model.published import PublishedRow, Sought, TakePublished
from cdcd.transport.avro import Codec, schema_id_of
from cdcd.transport.registry import Registry
from cdcd.transport.topic_reader import TopicReader
from cdcd.transport.topics import Topics


@dataclass(frozen=True)
class Place:
    """A change topic, and who knows of it."""

    topics: Topics
    registry: Registry
    topic: str


async def read_back(
    settings: KafkaSettings, place: Place, sought: Sought, take: TakePublished
) -> None:
    """Hand on the published log rows that are sought. Raises Transient or Fatal."""
    window = sought.window
    topics, registry, topic = place.topics, place.registry, place.topic
    count = (await topics.partitions()).get(topic, 0)
    places = [(topic, number) for number in range(count)]
    # Up to the high watermarks: another worker's open transaction may hide records of ours.
    ends = await topics.ends(places)
    if sought.until_ms is not None:
        ends = await topics.since(places, sought.until_ms + sought.margin_ms)
    # Records are published after their write time.
    starts = await topics.since(places, max(window.start_ms - sought.margin_ms, 0))
    codecs: dict[int, Codec] = {}
    reading = set(range(count))
    first = {number: offset for (_, number), offset in starts.items()}
    with TopicReader(settings, topic, "read-back", first) as reader:
        while reading:
            values = []
            for found in await asyncio.to_thread(reader.wait):
                if found.offset >= ends[topic, found.partition]:
                    reading.discard(found.partition)
                elif found.record is not None and found.value is not None:
                    values.append(found.value)
            for schema_id in {schema_id_of(value) for value in values} - codecs.keys():
                codecs[schema_id] = Codec(await registry.schema(schema_id), schema_id)
            # There may be millions, and changes are published meanwhile.
            if rows := await asyncio.to_thread(_rows, values, codecs, window):
                await take(rows)


def _rows(
    values: Sequence[bytes], codecs: Mapping[int, Codec], window: Window
) -> list[PublishedRow]:
    found = (_row(codecs[schema_id_of(value)].decode(value)["source"], window) for value in values)
    return [row for row in found if row is not None]


def _row(source: dict[str, Any], window: Window) -> PublishedRow | None:
    if source["stream"] is None:
        return None
    time = bytes.fromhex(source["time"].replace("-", ""))
    time_ms = uuid_time_us(time) // 1000
    if not window.start_ms <= time_ms < window.end_ms:
        return None
    stream = bytes.fromhex(source["stream"])
    return PublishedRow(source["token"], time_ms, identity_hash(stream, time, source["seq"]))
