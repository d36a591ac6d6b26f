"""Switches of generation while rows are written: nothing lost, doubled or out of order."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.config.settings import SourceSettings
from cdcd.model.change import ChangeEvent
from cdcd.model.control import Control
from cdcd.model.lane import Assignment
from cdcd.ops.board import Board, wall_clock_ms
from cdcd.ops.directions import Directions
from cdcd.ops.status import TableState
from cdcd.source import stage
from cdcd.source.generations import Generations
from cdcd.source.progress import Start
from cdcd.source.session import Session
from tests.independent import source as independent
from tests.integration.keyspaces import (
    ALL_LANES,
    CDC,
    Keyspace,
    driver,
    keyspace,
    table_of,
)
from tests.integration.recorder import Recorder
from tests.stack import Stack

PARTITIONS = 12
SETTINGS = SourceSettings(
    confidence_seconds=0.2, catalog_seconds=0.3, settle_delays_seconds=(1.0, 4.0)
)
# A write that takes longer than a fifth of a second is late, and on a busy machine some do.
PATIENT = SETTINGS.model_copy(update={"confidence_seconds": 2.0})


@pytest.fixture(scope="module")
def plain(stack: Stack) -> Iterator[DriverSession]:
    """The driver's own session; orders to the stand-in mean nothing to another server."""
    with driver(stack) as session:
        (version,) = (r.version for r in session.execute("SELECT version FROM system.versions"))
        if "stand-in" not in version:
            pytest.skip(f"ScyllaDB {version} takes no orders from tests")
        yield session


@pytest.fixture(params=["vnodes", "tablets"])
def ks(plain: DriverSession, request: pytest.FixtureRequest) -> Iterator[Keyspace]:
    """A keyspace of each kind with a table."""
    with keyspace(plain, request.param) as made:
        made.execute(f"CREATE TABLE $ks.t (p int, c int, v int, PRIMARY KEY (p, c)) WITH {CDC}")
        yield made


@asynccontextmanager
async def running(
    session: Session, ks: Keyspace, recorder: Recorder, settings: SourceSettings = SETTINGS
) -> AsyncIterator[Board]:
    """The stage on the keyspace's table."""
    board = Board("p", "i")
    wanted = Directions(Control((f"{ks.name}.t",)))
    source = stage.Source(session, settings, wanted, Start.LOG, board)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run(source, recorder))
        yield board
        task.cancel()


def order(ks: Keyspace, when: str, streams: int = 6) -> None:
    """Have the stand-in make a generation."""
    what = f"tablets {ks.name}.t {streams}" if "tablets" in ks.name else "generation"
    ks.execute(f"/* stand-in: {what} {when} */ SELECT key FROM system.local")


async def write(ks: Keyspace, numbers: "itertools.count[int]", seconds: float) -> None:
    """Write to all partitions in turn, for a while; each value is greater than the one before."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        v = next(numbers)
        text = f"INSERT INTO $ks.t (p, c, v) VALUES ({v % PARTITIONS}, 0, {v})"
        await asyncio.to_thread(ks.execute, text)


async def everything(ks: Keyspace, recorder: Recorder) -> list[ChangeEvent]:
    """The published changes, once they are all that the log has."""
    table = independent.table_of(ks.driver, ks.name, "t")
    wanted = independent.log_identities(ks.driver, table)
    await recorder.until(lambda: len(recorder.of(f"{ks.name}.t")) >= wanted.total(), 20)
    found = recorder.of(f"{ks.name}.t")
    identities = [e.identity for e in found if e.identity]
    seen = sorted((i.stream.hex(), i.time.hex(), i.seq) for i in identities)
    assert seen == sorted((s, t.replace("-", ""), n) for s, t, n in wanted.elements())
    return found


def expect_order(events: list[ChangeEvent]) -> None:
    """A partition's changes that came in time are in the order of their writes."""
    for p in range(PARTITIONS):
        values = [e.values["v"] for e in events if e.partition == (p,) and not e.is_late]
        assert values == sorted(values)  # type: ignore[type-var]  # they are ints


async def streams_of(session: Session, ks: Keyspace) -> list[int]:
    """How many streams each generation has that is in force by now."""
    known = await Generations(session).of(await table_of(session, f"{ks.name}.t"))
    now_ms = wall_clock_ms()
    return [len({s for r in g.ranges for s in r.streams}) for g in known if g.start_ms <= now_ms]


async def test_a_switch_under_load(ks: Keyspace, session: Session) -> None:
    """Through new streams, tablets that split and tablets that merge, each change is published once
    and none is late; a partition's keep their order.
    """
    recorder, numbers = Recorder(), itertools.count()
    before = len(await streams_of(session, ks))
    async with running(session, ks, recorder, PATIENT):
        for streams in (9, 3):
            order(ks, "in 3000 ms", streams)
            await write(ks, numbers, 4.0)
        found = await everything(ks, recorder)
    assert len(await streams_of(session, ks)) == before + 2
    if "tablets" in ks.name:
        assert (await streams_of(session, ks))[-2:] == [9, 3]
    assert not any(e.is_late for e in found)
    expect_order(found)


async def test_a_generation_that_is_published_late(ks: Keyspace, session: Session) -> None:
    """What was written to streams that nobody knew yet is found by settling, and published once."""
    recorder, numbers = Recorder(), itertools.count()
    async with running(session, ks, recorder):
        await write(ks, numbers, 0.3)
        # A reader that has not begun yet would find the generation published already.
        await recorder.until(lambda: bool(recorder.of(f"{ks.name}.t")), 20)
        # Longer than a busy machine may take to read what was written at once.
        order(ks, "in 0 ms, published after 4000 ms")
        await write(ks, numbers, 4.5)
        found = await everything(ks, recorder)
    assert any(e.is_late for e in found)
    expect_order(found)


async def test_generations_at_almost_the_same_time(ks: Keyspace, session: Session) -> None:
    """Two generations that begin within milliseconds, of which the first takes no write, are passed
    as one.
    """
    recorder, numbers = Recorder(), itertools.count()
    async with running(session, ks, recorder):
        await write(ks, numbers, 0.3)
        order(ks, "in 1000 ms", 5)
        order(ks, "in 1000 ms", 7)
        await write(ks, numbers, 1.7)
        found = await everything(ks, recorder)
    known = await Generations(session).of(await table_of(session, f"{ks.name}.t"))
    first, second = known[-2:]
    assert 1 <= second.start_ms - first.start_ms < 100
    between = [e for e in found if first.start_ms <= e.time_us // 1000 < second.start_ms]
    assert len(between) < len(found) / 10
    expect_order(found)


async def test_a_saved_generation_that_is_gone(ks: Keyspace, session: Session) -> None:
    """A position in a generation that the server has forgotten stops the table."""
    recorder = Recorder()
    async with running(session, ks, recorder):
        await write(ks, itertools.count(), 0.2)
        await recorder.until(lambda: bool(recorder.events))
    forgotten = {
        lane: replace(position, generation_ms=position.generation_ms - 1)
        for lane, position in recorder.positions[f"{ks.name}.t"].items()
    }
    again = Recorder()
    again.assignment = replace(Assignment(ALL_LANES, {}), positions={f"{ks.name}.t": forgotten})
    async with running(session, ks, again) as board:
        await again.until(
            lambda: any(
                t.state is TableState.NEEDS_SNAPSHOT and "is gone" in t.reason
                for t in board.snapshot().tables
            )
        )
    assert again.events == []
