"""The sink behind PgBouncer in transaction mode: each transaction may be in another session."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cdcd.config.settings import PostgresSettings
from cdcd.model.change import Elements
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.sink.pool import Pool
from cdcd.sink.stage import Plan
from tests.integration.bouncer import PGBOUNCER, Bouncer, bouncing
from tests.integration.feeding import Feed, change, eventually, sinking, table

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")

TABLES = [table(f"t{n}", "p:id int; r:v text; r:tags set<int>; r:at timestamp") for n in range(3)]
MANY = 300  # go through a staging table


@pytest.fixture
async def bouncer(feed: Feed) -> AsyncIterator[Bouncer]:
    """Two sessions for everyone."""
    async with bouncing(feed.postgres) as made:
        yield made


def behind(bouncer: Bouncer, feed: Feed, **changed: Any) -> PostgresSettings:
    given: dict[str, Any] = {"transaction_pooling": True, **changed}
    return PostgresSettings(dsn=bouncer.dsn, target_schema=feed.schema, **given)


def plan(bouncer: Bouncer, feed: Feed, instance: str = "one") -> Plan:
    return feed.plan(instance, postgres=behind(bouncer, feed))


async def sums(feed: Feed) -> list[tuple[int, int]]:
    """Rows and the sum of their first tags, of each table."""
    query = "SELECT count(*)::int AS rows, sum((tags->>0)::int)::int AS sum FROM {s}.%s"
    found = [await feed.values(query % spec.name, "rows", "sum") for spec in TABLES]
    return [row for rows in found for row in rows]


async def test_batches_of_every_size(bouncer: Bouncer, feed: Feed) -> None:
    """Tables that are written at the same time, by arrays and by staging tables, with elements
    that are read first, arrive through two sessions.
    """
    async with sinking(plan(bouncer, feed)):
        for spec in TABLES:
            for size in (1, MANY, 1):
                await feed.publish(
                    spec, [change(spec, "c", (n,), {"v": "x", "tags": [n]}) for n in range(size)]
                )
            add = {"tags": Elements([-1], ()), "at": 0}
            await feed.publish(spec, [change(spec, "u", (n,), add) for n in range(MANY)])
        await eventually(lambda: sums(feed), [(MANY, -MANY)] * 3)
    left = "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()"
    async with (
        Pool(behind(bouncer, feed), "test") as pool,
        pool.connection() as one,
        pool.connection() as two,
    ):
        assert [await session.fetch(left) for session in (one, two)] == [[], []]


async def test_it_may_be_killed(bouncer: Bouncer, feed: Feed) -> None:
    """The sink waits while PgBouncer is away and goes on where it was, each change once."""
    async with sinking(plan(bouncer, feed)):
        for at in range(3):
            for spec in TABLES:
                rows = range(at * MANY, (at + 1) * MANY)
                await feed.publish(spec, [change(spec, "c", (n,), {"tags": [1]}) for n in rows])
            if at == 1:
                bouncer.kill()
        await asyncio.sleep(0.2)
        await bouncer.start()
        await eventually(lambda: sums(feed), [(3 * MANY, 3 * MANY)] * 3)


async def test_many_workers_share_two_sessions(bouncer: Bouncer, feed: Feed) -> None:
    """Locks are the transaction's, so that workers that start at once do not block each other."""
    async with sinking(plan(bouncer, feed)), sinking(plan(bouncer, feed, "two")):
        for spec in TABLES:
            await feed.publish(
                spec, [change(spec, "c", (n,), {"tags": [1]}) for n in range(MANY)], partitions=4
            )
        await eventually(lambda: sums(feed), [(MANY, MANY)] * 3)


async def test_settings_do_not_outlive_a_transaction(bouncer: Bouncer, feed: Feed) -> None:
    """They hold in each transaction, whichever session it is in, and nobody inherits them."""
    async with Pool(behind(bouncer, feed), "test") as pool:
        for _ in range(5):
            async with pool.connection() as one, pool.connection() as two:
                for connection in (one, two):
                    assert await connection.fetchval("SHOW statement_timeout") == "1min"
                    assert await connection.fetchval("SHOW search_path") == "pg_catalog, pg_temp"
    async with bouncing(feed.postgres, sessions=1) as other:
        plain = PostgresSettings(dsn=other.dsn, transaction_pooling=True)
        async with Pool(plain, "test") as pool, pool.transaction() as held:
            await held.execute("SET LOCAL statement_timeout = 1")
        async with Pool(plain, "test") as pool, pool._acquired() as bare:
            assert await bare.fetchval("SHOW statement_timeout") == "0"


async def test_without_the_setting_it_is_named(bouncer: Bouncer, feed: Feed) -> None:
    """PgBouncer refuses settings of a session, and the error says what to set."""
    async with Pool(behind(bouncer, feed, transaction_pooling=False), "test") as pool:
        with pytest.raises(ConfigurationError, match="transaction_pooling"):
            await pool.ping()


async def test_postgres_that_is_away_is_waited_for(feed: Feed) -> None:
    """What PgBouncer says then is no reason to stop for good."""
    async with bouncing("postgresql://cdcd:x@127.0.0.1:1/warehouse") as bouncer:
        settings = behind(bouncer, feed, connect_timeout_seconds=3)
        async with Pool(settings, "test") as pool:
            with pytest.raises(Transient):
                await pool.ping()
