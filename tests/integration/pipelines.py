"""Pipelines with a lanes topic of their own, and workers in them."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from cdcd.config.settings import KafkaSettings
from cdcd.model.lane import Assignment
from cdcd.model.position import Position
from cdcd.ops.retry import Backoff, retrying
from cdcd.transport.lane_log import LaneLog, Worker
from cdcd.transport.lane_records import encode_position, position_key
from cdcd.transport.lane_state import read_lanes
from cdcd.transport.publisher import Flush, LaneWrite, Publisher
from cdcd.transport.topics import Topics, lanes_topic, source_group
from tests.stack import Stack

LANES = 4
TABLE = "ks.t"
_number = itertools.count()


@dataclass(frozen=True)
class Pipeline:
    """A pipeline of its own, whose lanes topic is there."""

    name: str
    settings: KafkaSettings

    @property
    def topic(self) -> str:
        """Its lanes topic."""
        return lanes_topic(self.name)

    @asynccontextmanager
    async def member(self, instance: str) -> AsyncIterator[LaneLog]:
        """A worker's lane log."""
        worker = Worker(self.name, instance, LANES)
        async with LaneLog.open(self.settings, worker, Topics(self.settings)) as lane_log:
            yield lane_log

    def silent(self, instance: str) -> LaneLog:
        """A worker's lane log that joins the group and consumes nothing."""
        lane_log = LaneLog(self.settings, Worker(self.name, instance, LANES), Topics(self.settings))
        lane_log._join()
        return lane_log

    async def decided(self) -> None:
        """Return when the group has given all lanes to its members."""
        admin = AdminClient({"bootstrap.servers": self.settings.bootstrap_servers})
        name = source_group(self.name)
        async with asyncio.timeout(30):
            given = 0
            while given < LANES:
                asked = admin.describe_consumer_groups([name])[name]
                group = await asyncio.to_thread(asked.result, 10)
                given = sum(len(m.assignment.topic_partitions) for m in group.members)

    def publisher(self, instance: str) -> Publisher:
        """A worker's publisher, opened."""
        made = Publisher(self.settings, f"{self.name}-{instance}", self.topic)
        made.open()
        return made

    async def positions(self) -> dict[int, Position]:
        """The table's committed positions by lane."""
        return (await read_lanes(self.settings, self.name, LANES)).positions[TABLE]

    def transaction(self, frontier_ms: int | None, lane: int = 0) -> Producer:
        """An open transaction, with a position record or without: of a worker about to die."""
        producer = Producer(
            {
                "bootstrap.servers": self.settings.bootstrap_servers,
                "transactional.id": f"{self.name}-open",
                "transaction.timeout.ms": 10_000,
            }
        )
        producer.init_transactions(10)
        producer.begin_transaction()
        if frontier_ms is not None:
            value = encode_position(position(frontier_ms))
            producer.produce(self.topic, value, position_key(TABLE), lane)
            producer.flush(10)
        return producer


def position(frontier_ms: int) -> Position:
    """A position that is told by its frontier."""
    return Position("log", 1, frontier_ms)


def flush(
    fence: tuple[list[Any], Any], positions: Iterable[tuple[int, int]], table: str = TABLE
) -> Flush:
    """A transaction of positions, given as lanes and frontiers."""
    writes = [LaneWrite(n, position_key(table), encode_position(position(f))) for n, f in positions]
    return Flush((), writes, *fence)


async def assigned(lane_log: LaneLog, seconds: float = 15) -> Assignment:
    """The assignment in force, soon."""
    async with asyncio.timeout(seconds):
        return await lane_log.assigned()


async def owning(lane_log: LaneLog, lanes: int) -> Assignment:
    """The assignment of so many lanes, soon."""
    async with asyncio.timeout(30):
        while True:
            found = await lane_log.assigned()
            if len(found.lanes.owned) == lanes:
                return found
            await lane_log.lost(found)


def frontiers(assignment: Assignment) -> dict[int, int]:
    """The restored frontiers by lane."""
    return {lane: p.frontier_ms for lane, p in assignment.positions.get(TABLE, {}).items()}


@asynccontextmanager
async def new_pipeline(stack: Stack) -> AsyncIterator[Pipeline]:
    """A pipeline that no other test uses."""
    settings = KafkaSettings(
        bootstrap_servers=stack.kafka,
        topic_replication_factor=1,
        topic_min_insync_replicas=1,
        session_timeout_seconds=2,
    )
    made = Pipeline(f"lanes{os.getpid()}x{next(_number)}", settings)
    # A topic that was just made is not known to the whole broker at once.
    topics = Topics(settings)
    make = partial(topics.make_lanes_topic, made.topic, LANES)
    await retrying(make, Backoff(), limit_seconds=20)
    lead = partial(topics.ends, [(made.topic, lane) for lane in range(LANES)])
    await retrying(lead, Backoff(), limit_seconds=20)
    yield made
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    admin.delete_topics([made.topic])[made.topic].result(10)
