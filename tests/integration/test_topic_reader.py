"""A topic read from outside: what is committed, up to where it ends, or a clear failure."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from confluent_kafka import Producer

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import Transient
from cdcd.transport.topic_reader import TopicReader
from tests.integration.pipelines import LANES, Pipeline, new_pipeline
from tests.stack import Stack


@pytest.fixture
async def pipeline(stack: Stack) -> AsyncIterator[Pipeline]:
    """A pipeline that no other test uses; its lanes topic is the one that is read."""
    async with new_pipeline(stack) as made:
        yield made


def write(pipeline: Pipeline, lane: int, *values: str, commit: bool = True) -> Producer:
    """One transaction of records with values as keys and values."""
    name = f"{pipeline.name}-{values[0]}"
    producer = Producer(
        {"bootstrap.servers": pipeline.settings.bootstrap_servers, "transactional.id": name}
    )
    producer.init_transactions(10)
    producer.begin_transaction()
    for value in values:
        producer.produce(pipeline.topic, value, value, lane)
    producer.flush(10)
    if commit:
        producer.commit_transaction(10)
    return producer


def keys(settings: KafkaSettings, topic: str, starts: dict[int, int]) -> list[bytes]:
    """Keys of all that is there from these offsets on."""
    with TopicReader(settings, topic, "test", starts) as reader:
        return [found.key for found in reader.to_ends()]


async def test_committed_records_from_an_offset_on(pipeline: Pipeline) -> None:
    """Each partition is read from its own offset to its end; what is not committed is not there."""
    write(pipeline, 0, "a", "b", "c")
    write(pipeline, 1, "d")
    hidden = write(pipeline, 1, "e", commit=False)
    found = await asyncio.to_thread(keys, pipeline.settings, pipeline.topic, {0: 1, 1: 0, 2: 0})
    assert sorted(found) == [b"b", b"c", b"d"]
    hidden.abort_transaction(10)


async def test_a_tombstone_is_a_record(pipeline: Pipeline) -> None:
    """A record without a value has its key, and is not taken for an end."""
    producer = Producer({"bootstrap.servers": pipeline.settings.bootstrap_servers})
    producer.produce(pipeline.topic, None, "gone", 0)
    producer.flush(10)

    def read() -> list[tuple[bytes, bytes | None]]:
        with TopicReader(pipeline.settings, pipeline.topic, "test", {0: 0}) as reader:
            return [(found.key, found.value) for found in reader.to_ends()]

    assert await asyncio.to_thread(read) == [(b"gone", None)]


async def test_silence_is_a_failure(pipeline: Pipeline) -> None:
    """Where a partition never comes to its end, reading ends after the request's time."""
    settings = pipeline.settings.model_copy(update={"request_timeout_seconds": 1.0})
    with pytest.raises(Transient, match=r"Kafka: reading .*: "):
        await asyncio.to_thread(keys, settings, pipeline.topic, {LANES + 5: 0})
