"""What is away is waited for, what cannot be stops its table alone, and nothing is lost."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from cdcd.config.settings import PostgresSettings, RegistrySettings
from cdcd.model.errors import CdcdError, ConfigurationError, Transient
from cdcd.ops.board import Board
from cdcd.ops.status import TableState
from cdcd.sink.pool import Pool
from cdcd.sink.stage import run
from cdcd.transport.schema import value_schema
from cdcd.transport.topics import Topics
from tests.integration.feeding import Feed, change, eventually, sinking, status, table
from tests.integration.proxy import proxy_to

PLAIN = table("plain", "p:id int; r:v text")
OTHER = table("other", "p:id int; r:v text")


def inserts(count: int, start: int = 0) -> list[Any]:
    return [change(PLAIN, "c", (n,), {"v": "x"}) for n in range(start, start + count)]


async def count_of(feed: Feed, name: str = "plain") -> int:
    rows = await feed.rows(f"SELECT count(*) FROM {{s}}.{name}")
    return rows[0]["count"] if rows else 0


def through(feed: Feed, port: int) -> PostgresSettings:
    """PostgreSQL by a proxy's port."""
    url = urlsplit(feed.postgres)
    dsn = feed.postgres.replace(f"{url.hostname}:{url.port}", f"127.0.0.1:{port}")
    return PostgresSettings(dsn=dsn, target_schema=feed.schema, connect_timeout_seconds=1)


async def test_postgres_may_be_away_for_a_while(feed: Feed) -> None:
    """Cut in the middle of it the table waits, says so, and goes on when PostgreSQL is back."""
    url = urlsplit(feed.postgres)
    async with proxy_to(url.hostname or "", url.port or 0) as proxy:
        plan = feed.plan(postgres=through(feed, proxy.port))
        await feed.publish(PLAIN, inserts(100))
        async with sinking(plan) as board:
            await eventually(lambda: count_of(feed), 100)
            for times in range(3):
                await proxy.cut()
                await feed.publish(PLAIN, inserts(15_000, 100 + times * 15_000))

                async def state() -> TableState:
                    return status(board, PLAIN).state

                await eventually(state, TableState.PAUSED)
                await asyncio.sleep(0.5)
                await proxy.heal()
                await eventually(lambda: count_of(feed), 100 + (times + 1) * 15_000)
                await eventually(state, TableState.RUNNING)


async def test_postgres_may_be_away_when_the_schema_changes(feed: Feed) -> None:
    """The batch that brings a new column waits, and has its values when PostgreSQL is back."""
    wide = table("plain", "p:id int; r:v text; r:w int")
    url = urlsplit(feed.postgres)
    async with proxy_to(url.hostname or "", url.port or 0) as proxy:
        await feed.publish(PLAIN, inserts(1))
        async with sinking(feed.plan(postgres=through(feed, proxy.port))) as board:
            await eventually(lambda: count_of(feed), 1)

            async def state() -> TableState:
                return status(board, PLAIN).state

            await proxy.cut()
            await feed.publish(wide, [change(wide, "c", (2,), {"v": "y", "w": 7})])
            await eventually(state, TableState.PAUSED)
            await proxy.heal()
            await eventually(lambda: count_of(feed), 2)
            (row,) = await feed.rows("SELECT w FROM {s}.plain WHERE id = 2")
            assert row["w"] == 7


async def test_connections_that_break_in_a_batch_lose_nothing(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """Backends that are terminated at any moment cost a retry and no change."""
    asyncio.get_running_loop().set_exception_handler(_forgive_copy)
    total = 20_000
    await feed.publish(PLAIN, inserts(1), partitions=2)
    kill = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1"
    )
    async with sinking(feed.plan()):
        await eventually(lambda: count_of(feed), 1)
        await feed.publish(PLAIN, inserts(total - 1, 1), partitions=2)
        for _ in range(15):
            await connection.fetchval(kill, f"cdcd {feed.pipeline}")
            await asyncio.sleep(0.1)
        await eventually(lambda: count_of(feed), total)


