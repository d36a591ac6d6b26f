"""However a crash falls between the commits of PostgreSQL and Kafka, a letter is there once."""

import asyncio
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

import pytest

from cdcd.config.settings import PostgresSettings
from cdcd.model.dead_letter import DeadLetter, Refusal
from cdcd.model.errors import Transient
from cdcd.ops.board import Board
from cdcd.sink import letters as kept
from cdcd.sink.carrier import Carrier
from cdcd.sink.pool import Pool
from cdcd.sink.schema import prepare_database
from cdcd.transport.dead_letter_topic import DeadLetterTopic
from cdcd.transport.topics import Topics, dead_letter_topic
from tests.integration.feeding import Feed, change, eventually, sinking, table
from tests.integration.letters import carried, letters
from tests.integration.proxy import Proxy, proxy_to

SPEC = table("lost", "p:id int; r:v text")
COUNT = 40


def through(feed: Feed, proxy: Proxy) -> PostgresSettings:
    """PostgreSQL by a proxy."""
    url = urlsplit(feed.postgres)
    dsn = feed.postgres.replace(f"{url.hostname}:{url.port}", f"127.0.0.1:{proxy.port}")
    return PostgresSettings(dsn=dsn, target_schema=feed.schema, connect_timeout_seconds=5)


def proxied(feed: Feed) -> AbstractAsyncContextManager[Proxy]:
    """A network between the sink and PostgreSQL."""
    url = urlsplit(feed.postgres)
    return proxy_to(url.hostname or "", url.port or 0)


async def ids(feed: Feed) -> set[int]:
    return {r["id"] for r in await feed.rows("SELECT id FROM {s}.lost")}


async def expect_once(feed: Feed, offsets: set[int]) -> None:
    """The table has each letter once, marked as carried, and so has the topic."""

    async def uncarried() -> int:
        return sum(letter["carried_at"] is None for letter in await letters(feed))

    await eventually(uncarried, 0)
    assert [letter["record_offset"] for letter in await letters(feed)] == sorted(offsets)
    assert sorted(record.place[2] for record in await carried(feed)) == sorted(offsets)


@pytest.mark.parametrize("arrive", [True, False], ids=["answer", "request"])
async def test_a_commit_that_is_lost_writes_no_letter_twice(feed: Feed, arrive: bool) -> None:
    """Connections that break at commits, before or after PostgreSQL has heard it, of batches and of
    marks, leave each letter once.
    """
    poison = {n for n in range(COUNT) if n % 4 == 1}
    async with proxied(feed) as proxy, sinking(feed.plan(postgres=through(feed, proxy))):
        await feed.publish(SPEC, [change(SPEC, "c", (n,), {"v": "x"}) for n in range(2)])
        await eventually(lambda: ids(feed), {0, 1})
        proxy.commits_arrive = arrive
        good = {0, 1}
        for turn in range(3):
            proxy.commits_to_lose = 3
            numbers = range(turn * COUNT, (turn + 1) * COUNT)
            values = {n: "a\0" if n % COUNT in poison else "y" for n in numbers}
            await feed.publish(SPEC, [change(SPEC, "u", (n,), {"v": v}) for n, v in values.items()])
            good |= {n for n, v in values.items() if v == "y"}
            await eventually(lambda: ids(feed), good)
            assert proxy.commits_to_lose < 3
        # Two records and a marker, then batches with a marker each.
        await expect_once(feed, {3 + t * (COUNT + 1) + n for t in range(3) for n in poison})


def letter(feed: Feed, offset: int) -> DeadLetter:
    refusal = Refusal("data", "something")
    return DeadLetter("ks.lost", feed.topic(SPEC), 0, offset, b"s", b"k", b"v", refusal, 1)


async def test_letters_that_were_carried_and_not_marked_are_not_carried_again(feed: Feed) -> None:
    """When the mark is lost the topic's own account says what it has."""
    feed.make_topic(SPEC)
    await Topics(feed.kafka).make_dead_letter_topic(dead_letter_topic(feed.pipeline))
    async with proxied(feed) as proxy, Pool(through(feed, proxy), "test") as pool:
        await prepare_database(pool, feed.schema)
        carrier = Carrier(pool, feed.kafka, feed.pipeline, "one", Board("n", "i"))
        for turn in range(3):
            async with pool.transaction() as connection:
                made = [letter(feed, turn * 10 + n) for n in range(3)]
                await kept.keep(connection, feed.pipeline, made)
            proxy.commits_arrive, proxy.commits_to_lose = False, 1
            with pytest.raises(Transient):
                await carrier._look()
            assert len(await carried(feed)) == 3 * (turn + 1)
            assert sum(r["carried_at"] is None for r in await letters(feed)) == 3
            assert await carrier._look()
    await expect_once(feed, {t * 10 + n for t in range(3) for n in range(3)})


async def test_a_worker_that_was_overtaken_carries_nothing(feed: Feed) -> None:
    """Of two that carry at the same time the former is fenced, and what it left open is gone."""
    feed.make_topic(SPEC)
    await Topics(feed.kafka).make_dead_letter_topic(dead_letter_topic(feed.pipeline))
    place = (feed.topic(SPEC), 0)
    async with DeadLetterTopic(feed.kafka, feed.pipeline, "one") as one:
        await one.carry([letter(feed, 1)])
        async with DeadLetterTopic(feed.kafka, feed.pipeline, "two") as two:
            assert await two.carried([place]) == {place: 2}
            with pytest.raises(Transient, match="another worker"):
                await one.carry([letter(feed, 2)])
            await two.carry([letter(feed, 2), letter(feed, 5)])
            assert await two.carried([place]) == {place: 6}
    assert sorted(record.place[2] for record in await carried(feed)) == [1, 2, 5]


async def test_workers_share_the_carrying(feed: Feed) -> None:
    """Two workers whose partitions have poison leave each letter in the topic once."""
    poison = {n for n in range(400) if n % 10 == 1}
    values = {n: "a\0" if n in poison else "y" for n in range(400)}
    async with sinking(feed.plan("one")), sinking(feed.plan("two")):
        for start in range(0, 400, 100):
            events = [change(SPEC, "c", (n,), {"v": values[n]}) for n in range(start, start + 100)]
            await feed.publish(SPEC, events, partitions=4)
            await asyncio.sleep(0.2)
        await eventually(lambda: ids(feed), values.keys() - poison, 60)

        async def count() -> int:
            return len(await carried(feed))

        await eventually(count, len(poison), 60)
    places = [record.place for record in await carried(feed)]
    assert len(set(places)) == len(places) == len(poison)
