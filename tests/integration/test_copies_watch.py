"""Commands read the lanes to their ends beside workers that write to all of them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from confluent_kafka import Producer

from cdcd.transport.copies import watching
from cdcd.transport.topics import Topics, lanes_topic
from tests.integration.pipelines import LANES, Pipeline, new_pipeline
from tests.stack import Stack

SECONDS_MAX = 30


@pytest.fixture
async def pipeline(stack: Stack) -> AsyncIterator[Pipeline]:
    """A pipeline that no other test uses."""
    async with new_pipeline(stack) as made:
        yield made


@contextmanager
def written(stack: Stack, pipeline: Pipeline) -> Iterator[None]:
    """Commit to every lane ten times a second, from before on and to the end."""
    topic, begun, done = lanes_topic(pipeline.name), threading.Event(), threading.Event()

    def write() -> None:
        names = {"bootstrap.servers": stack.kafka, "transactional.id": f"{topic}-test"}
        producer = Producer(names)
        producer.init_transactions(SECONDS_MAX)
        while not done.wait(0.1):
            producer.begin_transaction()
            for lane in range(LANES):
                producer.produce(topic, b"of another kind", b"other", lane)
            producer.commit_transaction(SECONDS_MAX)
            begun.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            assert begun.wait(SECONDS_MAX), "nothing is written"
            yield
        finally:
            done.set()
        writing.result()


async def test_ends_are_reached_under_writes(stack: Stack, pipeline: Pipeline) -> None:
    """Every lane's end is told, although others are written to all the time."""
    await Topics(pipeline.settings).make_lanes_topic(lanes_topic(pipeline.name), LANES)
    with written(stack, pipeline):
        for _ in range(3):
            async with (
                asyncio.timeout(SECONDS_MAX),
                watching(pipeline.settings, pipeline.name, LANES) as (watch, _),
            ):
                assert not watch.running
