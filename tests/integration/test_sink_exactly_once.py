"""Each change is applied once, whoever applies it and wherever it was killed."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from cdcd.config.settings import PostgresSettings, SinkSettings
from cdcd.model.change import ChangeEvent
from cdcd.model.errors import ConfigurationError, InvariantBroken
from cdcd.model.refresh import Request
from cdcd.ops.status import TableState
from cdcd.sink import offsets
from cdcd.sink.batch import Batch, lay
from cdcd.sink.inbox import Move
from cdcd.sink.offsets import OffsetsMoved
from cdcd.sink.pool import Pool
from cdcd.sink.schema import Place, prepare_database, prepare_targets
from cdcd.sink.target import targets_of
from cdcd.sink.writer import Write, write
from cdcd.transport.consumer import group_of
from cdcd.transport.records import Partition, Record
from tests.integration.feeding import Feed, change, eventually, sinking, status, table
from tests.unit.records import changes

COUNTED = table("counted", "p:id int; r:v int")

# The trigger's table has a line for each time that a row was written.
AUDIT = """
CREATE SCHEMA {s};
CREATE TABLE {s}.counted (id integer PRIMARY KEY, v integer, cdc_timestamp timestamptz);
CREATE TABLE {s}.writes (id integer, v integer);
CREATE FUNCTION {s}.note() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN INSERT INTO {s}.writes VALUES (NEW.id, NEW.v); RETURN NEW; END $body$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE ON {s}.counted
FOR EACH ROW EXECUTE FUNCTION {s}.note();
"""


async def make_audit(feed: Feed) -> None:
    connection = await feed.connect()
    await connection.execute(AUDIT.replace("{s}", f'"{feed.schema}"'))
    await connection.close()


async def written_twice(feed: Feed) -> list[dict[str, Any]]:
    return await feed.rows("SELECT id, v FROM {s}.writes GROUP BY 1, 2 HAVING count(*) > 1")


async def count_of(feed: Feed) -> int:
    rows = await feed.rows("SELECT count(*) FROM {s}.counted")
    return rows[0]["count"] if rows else 0


def inserts(count: int, start: int = 0) -> list[ChangeEvent]:
    return [change(COUNTED, "c", (n,), {"v": n}) for n in range(start, start + count)]


async def test_a_killed_sink_goes_on_where_it_was(feed: Feed) -> None:
    """Killed at any moment and started again, it leaves nothing out and writes nothing twice."""
    await make_audit(feed)
    total = 12_000
    await feed.publish(COUNTED, inserts(total), partitions=3)
    plan = feed.plan(sink=SinkSettings(batch_rows_max=300, fetch_wait_seconds=0.1))
    chance = random.Random(7)
    for _ in range(6):
        async with sinking(plan):
            await asyncio.sleep(chance.uniform(0.2, 0.7))
    async with sinking(feed.plan()):
        await eventually(lambda: count_of(feed), total)
    assert await written_twice(feed) == []


async def test_kafkas_own_offsets_decide_nothing(feed: Feed) -> None:
    """Killed before it told Kafka, or with Kafka's offsets set back, it applies nothing again."""
    await make_audit(feed)
    await feed.publish(COUNTED, inserts(500))
    async with sinking(feed.plan()):
        await eventually(lambda: count_of(feed), 500)
    place = TopicPartition(feed.topic(COUNTED), 0, 0)
    group = ConsumerGroupTopicPartitions(group_of(feed.pipeline), [place])
    admin = AdminClient({"bootstrap.servers": feed.kafka.bootstrap_servers})

    async def set_back() -> bool:
        (future,) = admin.alter_consumer_group_offsets([group]).values()
        return await asyncio.to_thread(future.exception) is None

    # The brokers refuse it until the static member's session has ended.
    await eventually(set_back, expected=True)
    await feed.publish(COUNTED, inserts(10, 500))
    async with sinking(feed.plan()):
        await eventually(lambda: count_of(feed), 510)
    assert await written_twice(feed) == []


