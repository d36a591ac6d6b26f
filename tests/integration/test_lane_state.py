"""The pipeline's set of tables: settled once, and the same for every reader."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from cdcd.model.errors import ConfigurationError
from cdcd.ops.retry import Backoff, retrying
from cdcd.transport.lane_records import TABLES_KEY, encode_tables
from cdcd.transport.lane_state import read_lanes, settle_tables
from cdcd.transport.topics import Topics
from tests.integration.pipelines import LANES, Pipeline, new_pipeline
from tests.stack import Stack


@pytest.fixture
async def pipeline(stack: Stack) -> AsyncIterator[Pipeline]:
    """A pipeline that no other test uses."""
    async with new_pipeline(stack) as made:
        yield made


async def test_the_set_of_tables_is_settled_once(pipeline: Pipeline) -> None:
    """The first start says which tables the pipeline replicates; another set is refused."""
    topics = Topics(pipeline.settings)

    async def settle(*patterns: str) -> None:
        await settle_tables(pipeline.settings, topics, pipeline.name, LANES, patterns)

    await settle("ks.b", "ks.a")
    await settle("ks.a", "ks.b", "ks.a")
    for other in (["ks.a"], ["ks.a", "ks.b", "ks.c"], ["ks.*"]):
        with pytest.raises(ConfigurationError, match=r"replicates ks\.a ks\.b, not ks\."):
            await settle(*other)
    state = await read_lanes(pipeline.settings, pipeline.name, LANES)
    assert state.tables == ("ks.a", "ks.b")


async def test_empty_lanes_beside_applied_topics_are_refused(pipeline: Pipeline) -> None:
    """Where a target has applied what the lanes know nothing of, their positions were lost."""
    topics = Topics(pipeline.settings)

    async def settle(*applied: str) -> None:
        await settle_tables(
            pipeline.settings, topics, pipeline.name, LANES, ["ks.a"], applied=applied
        )

    applied = f"{pipeline.name}.ks.a"
    with pytest.raises(ConfigurationError, match=f"PostgreSQL has offsets of {applied}"):
        await settle(applied)
    assert (await read_lanes(pipeline.settings, pipeline.name, LANES)).tables is None
    await settle()
    await settle(applied)


@asynccontextmanager
async def change_topic_of(pipeline: Pipeline) -> AsyncIterator[str]:
    """A change topic of the pipeline."""
    topic = f"{pipeline.name}.ks.a"
    await Topics(pipeline.settings).make_change_topic(topic)
    yield topic
    admin = AdminClient({"bootstrap.servers": pipeline.settings.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(10)


async def test_empty_lanes_beside_changes_are_refused(pipeline: Pipeline) -> None:
    """Where changes were published of which the lanes know nothing, their positions were lost."""
    topics = Topics(pipeline.settings)
    async with change_topic_of(pipeline) as topic:
        producer = Producer({"bootstrap.servers": pipeline.settings.bootstrap_servers})
        producer.produce(topic, b"a change")
        assert producer.flush(10) == 0
        with pytest.raises(ConfigurationError, match=f"is empty, and there is {topic}"):
            await settle_tables(pipeline.settings, topics, pipeline.name, LANES, ["ks.a"])
    assert (await read_lanes(pipeline.settings, pipeline.name, LANES)).tables is None


async def test_topics_may_be_made_beforehand(pipeline: Pipeline) -> None:
    """Change topics in which nothing was published are no sign of lost positions."""
    async with change_topic_of(pipeline):
        topics = Topics(pipeline.settings)
        await settle_tables(pipeline.settings, topics, pipeline.name, LANES, ["ks.a"])
    assert (await read_lanes(pipeline.settings, pipeline.name, LANES)).tables == ("ks.a",)


async def test_of_two_first_starts_at_once_one_wins(pipeline: Pipeline) -> None:
    """Of first starts with different sets one goes on, and its set stays."""
    topics = Topics(pipeline.settings)
    ended: list[str] = []

    async def settle(pattern: str) -> None:
        try:
            await retrying(
                lambda: settle_tables(pipeline.settings, topics, pipeline.name, LANES, [pattern]),
                Backoff(),
            )
        except ConfigurationError:
            return
        ended.append(pattern)

    async with asyncio.TaskGroup() as group:
        for pattern in ("ks.a", "ks.b", "ks.c"):
            group.create_task(settle(pattern))
    assert len(ended) == 1
    state = await read_lanes(pipeline.settings, pipeline.name, LANES)
    assert state.tables in {("ks.a",), ("ks.b",), ("ks.c",)}
    assert state.tables == tuple(ended)


async def test_lanes_that_disagree_about_the_tables_are_read_alike(pipeline: Pipeline) -> None:
    """Where two first starts crossed, every reader takes the set of the first lane."""
    producer = Producer({"bootstrap.servers": pipeline.settings.bootstrap_servers})
    for lane in range(LANES):
        producer.produce(pipeline.topic, encode_tables([f"ks.t{lane}"]), TABLES_KEY, lane)
    producer.flush(10)
    sets = {(await read_lanes(pipeline.settings, pipeline.name, LANES)).tables for _ in range(5)}
    assert sets == {("ks.t0",)}
