"""Writers of tables: which topic, and which number of its partitions, they go by."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cdcd.model.change import Batch, Bounds, ChangeEvent, Operation
from cdcd.transport.publisher import Flush, Publisher, TableWriters
from cdcd.transport.records import Headers
from cdcd.transport.registry import Registry
from cdcd.transport.topics import Topics
from tests.unit.published import SPEC, change
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


class Recording(Publisher):
    """A publisher that keeps the headers of the records that it would send."""

    def __init__(self) -> None:
        self.sent: list[Headers | None] = []

    def changes(self, flush: Flush) -> list[Headers | None]:
        """The headers of each record of the flush."""
        self._produce_changes(flush)
        return self.sent

    def _produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes,
        partition: int,
        headers: Headers | None = None,
        told: object = None,
    ) -> None:
        self.sent.append(headers)


async def test_late_changes_are_marked(writers: TableWriters) -> None:
    """The record of a late change has the header `cdcd-late`, and no other one has it."""
    on_time = change(1)
    late, ranged = replace(on_time, is_late=True), range_delete()
    flush = Flush(
        [(await writers.of(SPEC), Batch(SPEC, (on_time, late, ranged), {}))], [], [], None
    )
    assert Recording().changes(flush) == [None, [("cdcd-late", b"1")], None]


async def test_a_range_delete_is_one_record(writers: TableWriters) -> None:
    """A range delete, which has two rows in the log, is one record, late or not."""
    events = (range_delete(), replace(range_delete(), is_late=True))
    flush = Flush([(await writers.of(SPEC), Batch(SPEC, events, {}))], [], [], None)
    assert len(Recording().changes(flush)) == len(events)


def range_delete() -> ChangeEvent:
    """All rows of a partition from 1 to 2."""
    event = change(1, Operation.RANGE_DELETE, c=None)
    return replace(event, bounds=Bounds((1,), True, (2,), True))