async def test_kafka_is_told_what_was_applied(feed: Feed) -> None:
    """The group's committed offset follows, so that ordinary tools show the lag."""
    await feed.publish(COUNTED, inserts(100))
    admin = AdminClient({"bootstrap.servers": feed.kafka.bootstrap_servers})
    group = ConsumerGroupTopicPartitions(
        group_of(feed.pipeline), [TopicPartition(feed.topic(COUNTED), 0)]
    )

    async def committed() -> int:
        (future,) = admin.list_consumer_group_offsets([group]).values()
        found = await asyncio.to_thread(future.result)
        return found.topic_partitions[0].offset

    async with sinking(feed.plan()):
        # 100 records and the transaction's marker.
        await eventually(committed, 101)


async def test_workers_share_partitions(feed: Feed) -> None:
    """Workers that come and go in the middle of it leave nothing out and write nothing twice."""
    await make_audit(feed)
    total = 20_000
    await feed.publish(COUNTED, inserts(total // 2), partitions=4)
    small = SinkSettings(batch_rows_max=200, fetch_wait_seconds=0.1)
    async with sinking(feed.plan("one", sink=small)):
        async with sinking(feed.plan("two", sink=small)):
            await asyncio.sleep(2)
            await feed.publish(COUNTED, inserts(total // 2, total // 2), partitions=4)
            await asyncio.sleep(1)
        await eventually(lambda: count_of(feed), total, 60)
    assert await written_twice(feed) == []


async def test_one_name_runs_once(feed: Feed) -> None:
    """Of two workers with one instance name the older stops and says why."""
    await feed.publish(COUNTED, inserts(1))

    async def twice() -> None:
        async with sinking(feed.plan("same")):
            await eventually(lambda: count_of(feed), 1)
            async with sinking(feed.plan("same")):
                await asyncio.sleep(20)

    with pytest.raises(ExceptionGroup) as caught:
        await twice()
    (error,) = _leaves(caught.value)
    assert isinstance(error, ConfigurationError)
    assert "instance" in str(error)


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _opened(pool: Pool, feed: Feed) -> None:
    await prepare_database(pool, feed.schema)
    await prepare_targets(pool, COUNTED, Place(feed.pipeline, feed.schema))


def _work(feed: Feed, events: Sequence[ChangeEvent], *moves: Move) -> Write:
    place = Partition(feed.topic(COUNTED), 0)
    records = [Record(place, n, 0, b"", b"") for n in range(len(events))]
    batch = Batch(targets_of(COUNTED, feed.schema), records, changes(events))
    return Write(place.topic, moves, batch, lay(batch))


async def _write(pool: Pool, feed: Feed, work: Write) -> None:
    async def ask(requests: Sequence[Request]) -> None:
        assert not requests

    await write(pool, feed.pipeline, work, ask)


async def test_of_two_owners_one_commits(feed: Feed) -> None:
    """A batch that begins at an offset that is not the saved one changes nothing."""
    settings = PostgresSettings(dsn=feed.postgres)
    async with Pool(settings, "test") as pool:
        await _opened(pool, feed)
        topic = feed.topic(COUNTED)
        await _write(pool, feed, _work(feed, inserts(2), Move(0, None, 2)))
        stale = [
            _work(feed, inserts(3), Move(0, None, 3)),
            _work(feed, inserts(3), Move(0, 1, 3)),
            _work(feed, inserts(3), Move(1, None, 3), Move(0, 1, 3)),
            _work(feed, inserts(300), Move(0, 3, 4)),
        ]
        for work in stale:
            with pytest.raises(OffsetsMoved):
                await _write(pool, feed, work)
        assert await count_of(feed) == 2
        assert await offsets.read(pool, feed.pipeline, topic) == {0: 2}
        await _write(pool, feed, _work(feed, inserts(3), Move(0, 2, 3), Move(1, None, 1)))
        assert await offsets.read(pool, feed.pipeline, topic) == {0: 3, 1: 1}


async def test_owners_at_the_same_time_are_one_after_the_other(feed: Feed) -> None:
    """Many workers that write the same batch at once: one succeeds, and the rows are there once."""
    await make_audit(feed)
    settings = PostgresSettings(dsn=feed.postgres)
    async with Pool(settings, "test") as pool:
        await _opened(pool, feed)
        outcomes: list[bool] = []

        async def attempt(size: int) -> None:
            try:
                await _write(pool, feed, _work(feed, inserts(size), Move(0, None, size)))
            except OffsetsMoved:
                outcomes.append(False)
            else:
                outcomes.append(True)

        async with asyncio.TaskGroup() as tasks:
            for size in (10, 400) * 4:
                tasks.create_task(attempt(size))
        assert sorted(outcomes) == [False] * 7 + [True]
        assert await written_twice(feed) == []


async def test_an_offset_never_goes_back(feed: Feed) -> None:
    """A batch that would set an offset back breaks an invariant and changes nothing."""
    async with Pool(PostgresSettings(dsn=feed.postgres), "test") as pool:
        await _opened(pool, feed)
        with pytest.raises(InvariantBroken):
            await _write(pool, feed, _work(feed, inserts(1), Move(0, 5, 4)))
        assert await count_of(feed) == 0


async def test_a_worker_that_stands_still_gives_its_locks_back(feed: Feed) -> None:
    """PostgreSQL ends a transaction whose client is silent before one that waits for its rows gives
    up; only one that holds no rows may be silent for as long.
    """
    shown = "SHOW idle_in_transaction_session_timeout"
    async with Pool(PostgresSettings(dsn=feed.postgres), "test") as pool:
        async with pool.transaction() as connection:
            assert await connection.fetchval(shown) == "15s"
        async with pool.transaction(patient=True) as connection:
            assert await connection.fetchval(shown) == "1min"
        async with pool.transaction() as connection:
            assert await connection.fetchval(shown) == "15s"


async def test_a_sink_that_was_overtaken_goes_on_behind_the_other(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """A batch that another worker has applied is dropped, and reading goes on at its offset."""
    await feed.publish(COUNTED, inserts(2))
    async with sinking(feed.plan()) as board:
        await eventually(lambda: count_of(feed), 2)
        async with connection.transaction():
            # The other worker: it has the offset's row and is about to commit records 3 and 4.
            await connection.execute(
                "UPDATE cdcd.offsets SET next_offset = 5 WHERE pipeline = $1", feed.pipeline
            )
            await feed.publish(COUNTED, inserts(4, 2))
            await asyncio.sleep(0.3)
        ids = "SELECT array_agg(id ORDER BY id) AS ids FROM {s}.counted"

        async def found() -> Any:
            return (await feed.rows(ids))[0]["ids"]

        await eventually(found, [0, 1, 4, 5])

        async def state() -> TableState:
            return status(board, COUNTED).state

        await eventually(state, TableState.RUNNING)


async def test_many_tables_share_one_connection(feed: Feed) -> None:
    """Staging tables are made and dropped as tables take turns, and no batch is mixed up."""
    specs = [table(f"t{n}", f"p:id int; r:v{n} {'text' if n % 2 else 'int'}") for n in range(5)]
    only = PostgresSettings(dsn=feed.postgres, target_schema=feed.schema, pool_connections_max=1)

    async def counts() -> list[int]:
        query = " UNION ALL ".join(
            f"SELECT {n}, count(v{n})::int FROM {{s}}.t{n}" for n in range(5)
        )
        return [row["count"] for row in await feed.rows(f"{query} ORDER BY 1")]

    async with sinking(feed.plan(postgres=only)):
        for turn in range(3):
            for n, spec in enumerate(specs):
                value = {f"v{n}": "x" if n % 2 else 7}
                ids = range(turn * 400, turn * 400 + 400)
                await feed.publish(spec, [change(spec, "c", (i,), value) for i in ids])
            await eventually(counts, [400 * (turn + 1)] * 5)
