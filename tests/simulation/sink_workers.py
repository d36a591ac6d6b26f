"""Sinks that run in a `SinkWorld`, share its partitions, and die at any time."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cdcd.config.settings import (
    DlqSettings,
    KafkaSettings,
    PostgresSettings,
    RegistrySettings,
    SinkSettings,
)
from cdcd.model.change import ChangeEvent, Operation
from cdcd.model.control import Control
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.sink import left_out, stage, table
from cdcd.sink.left_out import Mark
from cdcd.sink.schema import Prepared
from cdcd.sink.stage import Plan, _Sink
from cdcd.sink.tools import Tools
from cdcd.source.session import partition_token
from tests.model.servers import TABLE, number
from tests.model.target import TARGETS, Memory
from tests.simulation.sink_world import (
    FakeConsumer,
    FakeRegistry,
    FakeSweeper,
    FakeTopics,
    SinkWorld,
)
from tests.simulation.virtual_time import run

WORKERS = 2
REST_SECONDS = 300
SETTINGS = SinkSettings(batch_rows_max=5, batch_wait_seconds=0.05, retry_seconds_max=1)
PLAN = Plan(
    "p",
    "i",
    4,
    Directions(Control(tables=("ks.*",))),
    KafkaSettings(),
    RegistrySettings(),
    PostgresSettings(),
    SETTINGS,
    DlqSettings(),
)


@dataclass(frozen=True)
class SinkDials:
    """What a run goes through."""

    seconds: int = 4
    crash_seconds: float = 1.5
    divide_seconds: float = 1.5
    compares: bool = True
    asks_first: bool = True


@contextmanager
def _doors(world: SinkWorld) -> Iterator[None]:
    """The sink's doors lead into the world."""
    clock = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())

    async def here(work: Callable[..., Any], *arguments: Any) -> Any:
        await world.pause()
        return work(*arguments)

    async def no_marks(*_: object) -> dict[str, Mark]:
        await world.trouble(0.05)
        return {}

    async def prepared(*_: object) -> Prepared:
        await world.trouble(0.05)
        return Prepared(TARGETS)

    with pytest.MonkeyPatch.context() as patch:
        # A run has hundreds of failures, and each would be told with its traceback.
        silent = SimpleNamespace(**dict.fromkeys(("debug", "info", "warning", "error"), _nothing))
        patch.setattr(stage, "log", silent)
        patch.setattr(table, "log", silent)
        patch.setattr(stage, "time", clock)
        patch.setattr(table, "time", clock)
        patch.setattr(stage, "Topics", lambda _: FakeTopics(world))
        patch.setattr(stage, "offsets", SimpleNamespace(read=world.read, identify=world.identify))
        patch.setattr(left_out, "marks", no_marks)
        patch.setattr(table, "write", world.write)
        patch.setattr(table, "is_copied", lambda _: world.chance.random() < 0.8)
        patch.setattr(table, "prepare_targets", prepared)
        patch.setattr(table, "Sweeper", FakeSweeper)
        patch.setattr(asyncio, "to_thread", here)
        yield


def _nothing(*_: object, **__: object) -> None:
    pass


async def _worker(world: SinkWorld, own: int) -> None:
    """A sink, until it is cancelled."""
    requests = cast("Any", SimpleNamespace(ask=world.ask))
    registry = cast("Any", FakeRegistry())
    pool, board = cast("Any", SimpleNamespace(ahead=world.ahead)), Board("p", "i")
    tools = Tools("p", "s", SETTINGS, PLAN.dlq, pool, registry, requests, board, _nothing)
    sink = _Sink(PLAN, tools, cast("Any", FakeConsumer(world, own)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sink.follow_catalog(tasks))
        tasks.create_task(sink.feed())


async def _lives(world: SinkWorld, own: int, dials: SinkDials) -> None:
    """A worker that dies and comes back."""
    while True:
        life_seconds = 1e9 if world.is_calm else world.chance.expovariate(1 / dials.crash_seconds)
        try:
            async with asyncio.timeout(life_seconds):
                await _worker(world, own)
        except TimeoutError:
            world.rebalance(WORKERS)
        await world.pause(0.5)


async def _divide(world: SinkWorld, dials: SinkDials) -> None:
    while not world.is_calm:
        await asyncio.sleep(world.chance.expovariate(1 / dials.divide_seconds))
        world.rebalance(WORKERS)


def _change(world: SinkWorld, at: int) -> ChangeEvent:
    """A change whose time is its number."""
    chance = world.chance
    p, key = chance.randrange(6), (chance.randrange(2), chance.randrange(2))
    op = chance.choices(
        [Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.PARTITION_DELETE],
        [4, 4, 1, 1],
    )[0]
    whole = op is Operation.PARTITION_DELETE
    writes = op in {Operation.CREATE, Operation.UPDATE}
    empties = op is Operation.UPDATE and chance.random() < 0.5
    return ChangeEvent(
        table=TABLE,
        op=op,
        partition=(p,),
        clustering=(None, None) if whole else key,
        time_us=at,
        token=partition_token(number(p)),
        identity=None,
        values={"a": at} if writes and not empties else {},
        nulls=("a",) if empties else (),
        is_late=op is Operation.CREATE and chance.random() < 0.1,
    )


async def _write(world: SinkWorld, dials: SinkDials) -> None:
    for at in range(1, dials.seconds * 10):
        await asyncio.sleep(world.chance.expovariate(10))
        world.publish(_change(world, at))


async def _history(world: SinkWorld, dials: SinkDials) -> None:
    loop = asyncio.get_running_loop()
    workers = [loop.create_task(_lives(world, n, dials)) for n in range(WORKERS)]
    others = [loop.create_task(_divide(world, dials))]
    try:
        await _write(world, dials)
        world.is_calm = True
        ends = loop.time() + REST_SECONDS
        while not world.is_applied and loop.time() < ends:
            await asyncio.sleep(1)
            for task in workers:
                if task.done():
                    task.result()
    finally:
        for task in (*workers, *others):
            task.cancel()
        await asyncio.wait([*workers, *others])


def sink_history(seed: int, dials: SinkDials | None = None) -> SinkWorld:
    """What a run of that seed leaves behind."""
    random.seed(seed)  # of the pauses between tries
    told = dials or SinkDials()
    world = SinkWorld(random.Random(seed))
    world.compares, world.asks_first = told.compares, told.asks_first
    with _doors(world):
        run(_history(world, told))
    return world


def sink_wrong(world: SinkWorld) -> list[str]:
    """What is wrong with what a run left behind; each begins with the property's name."""
    found = [f"doubled or left out: {what}" for what in world.wrong]
    if not world.is_applied:
        found.append(f"stuck: {world.saved}, and the topic ends at {world.ends}")
    expected = Memory()
    for events in world.events.values():
        for _, event in sorted(events.items()):
            if not event.is_late:
                expected.apply([event])
    if world.target.rows() != expected.rows():
        found.append("diverged: the rows are not those of the records in order")
    if world.needed - world.asked:
        found.append(f"not asked: {world.needed - world.asked}")
    return found
