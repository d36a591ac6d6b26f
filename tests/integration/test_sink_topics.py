"""A change topic that is not what it was stops its table, and nothing is skipped silently."""

import asyncio

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin import NewPartitions as Partitions

from cdcd.config.tables import TableSettings
from cdcd.ops.board import Board
from cdcd.ops.status import TableState, TableStatus
from tests.integration.feeding import Feed, change, eventually, sinking, status, table

PLAIN = table("plain", "p:id int; r:v text")
OTHER = table("other", "p:id int; r:v text")
GAUGE = "cdcd_topic_headroom_seconds"


def admin(feed: Feed) -> AdminClient:
    return AdminClient({"bootstrap.servers": feed.kafka.bootstrap_servers})


async def delete_topic(feed: Feed) -> None:
    """Delete the table's topic, and return when the brokers have forgotten it."""
    client, topic = admin(feed), feed.topic(PLAIN)
    client.delete_topics([topic])[topic].result(10)
    async with asyncio.timeout(20):
        while topic in client.list_topics(timeout=10).topics:  # noqa: ASYNC110  the brokers tell nobody
            await asyncio.sleep(0.05)


async def stopped(board: Board) -> TableStatus:
    """What the board says of the table once it is stopped."""
    halted = (TableState.STOPPED, TableState.NEEDS_SNAPSHOT)

    async def is_stopped() -> bool:
        return status(board, PLAIN).state in halted

    await eventually(is_stopped, expected=True)
    return status(board, PLAIN)


async def apply_first(feed: Feed) -> None:
    """Have a first row applied by a sink that is gone afterwards."""
    await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
    async with sinking(feed.plan()):
        await eventually(lambda: feed.values("SELECT * FROM {s}.plain", "id"), [(1,)])


async def test_a_topic_that_was_made_again_is_another(feed: Feed) -> None:
    """Its offsets look like those of the one before, but its records are others."""
    await apply_first(feed)
    await delete_topic(feed)
    for number in range(5):
        await feed.publish(PLAIN, [change(PLAIN, "c", (number,), {"v": "y"})])
    async with sinking(feed.plan()) as board:
        found = await stopped(board)
    assert found.state is TableState.NEEDS_SNAPSHOT
    assert "deleted and made again" in found.reason
    assert await feed.values("SELECT * FROM {s}.plain", "id", "v") == [(1, "x")]


async def test_another_number_of_partitions(feed: Feed) -> None:
    """A row's changes would be in two partitions, and their order is not known."""
    await apply_first(feed)
    topic = feed.topic(PLAIN)
    client = admin(feed)
    client.create_partitions([Partitions(topic, 3)])[topic].result(10)
    async with sinking(feed.plan()) as board:
        found = await stopped(board)
    assert found.state is TableState.NEEDS_SNAPSHOT
    assert "has 3 partitions and had 1" in found.reason


async def test_a_compacted_topic(feed: Feed) -> None:
    """It is stopped before anything is applied, and goes on when the setting is mended."""
    feed.make_topic(PLAIN)
    set_policy(feed, "compact")
    await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
    async with sinking(feed.plan()) as board:
        found = await stopped(board)
        assert found.state is TableState.STOPPED
        assert "cleanup.policy=compact" in found.reason
        set_policy(feed, "delete")
        await eventually(lambda: feed.values("SELECT * FROM {s}.plain", "id"), [(1,)])


def set_policy(feed: Feed, policy: str) -> None:
    entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(
        ConfigResource.Type.TOPIC, feed.topic(PLAIN), incremental_configs=[entry]
    )
    client = admin(feed)
    client.incremental_alter_configs([resource])[resource].result(10)


async def test_the_room_before_retention(feed: Feed) -> None:
    """It shrinks while a table stands still, and is all of the retention where nothing waits."""

    def rooms(board: Board) -> dict[str, float]:
        lines = board.exposition().decode().splitlines()
        samples = [line.rsplit(" ", 1) for line in lines if line.startswith(f"{GAUGE}{{")]
        return {name.split('"')[1]: float(value) for name, value in samples}

    week = 7 * 24 * 3600.0
    tables = {"ks.plain": TableSettings(policy="fail")}
    wider = table("plain", "p:id int; r:v text; r:w int")
    await feed.publish(OTHER, [change(OTHER, "c", (1,), {"v": "x"})])
    await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
    async with sinking(feed.plan(tables=tables)) as board:
        await eventually(lambda: feed.values("SELECT * FROM {s}.plain", "id"), [(1,)])
        await feed.publish(wider, [change(wider, "c", (2,), {"w": 1})])
        await stopped(board)

        async def shrinks() -> bool:
            return rooms(board).get("ks.plain", week) < week - 1.0

        await eventually(shrinks, expected=True)
        assert rooms(board)["ks.other"] == pytest.approx(week)
        assert rooms(board)["ks.plain"] > week - 600
