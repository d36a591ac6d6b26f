"""Where changes may be missing from the log, the table stops and asks for a snapshot."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.config.settings import SourceSettings
from cdcd.model.change import Batch
from cdcd.model.control import Control
from cdcd.model.lane import Assignment
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.status import TableState
from cdcd.source import stage
from cdcd.source.catalog import find, read_schema
from cdcd.source.progress import Start, altered_unseen
from cdcd.source.session import Session
from tests.integration.keyspaces import ALL_LANES, CDC, Keyspace, keyspace
from tests.integration.recorder import Recorder


@pytest.fixture(params=["vnodes", "tablets"])
def ks(plain: DriverSession, request: pytest.FixtureRequest) -> Iterator[Keyspace]:
    """A keyspace of each kind."""
    with keyspace(plain, request.param) as made:
        yield made


@asynccontextmanager
async def running(session: Session, pattern: str, recorder: Recorder) -> AsyncIterator[Board]:
    """The stage, from what the recorder has kept."""
    settings = SourceSettings(confidence_seconds=0.2, catalog_seconds=0.2)
    board = Board("p", "i")
    source = stage.Source(session, settings, Directions(Control((pattern,))), Start.LOG, board)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run(source, recorder))
        yield board
        task.cancel()


def state_of(board: Board, table: str) -> TableState | None:
    """What the board says of a table."""
    return next((t.state for t in board.snapshot().tables if t.table == table), None)


def restarted(recorder: Recorder) -> Recorder:
    """Lanes that restore what the former ones kept."""
    again = Recorder()
    again.assignment = replace(Assignment(ALL_LANES, {}), positions=recorder.positions)
    return again


async def until(condition: Callable[[], bool]) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  the board tells nobody
            await asyncio.sleep(0.02)


async def test_cdc_off_and_on(ks: Keyspace, session: Session) -> None:
    """After its CDC was off a table is not read on, neither at once nor after a restart."""
    ks.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH {CDC}")
    name, recorder = f"{ks.name}.t", Recorder()
    async with running(session, f"{ks.name}.*", recorder) as board:
        ks.execute("UPDATE $ks.t SET v = 0 WHERE p = 0")
        await until(lambda: len(recorder.events) == 1)
        ks.execute("ALTER TABLE $ks.t WITH cdc = {'enabled': false}")
        await until(lambda: state_of(board, name) is TableState.NEEDS_SNAPSHOT)
        ks.execute(f"ALTER TABLE $ks.t WITH {CDC}")
        await until(lambda: all(not p.log_id for p in recorder.positions[name].values()))
    again = restarted(recorder)
    async with running(session, f"{ks.name}.*", again) as board:
        await until(lambda: state_of(board, name) is TableState.NEEDS_SNAPSHOT)
    assert again.events == []


async def test_a_table_dropped_and_made_again_while_nobody_reads(
    ks: Keyspace, session: Session
) -> None:
    """A table of the same name with another log is not taken for the former one."""
    ks.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH {CDC}")
    name, recorder = f"{ks.name}.t", Recorder()
    async with running(session, name, recorder):
        ks.execute("UPDATE $ks.t SET v = 0 WHERE p = 0")
        await until(lambda: len(recorder.events) == 1)
    ks.execute("DROP TABLE $ks.t")
    ks.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH {CDC}")
    again = restarted(recorder)
    async with running(session, name, again) as board:
        await until(lambda: state_of(board, name) is TableState.NEEDS_SNAPSHOT)


class SlowToSave(Recorder):
    """Lanes that save no gap before they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.has_gap, self.may_save = asyncio.Event(), asyncio.Event()

    async def publish(self, assignment: Assignment, batches: Sequence[Batch]) -> None:
        """Keep the batches, those with a gap later."""
        if any(not p.log_id for batch in batches for p in batch.positions.values()):
            self.has_gap.set()
            await self.may_save.wait()
        await super().publish(assignment, batches)


async def test_a_gap_is_told_when_it_is_saved(ks: Keyspace, session: Session) -> None:
    """Whoever has seen that a copy is needed sees it after a crash, too."""
    ks.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH {CDC}")
    name, recorder = f"{ks.name}.t", SlowToSave()
    async with running(session, name, recorder) as board:
        ks.execute("UPDATE $ks.t SET v = 0 WHERE p = 0")
        await until(lambda: len(recorder.events) == 1)
        ks.execute("ALTER TABLE $ks.t WITH cdc = {'enabled': false}")
        async with asyncio.timeout(60):
            await recorder.has_gap.wait()
        # Whoever tells it without waiting has done so by now.
        await asyncio.sleep(0.2)
        assert state_of(board, name) is TableState.RUNNING
        recorder.may_save.set()
        await until(lambda: state_of(board, name) is TableState.NEEDS_SNAPSHOT)
    assert {p.log_id for p in recorder.positions[name].values()} == {""}


async def test_cdc_off_and_on_while_nobody_reads(ks: Keyspace, session: Session) -> None:
    """The log is the same one afterwards, and the table is known to have been altered unseen."""
    ks.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH {CDC}")
    name, recorder = f"{ks.name}.t", Recorder()

    async def unseen() -> tuple[str, bool]:
        table = find(await read_schema(session), [name]).tables[name]
        return table.log_id, altered_unseen(table, recorder.positions[name].values())

    async with running(session, name, recorder):
        ks.execute("UPDATE $ks.t SET v = 0 WHERE p = 0")
        await until(lambda: len(recorder.events) == 1)
    log_id, is_unseen = await unseen()
    assert not is_unseen
    ks.execute("ALTER TABLE $ks.t WITH cdc = {'enabled': false}")
    ks.execute(f"ALTER TABLE $ks.t WITH {CDC}")
    assert await unseen() == (log_id, True)


async def test_a_ttl_that_was_raised_while_nobody_reads(
    plain: DriverSession, session: Session
) -> None:
    """Rows that were written while the log kept them for a day are missed after it, although the
    log keeps rows for two days by now.
    """
    with keyspace(plain, "vnodes") as ks:
        ks.execute(f"CREATE TABLE $ks.t (p int PRIMARY KEY, v int) WITH {CDC}")
        name, recorder = f"{ks.name}.t", Recorder()
        async with running(session, name, recorder):
            ks.execute("UPDATE $ks.t SET v = 0 WHERE p = 0")
            await until(lambda: len(recorder.events) == 1)
        day_ms = 24 * 3_600_000
        recorder.positions[name] = {
            lane: replace(position, frontier_ms=position.frontier_ms - day_ms)
            for lane, position in recorder.positions[name].items()
        }
        ks.execute("ALTER TABLE $ks.t WITH cdc = {'enabled': true, 'ttl': 172800}")
        again = restarted(recorder)
        async with running(session, name, again) as board:
            await until(lambda: state_of(board, name) is TableState.NEEDS_SNAPSHOT)
