"""Operators pause, remove and mend tables while the source runs; nothing is lost by it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.config.settings import SourceSettings
from cdcd.model.change import Batch
from cdcd.model.control import Control, Pause
from cdcd.model.errors import TableStopped
from cdcd.model.lane import Assignment
from cdcd.model.table import TableSpec
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.status import TableState
from cdcd.source import stage
from cdcd.source.progress import Start
from cdcd.source.session import Session
from tests.integration.keyspaces import CDC, Keyspace, keyspace
from tests.integration.recorder import Recorder


class Picky(Recorder):
    """Lanes that cannot take some tables for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.unprepared: set[str] = set()
        self.unpublishable: set[str] = set()

    async def prepare(self, table: TableSpec) -> None:
        """Refuse what is not to be prepared."""
        if table.full_name in self.unprepared:
            raise TableStopped(table.full_name, "its schema is not compatible", "mend it")

    async def publish(self, assignment: Assignment, batches: Sequence[Batch]) -> None:
        """Refuse what is not to be published."""
        for batch in batches:
            if batch.events and batch.table.full_name in self.unpublishable:
                raise TableStopped(batch.table.full_name, "a change is too large", "mend it")
        await super().publish(assignment, batches)


@dataclass
class Running:
    """A stage at work."""

    recorder: Picky
    board: Board
    directions: Directions

    def state(self, table: str) -> TableState | None:
        """What the board says of a table."""
        return next((t.state for t in self.board.snapshot().tables if t.table == table), None)

    def values(self, table: str) -> list[object]:
        """The values that were published, in order."""
        return [e.values["v"] for e in self.recorder.of(table)]


@pytest.fixture
def ks(plain: DriverSession) -> Iterator[Keyspace]:
    """A keyspace with two tables."""
    with keyspace(plain, "vnodes") as made:
        for name in ("a", "b"):
            made.execute(f"CREATE TABLE $ks.{name} (p int PRIMARY KEY, v int) WITH {CDC}")
        yield made


@asynccontextmanager
async def running(session: Session, *patterns: str) -> AsyncIterator[Running]:
    """The stage on these tables."""
    settings = SourceSettings(confidence_seconds=0.2, catalog_seconds=0.2)
    at_work = Running(Picky(), Board("p", "i"), Directions(Control(patterns)))
    source = stage.Source(session, settings, at_work.directions, Start.LOG, at_work.board)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run(source, at_work.recorder))
        yield at_work
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  the board tells nobody
            await asyncio.sleep(0.02)


async def test_a_paused_table_stands_still(ks: Keyspace, session: Session) -> None:
    """While it is paused nothing of a table is published, and of others it is; then all of it."""
    a, b = f"{ks.name}.a", f"{ks.name}.b"
    async with running(session, a, b) as at_work:
        ks.execute("UPDATE $ks.a SET v = 1 WHERE p = 0")
        await until(lambda: at_work.values(a) == [1])
        pause = Pause(a, "source", 0, "me@here")
        at_work.directions.give(Control((a, b), (pause,)))
        await until(lambda: at_work.state(a) is TableState.PAUSED)
        ks.execute("UPDATE $ks.a SET v = 2 WHERE p = 0")
        ks.execute("UPDATE $ks.b SET v = 2 WHERE p = 0")
        await until(lambda: at_work.values(b) == [2])
        assert at_work.values(a) == [1]
        at_work.directions.give(Control((a, b)))
        await until(lambda: at_work.values(a) == [1, 2])
        assert at_work.state(a) is TableState.RUNNING


async def test_a_paused_table_still_tells_its_headroom(ks: Keyspace, session: Session) -> None:
    """How long the log keeps what was not read is told while a table is paused, and shrinks."""
    a = f"{ks.name}.a"
    async with running(session, a) as at_work:
        await until(lambda: bool(at_work.recorder.positions))
        at_work.directions.give(Control((a,), (Pause("*", "source", 0, "me@here"),)))
        await until(lambda: at_work.state(a) is TableState.PAUSED)

        def headroom() -> float:
            registry = at_work.board.metrics.registry
            return registry.get_sample_value("cdcd_log_headroom_seconds", {"table": a}) or 0.0

        # The window that was being read when the pause came may still move it up.
        most = 0.0

        def shrinks() -> bool:
            nonlocal most
            most = max(most, headroom())
            return headroom() < most - 1

        await until(shrinks)


