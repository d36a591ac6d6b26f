"""Writers of tables: which topic, and which number of its partitions, they go by."""

from collections.abc import Callable
from typing import Any

import pytest

from cdcd.transport.publisher import TableWriters
from cdcd.transport.registry import Registry
from cdcd.transport.topics import Topics
from tests.unit.tables import table

TABLE = table({"p:id": "int"})


class FakeTopics(Topics):
    """Topics whose number of partitions is set; a test may look in while one is asked for."""

    def __init__(self) -> None:
        self.count = 4
        self.meanwhile: Callable[[], None] = lambda: None

    async def make_change_topic(self, name: str, *, compacted: bool = False) -> int:
        count = self.count
        self.meanwhile()
        return count


class FakeRegistry(Registry):
    """A registry without schemas that takes any."""

    def __init__(self) -> None:
        pass

    async def history(self, subject: str) -> list[Any]:
        return []

    async def has(self, subject: str, schema: Any) -> bool:
        return False

    async def register(self, subject: str, schema: Any) -> int:
        return 1


@pytest.fixture
def topics() -> FakeTopics:
    return FakeTopics()


@pytest.fixture
def writers(topics: FakeTopics) -> TableWriters:
    return TableWriters("pipeline", topics, FakeRegistry(), {})


async def partitions(writers: TableWriters) -> int:
    """By how many partitions the table is written."""
    return (await writers.of(TABLE)).partitions


async def test_a_writer_that_is_forgotten_goes_by_the_topic_as_it_is(
    topics: FakeTopics, writers: TableWriters
) -> None:
    """A writer keeps to the number of partitions that it began with until it is made anew."""
    assert await partitions(writers) == 4
    topics.count = 6
    assert await partitions(writers) == 4
    writers.forget(["ks.other"])
    assert await partitions(writers) == 4
    writers.forget([TABLE.full_name])
    assert await partitions(writers) == 6
    topics.count = 8
    writers.forget()
    assert await partitions(writers) == 8


async def test_a_writer_that_is_forgotten_while_it_is_made_is_made_again(
    topics: FakeTopics, writers: TableWriters
) -> None:
    """What was asked of the brokers before says nothing of the topic behind."""
    topics.meanwhile = writers.forget
    assert await partitions(writers) == 4
    topics.meanwhile, topics.count = lambda: None, 6
    assert await partitions(writers) == 6
