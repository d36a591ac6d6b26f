"""Saved offsets that the topic has moved past: found, passed over behind a copy, and said."""

from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from cdcd.cli.gaps import find_gaps
from cdcd.cli.positions import consequences_of_reset, gaps_of, here, reset
from cdcd.model.control import SINK
from cdcd.model.errors import Fatal
from cdcd.ops.board import Board
from cdcd.ops.status import TableState
from tests.integration.feeding import Feed, change, eventually, sinking, status, table
from tests.integration.letters import settings

PLAIN = table("plain", "p:id int; r:v text")
NAME = PLAIN.full_name


def inserts(start: int, count: int = 10) -> list[Any]:
    return [change(PLAIN, "c", (n,), {"v": "x"}) for n in range(start, start + count)]


def admin(feed: Feed) -> AdminClient:
    return AdminClient({"bootstrap.servers": feed.kafka.bootstrap_servers})


def delete_below(feed: Feed, offset: int) -> None:
    client, place = admin(feed), TopicPartition(feed.topic(PLAIN), 0, offset)
    client.delete_records([place])[place].result(10)


async def ids(feed: Feed) -> list[int]:
    return [row["id"] for row in await feed.rows("SELECT id FROM {s}.plain ORDER BY id")]


async def state(board: Board) -> tuple[TableState, bool]:
    """The state of the table, and whether it says that changes were left out."""
    found = status(board, PLAIN)
    return found.state, "changes were left out" in found.reason


async def applied(feed: Feed, count: int) -> None:
    """So many changes are published and applied, and no sink runs."""
    await feed.publish(PLAIN, inserts(0, count))
    async with sinking(feed.plan()):
        await eventually(lambda: ids(feed), list(range(count)))


async def test_a_stopped_sink_goes_on_behind_its_gap(feed: Feed) -> None:
    """A table whose records are gone stops; told to pass over it goes on behind them at once, and
    says that changes were left out until the copy that was asked for is applied.
    """
    await applied(feed, 10)
    await feed.publish(PLAIN, inserts(10))
    delete_below(feed, 15)
    async with sinking(feed.plan()) as board:
        await eventually(lambda: state(board), (TableState.NEEDS_SNAPSHOT, False))
        gaps = await find_gaps(settings(feed), [NAME])
        assert not gaps.has_moved_keys(NAME)
        await feed.publish(PLAIN, inserts(20))
        gaps = await gaps.passed_over()
        await eventually(lambda: state(board), (TableState.NEEDS_SNAPSHOT, True))
        await eventually(lambda: ids(feed), [*range(10), *range(20, 30)])
        assert (await find_gaps(settings(feed), [NAME])).found == {}
        await gaps.mended([NAME])
        await eventually(lambda: state(board), (TableState.RUNNING, False))


async def test_a_sink_without_offsets_goes_on_behind_its_gap(feed: Feed) -> None:
    """Where PostgreSQL was lost, a topic that no longer begins at 0 is passed over alike."""
    await feed.publish(PLAIN, inserts(0))
    delete_below(feed, 3)
    async with sinking(feed.plan()) as board:
        await eventually(lambda: state(board), (TableState.NEEDS_SNAPSHOT, False))
        await (await find_gaps(settings(feed), [NAME])).passed_over()
        await feed.publish(PLAIN, inserts(20))
        await eventually(lambda: ids(feed), list(range(20, 30)))


async def test_a_mark_of_a_later_move_stays(feed: Feed) -> None:
    """A copy takes away only the mark that was there when it was asked for, and offsets that moved
    since the gap was found stay where they are.
    """
    await applied(feed, 10)
    delete_below(feed, 11)
    moved_back = f"UPDATE cdcd.offsets SET next_offset = 5 WHERE pipeline = '{feed.pipeline}'"
    await feed.execute(moved_back)
    unused = await find_gaps(settings(feed), [NAME])
    first = await (await find_gaps(settings(feed), [NAME])).passed_over()
    with pytest.raises(Fatal, match="moved meanwhile"):
        await unused.passed_over()
    await feed.execute(moved_back)
    second = await (await find_gaps(settings(feed), [NAME])).passed_over()
    await first.mended([NAME])
    assert (await find_gaps(settings(feed), [NAME])).marks == second.marks
    await second.mended([NAME])
    assert (await find_gaps(settings(feed), [NAME])).marks == {}


async def test_another_number_of_partitions_moves_keys(feed: Feed) -> None:
    """More partitions than before are a gap in which rows have moved; behind it all partitions are
    read from their ends, those too that were added while the worker was away for a moment.
    """
    await applied(feed, 10)
    client, topic = admin(feed), feed.topic(PLAIN)
    client.create_partitions([NewPartitions(topic, 3)])[topic].result(10)
    feed.renew()
    async with sinking(feed.plan()) as board:
        await eventually(lambda: state(board), (TableState.NEEDS_SNAPSHOT, False))
        gaps = await find_gaps(settings(feed), [NAME])
        assert gaps.has_moved_keys(NAME)
        await gaps.passed_over()
        query = "SELECT next_offset FROM cdcd.offsets WHERE pipeline = $1 ORDER BY partition"
        assert [row["next_offset"] for row in await feed.rows(query, feed.pipeline)] == [11, 0, 0]
        await feed.publish(PLAIN, inserts(10), partitions=3)
        await eventually(lambda: ids(feed), list(range(20)))


async def test_reset_of_a_topic_that_was_made_again(feed: Feed) -> None:
    """A reset applies what the new topic has, and says that a copy is needed, now and later."""
    await applied(feed, 10)
    client, topic = admin(feed), feed.topic(PLAIN)
    client.delete_topics([topic])[topic].result(10)
    feed.renew()
    await feed.publish(PLAIN, inserts(20))
    plan, now = settings(feed), await here(settings(feed))
    gaps = await gaps_of(plan, now, [NAME], [SINK])
    (words,) = consequences_of_reset(plan, now, [NAME], [SINK], gaps)
    assert "another topic" in words
    assert f"cdcd backfill {NAME}" in words
    await reset(plan, now, [NAME], [SINK], gaps)
    async with sinking(feed.plan()) as board:
        await eventually(lambda: ids(feed), [*range(10), *range(20, 30)])
        assert await state(board) == (TableState.NEEDS_SNAPSHOT, True)
