"""The source stage on a real database, with lanes that only record what they are given."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.config.settings import SourceSettings
from cdcd.model.control import Control
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.source import stage
from cdcd.source.progress import Start
from cdcd.source.session import Session
from tests.integration.keyspaces import (
    CDC,
    Keyspace,
    keyspace,
)
from tests.integration.recorder import Recorder


@pytest.fixture(params=["vnodes", "tablets"])
def ks(plain: DriverSession, request: pytest.FixtureRequest) -> Iterator[Keyspace]:
    """A keyspace of each kind."""
    with keyspace(plain, request.param) as made:
        yield made


@asynccontextmanager
async def running(session: Session, *patterns: str) -> AsyncIterator[Recorder]:
    """The stage on these tables."""
    settings = SourceSettings(confidence_seconds=0.2, catalog_seconds=1.0)
    source = stage.Source(
        session, settings, Directions(Control(patterns)), Start.LOG, Board("p", "i")
    )
    recorder = Recorder()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run(source, recorder))
        yield recorder
        task.cancel()


async def test_changes_come_once_and_in_order(ks: Keyspace, session: Session) -> None:
    """Changes from before and after the start are published once, a partition's in their order."""
    ks.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH {CDC}")
    for v in range(10):
        ks.execute(f"UPDATE $ks.t SET v = {v} WHERE p = {v % 2}")
    async with running(session, f"{ks.name}.*") as recorder:
        await recorder.until(lambda: len(recorder.events) >= 10)
        for v in range(10, 20):
            ks.execute(f"UPDATE $ks.t SET v = {v} WHERE p = {v % 2}")
        await recorder.until(lambda: len(recorder.events) >= 20)
    for p in (0, 1):
        found = [e.values["v"] for e in recorder.of(f"{ks.name}.t") if e.partition == (p,)]
        assert found == list(range(p, 20, 2))


async def test_a_column_that_is_written_at_once(ks: Keyspace, session: Session) -> None:
    """A value that is written into a column as soon as it was added is not lost."""
    ks.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH {CDC}")
    async with running(session, f"{ks.name}.t") as recorder:
        ks.execute("UPDATE $ks.t SET v = 0 WHERE p = 0")
        await recorder.until(lambda: bool(recorder.events))
        for added in ("a", "b"):
            ks.execute(f"ALTER TABLE $ks.t ADD {added} int")
            ks.execute(f"UPDATE $ks.t SET {added} = 7 WHERE p = 0")
        await recorder.until(lambda: len(recorder.events) >= 3)
    assert [dict(e.values) for e in recorder.events] == [{"v": 0}, {"a": 7}, {"b": 7}]


async def test_a_table_goes_on_after_a_column_was_dropped(ks: Keyspace, session: Session) -> None:
    """A column that is dropped does not stop its table."""
    ks.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int, w int) WITH {CDC}")
    async with running(session, f"{ks.name}.t") as recorder:
        ks.execute("UPDATE $ks.t SET v = 0, w = 1 WHERE p = 0")
        await recorder.until(lambda: bool(recorder.events))
        ks.execute("ALTER TABLE $ks.t DROP w")
        ks.execute("UPDATE $ks.t SET v = 1 WHERE p = 0")
        await recorder.until(lambda: len(recorder.events) >= 2)
    assert [dict(e.values) for e in recorder.events] == [{"v": 0, "w": 1}, {"v": 1}]


async def test_tables_that_are_made_later_are_taken_in(ks: Keyspace, session: Session) -> None:
    """A pattern takes in a table that is made while the stage runs, from its first change."""
    ks.execute(f"CREATE TABLE $ks.a (p int PRIMARY KEY, v int) WITH {CDC}")
    async with running(session, f"{ks.name}.*") as recorder:
        ks.execute("UPDATE $ks.a SET v = 0 WHERE p = 0")
        await recorder.until(lambda: bool(recorder.of(f"{ks.name}.a")))
        ks.execute(f"CREATE TABLE $ks.b (p int PRIMARY KEY, v int) WITH {CDC}")
        ks.execute("UPDATE $ks.b SET v = 1 WHERE p = 0")
        await recorder.until(lambda: bool(recorder.of(f"{ks.name}.b")))
    assert [e.values["v"] for e in recorder.of(f"{ks.name}.b")] == [1]


async def test_a_dropped_table_does_not_stop_others(ks: Keyspace, session: Session) -> None:
    """When a table is dropped the others go on."""
    for name in ("a", "b"):
        ks.execute(f"CREATE TABLE $ks.{name} (p int PRIMARY KEY, v int) WITH {CDC}")
    async with running(session, f"{ks.name}.*") as recorder:
        for name in ("a", "b"):
            ks.execute(f"UPDATE $ks.{name} SET v = 0 WHERE p = 0")
        await recorder.until(lambda: len(recorder.events) >= 2)
        ks.execute("DROP TABLE $ks.a")
        ks.execute("UPDATE $ks.b SET v = 1 WHERE p = 0")
        await recorder.until(lambda: len(recorder.of(f"{ks.name}.b")) >= 2)


async def test_a_table_that_is_dropped_and_made_again(ks: Keyspace, session: Session) -> None:
    """A table of the same name, made again, is not read on as if it were the former one."""
    ks.execute(f"CREATE TABLE $ks.a (p int PRIMARY KEY, v int) WITH {CDC}")
    async with running(session, f"{ks.name}.*") as recorder:
        ks.execute("UPDATE $ks.a SET v = 0 WHERE p = 0")
        await recorder.until(lambda: len(recorder.events) >= 1)
        ks.execute("DROP TABLE $ks.a")
        ks.execute(f"CREATE TABLE $ks.a (p int PRIMARY KEY, v int) WITH {CDC}")
        ks.execute(f"CREATE TABLE $ks.b (p int PRIMARY KEY, v int) WITH {CDC}")
        ks.execute("UPDATE $ks.b SET v = 1 WHERE p = 0")
        await recorder.until(lambda: len(recorder.of(f"{ks.name}.b")) >= 1)