async def test_a_removed_table_is_left_and_taken_up_again(ks: Keyspace, session: Session) -> None:
    """A removed table is followed no more; added again it goes on where it was, once."""
    a, b = f"{ks.name}.a", f"{ks.name}.b"
    async with running(session, a, b) as at_work:
        ks.execute("UPDATE $ks.a SET v = 1 WHERE p = 0")
        await until(lambda: at_work.values(a) == [1])
        at_work.directions.give(Control((b,)))
        await until(lambda: at_work.state(a) is None)
        ks.execute("UPDATE $ks.a SET v = 2 WHERE p = 0")
        ks.execute("UPDATE $ks.b SET v = 2 WHERE p = 0")
        await until(lambda: at_work.values(b) == [2])
        assert at_work.values(a) == [1]
        at_work.directions.give(Control((a, b)))
        await until(lambda: at_work.values(a) == [1, 2])


async def test_an_added_table_is_followed(ks: Keyspace, session: Session) -> None:
    """A table that is added while the stage runs is read from the oldest change of its log."""
    a, b = f"{ks.name}.a", f"{ks.name}.b"
    ks.execute("UPDATE $ks.b SET v = 1 WHERE p = 0")
    async with running(session, a) as at_work:
        await until(lambda: at_work.state(a) is TableState.RUNNING)
        at_work.directions.give(Control((a, b)))
        await until(lambda: at_work.values(b) == [1])


async def test_a_table_whose_schema_was_mended(ks: Keyspace, session: Session) -> None:
    """A table that could not be prepared goes on by itself, and nothing of it is missing."""
    a = f"{ks.name}.a"
    async with running(session, a) as at_work:
        at_work.recorder.unprepared.add(a)
        ks.execute("UPDATE $ks.a SET v = 1 WHERE p = 0")
        await until(lambda: at_work.state(a) is TableState.STOPPED)
        at_work.recorder.unprepared.clear()
        await until(lambda: at_work.values(a) == [1])
        await until(lambda: at_work.state(a) is TableState.RUNNING)


async def test_a_table_that_can_be_published_again(ks: Keyspace, session: Session) -> None:
    """A table that could not be published goes on from what is saved: each change once, in order,
    and the others are not held up.
    """
    a, b = f"{ks.name}.a", f"{ks.name}.b"
    async with running(session, a, b) as at_work:
        ks.execute("UPDATE $ks.a SET v = 1 WHERE p = 0")
        await until(lambda: at_work.values(a) == [1])
        at_work.recorder.unpublishable.add(a)
        for v in (2, 3):
            ks.execute(f"UPDATE $ks.a SET v = {v} WHERE p = 0")
        await until(lambda: at_work.state(a) is TableState.STOPPED)
        ks.execute("UPDATE $ks.b SET v = 9 WHERE p = 0")
        await until(lambda: at_work.values(b) == [9])
        at_work.recorder.unpublishable.clear()
        await until(lambda: at_work.values(a) == [1, 2, 3])
        await until(lambda: at_work.state(a) is TableState.RUNNING)


async def test_a_refused_table_that_was_mended(ks: Keyspace, session: Session) -> None:
    """A table that the catalog refuses is followed as soon as an ALTER TABLE has mended it."""
    ks.execute("CREATE TABLE $ks.c (p int PRIMARY KEY, v int)")
    c = f"{ks.name}.c"
    async with running(session, c) as at_work:
        await until(lambda: at_work.state(c) is TableState.NEEDS_SNAPSHOT)
        ks.execute(f"ALTER TABLE $ks.c WITH {CDC}")
        ks.execute("UPDATE $ks.c SET v = 1 WHERE p = 0")
        await until(lambda: at_work.values(c) == [1])
        await until(lambda: at_work.state(c) is TableState.RUNNING)