def _forgive_copy(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # The driver leaves the future of a COPY behind whose connection dies at its end.
    if not isinstance(context.get("exception"), asyncpg.ConnectionDoesNotExistError):
        loop.default_exception_handler(context)


@pytest.mark.parametrize(
    ("change_dsn", "expected", "words"),
    [
        (lambda u: u.replace(u.split(":")[2].split("@")[0], "wrong-one"), None, "password"),
        (lambda u: u.rpartition("/")[0] + "/nowhere", None, "nowhere"),
        (lambda _: "host=x password=wrong-one", None, "dsn"),
        (lambda u: u.replace(str(urlsplit(u).port), "1"), Transient, "PostgreSQL"),
    ],
    ids=["password", "database", "malformed", "away"],
)
async def test_unreachable_postgres_has_a_clear_answer(
    feed: Feed, change_dsn: Any, expected: type[CdcdError] | None, words: str
) -> None:
    """A wrong setting is a configuration error, an absent server a transient one; no secrets."""
    settings = PostgresSettings(dsn=change_dsn(feed.postgres), target_schema=feed.schema)
    plan = feed.plan(postgres=settings)
    with pytest.raises(expected or ConfigurationError, match=words) as caught:
        await run(plan, Board("n", "i"))
    secret = urlsplit(feed.postgres).password or ""
    assert "wrong-one" not in str(caught.value)
    assert secret not in str(caught.value)


async def test_an_absent_registry_is_transient(feed: Feed) -> None:
    """A sink without its registry finds its tables when the registry is back."""
    await feed.publish(PLAIN, inserts(3))
    url = urlsplit(feed.registry_settings.url)
    async with proxy_to(url.hostname or "", url.port or 0) as proxy:
        settings = RegistrySettings(url=f"http://127.0.0.1:{proxy.port}{url.path}")
        await proxy.cut()
        async with sinking(feed.plan(registry=settings)):
            await asyncio.sleep(1)
            await proxy.heal()
            await eventually(lambda: count_of(feed), 3)


@pytest.mark.parametrize("key", [b"k", None])
async def test_a_record_that_is_not_cdcds_stops_its_table_alone(
    feed: Feed, key: bytes | None
) -> None:
    """The table says where and why, without the value, and the other tables go on."""
    await feed.publish(PLAIN, inserts(2))
    await feed.publish(OTHER, [change(OTHER, "c", (1,), {"v": "x"})])
    async with sinking(feed.plan()) as board:
        await eventually(lambda: count_of(feed), 2)
        feed.produce_raw(PLAIN, key, b"secret")

        async def state() -> TableState:
            return status(board, PLAIN).state

        await eventually(state, TableState.STOPPED)
        await feed.publish(OTHER, [change(OTHER, "c", (2,), {"v": "x"})])
        await eventually(lambda: count_of(feed, "other"), 2)
    said = status(board, PLAIN).reason
    assert f"{feed.topic(PLAIN)}/0/" in said
    assert "secret" not in said
    assert status(board, OTHER).state is TableState.RUNNING


async def test_a_dropped_target_stops_the_table(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """A target that somebody dropped is not made again behind their back."""

    async def give_up() -> None:
        await connection.execute(
            "DELETE FROM cdcd.targets WHERE target_schema = $1 AND target_table = 'plain'",
            feed.schema,
        )

    await feed.publish(PLAIN, inserts(1))
    async with sinking(feed.plan()) as board:
        await eventually(lambda: count_of(feed), 1)
        await connection.execute(f'DROP TABLE "{feed.schema}".plain')
        await feed.publish(PLAIN, inserts(1, 1))

        async def state() -> TableState:
            return status(board, PLAIN).state

        await eventually(state, TableState.STOPPED)
        assert "does not exist" in status(board, PLAIN).reason
        # The way out, which the worker that is running takes.
        await give_up()
        await eventually(lambda: count_of(feed), 1)
        await connection.execute(f'DROP TABLE "{feed.schema}".plain')
    # Nor by a worker that starts afterwards and never saw it.
    async with sinking(feed.plan()) as board:
        await eventually(state, TableState.STOPPED)
        assert "is gone" in status(board, PLAIN).reason
        await give_up()
        await eventually(state, TableState.RUNNING)


async def test_records_that_retention_took_are_missed(feed: Feed) -> None:
    """A saved offset below the topic's start stops the table: changes are gone for good."""
    await feed.publish(PLAIN, inserts(10))
    async with sinking(feed.plan()):
        await eventually(lambda: count_of(feed), 10)
    await feed.publish(PLAIN, inserts(10, 10))
    _delete_below(feed, 15)
    await _needs_snapshot(feed, "begins at 15")


async def test_a_topic_that_begins_late_has_a_hole(feed: Feed) -> None:
    """Without a saved offset a topic is read from 0 or not at all."""
    await feed.publish(PLAIN, inserts(10))
    _delete_below(feed, 3)
    await _needs_snapshot(feed, "no offset is saved")


async def test_a_topic_that_was_made_again_is_noticed(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """A saved offset past the topic's end stops the table."""
    await feed.publish(PLAIN, inserts(10))
    async with sinking(feed.plan()):
        await eventually(lambda: count_of(feed), 10)
    await connection.execute(
        "UPDATE cdcd.offsets SET next_offset = 1000 WHERE pipeline = $1", feed.pipeline
    )
    await _needs_snapshot(feed, "is it another topic")


async def test_markers_that_retention_took_are_no_loss(feed: Feed) -> None:
    """An idle table's saved offset follows the end, past the markers of transactions."""
    await feed.publish(PLAIN, inserts(10))

    async def saved() -> list[Any]:
        query = "SELECT next_offset FROM cdcd.offsets WHERE pipeline = $1"
        return [r["next_offset"] for r in await feed.rows(query, feed.pipeline)]

    async with sinking(feed.plan()):
        await eventually(saved, [11])
    _delete_below(feed, 11)
    async with sinking(feed.plan()):
        await feed.publish(PLAIN, inserts(1, 10))
        await eventually(lambda: count_of(feed), 11)


def _delete_below(feed: Feed, offset: int) -> None:
    admin = AdminClient({"bootstrap.servers": feed.kafka.bootstrap_servers})
    (future,) = admin.delete_records([TopicPartition(feed.topic(PLAIN), 0, offset)]).values()
    future.result(10)


async def _needs_snapshot(feed: Feed, words: str) -> None:
    async with sinking(feed.plan()) as board:

        async def state() -> TableState:
            return status(board, PLAIN).state

        await eventually(state, TableState.NEEDS_SNAPSHOT)
    assert words in status(board, PLAIN).reason


async def test_a_stuck_table_holds_nobody(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """While one target is locked the others go on, and what is read for it stays bounded."""
    total = 40_000
    await feed.publish(PLAIN, inserts(1))
    await feed.publish(OTHER, [change(OTHER, "c", (0,), {"v": "x"})])
    async with sinking(feed.plan()) as board:
        await eventually(lambda: count_of(feed), 1)
        await eventually(lambda: count_of(feed, "other"), 1)
        async with connection.transaction():
            await connection.execute(f'LOCK TABLE "{feed.schema}".plain IN SHARE MODE')
            await feed.publish(PLAIN, inserts(total, 1))
            for number in range(1, 20):
                await feed.publish(OTHER, [change(OTHER, "c", (number,), {"v": "x"})])
                await eventually(partial(count_of, feed, "other"), number + 1)
            assert await count_of(feed) == 1
        await eventually(lambda: count_of(feed), total + 1)
    assert status(board, PLAIN).applied == total + 1


async def test_tombstones_are_stepped_over(feed: Feed) -> None:
    """A record without a value, as compacted topics have, changes nothing."""
    await feed.publish(PLAIN, inserts(1))
    feed.produce_raw(PLAIN, b"any key", None)
    await feed.publish(PLAIN, inserts(1, 1))
    async with sinking(feed.plan()):
        await eventually(lambda: count_of(feed), 2)


async def test_a_topic_of_another_table_is_refused(feed: Feed) -> None:
    """A subject that holds another table's schema, or none of cdcd's, stops that table."""
    feed.make_topic(PLAIN)
    feed.make_topic(OTHER)
    await feed.registry.register(f"{feed.topic(PLAIN)}-value", value_schema(OTHER, "x.ks.other"))
    foreign = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
    await feed.registry.register(f"{feed.topic(OTHER)}-value", foreign)
    async with sinking(feed.plan()) as board:

        async def reasons() -> list[bool]:
            found = status(board, PLAIN).reason, status(board, OTHER).reason
            return ["schema of ks.other" in found[0], "not a schema of cdcd" in found[1]]

        await eventually(reasons, [True, True])


async def test_a_compacted_topic_has_holes(feed: Feed) -> None:
    """Of a compacted topic's old records only the last of each key is there, so a sink that has not
    read them while they were young does not begin with them.
    """
    feed.make_topic(PLAIN)
    await feed.publish(PLAIN, inserts(3))
    topics, topic = Topics(feed.kafka), feed.topic(PLAIN)
    await topics._set(topic, {"cleanup.policy": "compact", "min.compaction.lag.ms": "1"})
    async with sinking(feed.plan()) as board:

        async def state() -> TableState:
            return status(board, PLAIN).state

        await eventually(state, TableState.NEEDS_SNAPSHOT)
    assert "may have been compacted" in status(board, PLAIN).reason
    await topics._set(topic, {"min.compaction.lag.ms": "3600000"})
    async with sinking(feed.plan()):
        await eventually(lambda: count_of(feed), 3)


async def test_a_session_that_is_frozen_in_a_copy_is_ended(feed: Feed) -> None:
    """PostgreSQL has no limit of its own there. What the session held is free; one that works, and
    one of another application, goes on.
    """
    settings = PostgresSettings(dsn=feed.postgres)
    copying, go = asyncio.Event(), asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b"1\n"
        copying.set()
        await go.wait()

    async def freeze(pool: Pool, lock: int) -> None:
        with suppress(Transient):  # its session is ended, or the test
            async with pool.transaction() as connection:
                await connection.execute(f"SELECT pg_advisory_xact_lock({lock})")
                await connection.execute("CREATE TEMPORARY TABLE half (id int)")
                await connection.copy_to_table("half", source=half())

    first, second = secrets.randbits(31), secrets.randbits(31)
    async with (
        Pool(settings, "cdcd a") as ours,
        Pool(settings, "cdcd b") as theirs,
        asyncio.TaskGroup() as group,
    ):
        frozen = group.create_task(freeze(ours, first))
        other = group.create_task(freeze(theirs, second))
        await copying.wait()

        async def locked(lock: int) -> bool:
            async with theirs.transaction() as connection:
                return not await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({lock})")

        async def both_locked() -> bool:
            return await locked(first) and await locked(second)

        await eventually(both_locked, expected=True)
        assert await ours.end_frozen(seconds=3600) == 0
        assert await ours.end_frozen(seconds=0) == 1
        await eventually(partial(locked, first), expected=False)
        assert await locked(second)
        frozen.cancel()
        other.cancel()
