"""Workers that run the source's followers in a `World`, die at any time, and share lanes."""

import asyncio
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from cdcd.config.settings import SourceSettings
from cdcd.model.change import Batch
from cdcd.model.errors import Transient
from cdcd.model.lane import LaneSet, lane_of
from cdcd.model.refresh import Request, Row
from cdcd.ops.board import Board
from cdcd.source import stage
from cdcd.source.copying import copy_of_lane
from cdcd.source.decode import LogOperation
from cdcd.source.follower import Follower
from cdcd.source.progress import Start
from cdcd.source.session import partition_token
from cdcd.source.surroundings import Saved, Surroundings
from tests.simulation.source_world import (
    LANES,
    TABLE,
    Kept,
    Mutation,
    World,
    merged,
    number,
    timeuuid,
)
from tests.simulation.virtual_time import now_ms, run

DELAYS_SECONDS = (3.0, 25.0)
HORIZON_MS = 25_000
BEGIN_MS = 40_000
ROWS = 3
WRITERS = 5
HALF = 0.5
NEVER_MS = 2**50


@dataclass(frozen=True)
class Dials:
    """What a run goes through."""

    seconds: int = 60
    late: float = 0.1
    lagging: float = 0.1
    tied: float = 0.05
    crash_seconds: float = 12.0
    away_seconds: float = 5.0
    switch_seconds: float = 25.0
    announced_ms: int = 2000
    hashes_bytes: int = 1 << 20
    listed_max: int = 1000
    commit_seconds: float = 0.15
    ask_seconds: float = 4.0
    partitions: int = 5
    # Rows that were there before the log, how long it is there before a worker begins, and how
    # many of the requests from outside are for a copy of a lane.
    unlogged: int = 0
    begin_seconds: float = 0.0
    copies: float = 0.0
    start: Start = Start.LOG
    # How often a life ends because the log was off.
    gaps: float = 0.0
    # How far back rows may be written, and how often.
    delays_seconds: tuple[float, ...] = DELAYS_SECONDS
    audit_seconds: float = 0.0
    oldest_ms: int = BEGIN_MS
    back_seconds: float = HORIZON_MS / 1000 - 0.5
    write_seconds: float = 1 / 8
    # Up to how far the clocks of the writers, each with one of its own, are behind or ahead.
    behind_seconds: float = 0.0
    ahead_seconds: float = 0.0
    # How many commits are answered by an error; half of those took place.
    doubtful: float = 0.0
    idle_seconds: float = 0.5
    ending_seconds: float = 4 * HORIZON_MS / 1000


async def _worker(world: World, kept: Kept, owned: frozenset[int], dials: Dials) -> None:
    """Follow the table in some lanes until cancelled, from what is kept on after each failure."""
    while True:
        pause_seconds = 0.0
        try:
            await _follow(world, kept, owned, dials)
        except* Transient:
            pause_seconds = world.chance.uniform(0, 1)
        await asyncio.sleep(pause_seconds)


async def _follow(world: World, kept: Kept, owned: frozenset[int], dials: Dials) -> None:
    batches: asyncio.Queue[Batch] = asyncio.Queue(4)
    settings = SourceSettings(
        settle_delays_seconds=dials.delays_seconds,
        audit_delay_seconds=dials.audit_seconds,
        idle_window_seconds_max=dials.idle_seconds,
        identities_bytes_max=dials.hashes_bytes,
        refreshes_listed_max=dials.listed_max,
        window_seconds_max=7,
        position_seconds_max=7,
        streams_per_read_max=2,
    )
    around = Surroundings(
        session=cast("Any", world),
        settings=settings,
        in_flight=asyncio.Semaphore(8),
        schema=cast("Any", world),
        clock=cast("Any", world),
        board=Board("p", "i"),
        start=dials.start,
        lanes=LaneSet(owned, LANES),
        generations=world.known_generations,
        seen=world.known_generations,
        published=kept.read_back,
        prepare=_nothing,
        hand_on=batches.put,
    )
    listed, merged = kept.listed(owned), kept.merged(owned)
    saved = Saved(kept.positions(owned), kept.cells(owned), listed, merged=merged)
    follower = Follower(saved, around)
    follower.update(TABLE, await world.known_generations(), "1")
    for request in kept.requests(owned):
        follower.ask(request)
    async with asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        lanes: Any = _Publishing(world, kept, follower, dials)
        group.create_task(stage._publish(lanes, cast("Any", None), batches, lanes))
        group.create_task(_catalog(world, follower))
        group.create_task(_sink(world, kept, owned, follower, dials))


async def _nothing(_: object) -> None:
    pass


class _Publishing:
    """Commits what the source's own loop hands to it; no table is unpublishable."""

    def __init__(self, world: World, kept: Kept, follower: Follower, dials: Dials) -> None:
        self._chance = world.chance
        self._kept = kept
        self._follower = follower
        self._dials = dials

    @staticmethod
    def is_unpublishable(_: Batch) -> bool:
        """Each batch can be published."""
        return False

    async def publish(self, _: object, batches: Sequence[Batch]) -> None:
        """One transaction. Raises Transient where nobody can tell whether it took place."""
        chance, doubtful = self._chance, self._dials.doubtful
        await asyncio.sleep(chance.uniform(0, self._dials.commit_seconds))
        is_doubtful = bool(doubtful) and chance.random() < doubtful
        if is_doubtful and chance.random() < HALF:
            raise Transient("the transaction did not take place, or did it?")
        asked = self._kept.commit(batches)
        if is_doubtful:
            raise Transient("the transaction took place, or did it not?")
        for request in asked:
            self._follower.ask(request)
        for batch in batches:
            if batch.published is not None:
                batch.published()


async def _catalog(world: World, follower: Follower) -> None:
    while True:
        await asyncio.sleep(5)
        follower.update(TABLE, await world.known_generations(), "1")


async def _sink(
    world: World, kept: Kept, owned: frozenset[int], follower: Follower, dials: Dials
) -> None:
    """Asks for refreshes of rows now and then."""
    while not world.is_calm:
        await asyncio.sleep(world.chance.expovariate(1 / dials.ask_seconds))
        request = _request(world, dials)
        if lane_of(request.token, LANES) in owned:
            kept.ask(request)
            follower.ask(request)


def _request(world: World, dials: Dials) -> Request:
    chance = world.chance
    if chance.random() < dials.copies:
        run, lane = f"copy-{now_ms()}", chance.randrange(LANES)
        return copy_of_lane("ks.t", run, lane, LANES, now_ms())
    p, c = chance.randrange(dials.partitions), chance.randrange(ROWS)
    token = partition_token(number(p))
    return Request(f"sink-{now_ms()}-{p}", "ks.t", Row((number(p),), (number(c),)), token)


def _mutation(world: World, dials: Dials) -> Mutation:
    """A write that keeps to the assumption of rule 6."""
    chance, now = world.chance, now_ms()
    op = chance.choices(
        [
            LogOperation.INSERT,
            LogOperation.ROW_DELETE,
            LogOperation.RANGE_START_INCLUSIVE,
            LogOperation.PARTITION_DELETE,
        ],
        [8, 2, 1, 1],
    )[0]
    log_ms = now + chance.randrange(100)
    time_us = (now - chance.randrange(50)) * 1000 + chance.randrange(1000) + _skew_us(world, dials)
    if chance.random() < dials.late:
        back_ms = min(
            chance.randrange(int(dials.back_seconds * 1000)), max(now - dials.oldest_ms, 0)
        )
        time_us = (now - back_ms) * 1000 + chance.randrange(1000)
    p, c = chance.randrange(dials.partitions), chance.randrange(ROWS)
    if world.mutations and chance.random() < dials.tied:
        other = world.mutations[-1]
        p, c, time_us = other.p, other.c, other.time_us
    time_us = max(time_us, BEGIN_MS * 1000)
    former = chance.random() < dials.late
    base_ms = log_ms + chance.randrange(-100, 100)
    if chance.random() < dials.lagging:
        base_ms = log_ms + chance.randrange(HORIZON_MS - 500)
    stream = world.stream_of(p, time_us // 1000, former=former)
    uuid = timeuuid(time_us, chance.randbytes(8))
    return Mutation(op, p, c, chance.randrange(100), time_us, stream, uuid, log_ms, base_ms)


def _skew_us(world: World, dials: Dials) -> int:
    """How far the clock of one of the writers is ahead: the first by the most, the last is behind
    by the most, one in the middle is right.
    """
    if not dials.ahead_seconds and not dials.behind_seconds:
        return 0
    share = world.chance.randrange(WRITERS) / (WRITERS - 1) * 2 - 1
    seconds = dials.behind_seconds if share < 0 else dials.ahead_seconds
    return int(share * seconds * 1_000_000)


def _unlogged(world: World, at: int) -> Mutation:
    """A row that was written before the table had a log."""
    p, c = divmod(at, ROWS)
    uuid = timeuuid(1, world.chance.randbytes(8))
    return Mutation(LogOperation.INSERT, p, c, -at, 1, b"", uuid, NEVER_MS, 0)


async def _write(world: World, dials: Dials) -> None:
    end = now_ms() + dials.seconds * 1000
    while now_ms() < end:
        await asyncio.sleep(world.chance.expovariate(1 / dials.write_seconds))
        world.mutations.append(_mutation(world, dials))


async def _switch(world: World, dials: Dials) -> None:
    """New generations; some are published when they have begun already."""
    while True:
        await asyncio.sleep(dials.switch_seconds)
        start = now_ms() + 1500
        world.add_generation(start, start + dials.announced_ms)


async def _lives(world: World, kept: Kept, dials: Dials) -> None:
    """Workers come and go, with all lanes or half of them each."""
    chance = world.chance
    halves = [frozenset({0, 1}), frozenset({2, 3})]
    loop = asyncio.get_running_loop()
    while True:
        shares = chance.choice([halves, halves[:1], halves[1:], [frozenset(range(LANES))]])
        tasks = [loop.create_task(_worker(world, kept, s, dials)) for s in shares]
        life_seconds = chance.expovariate(1 / dials.crash_seconds)
        try:
            done, _ = await asyncio.wait(tasks, timeout=life_seconds)
        finally:
            await _end(tasks)
        for task in done:
            task.result()
        if chance.random() < dials.gaps:
            kept.gap()
        await asyncio.sleep(chance.expovariate(1 / dials.away_seconds))


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """A crash: nothing is finished."""
    # Of a failure and a crash in one moment a group tells only the failure.
    while going_on := [task for task in tasks if not task.done()]:
        for task in going_on:
            task.cancel()
        await asyncio.wait(going_on, timeout=1)


async def _history(seed: int, dials: Dials) -> tuple[World, Kept]:
    world, kept = World(random.Random(seed)), Kept()
    await asyncio.sleep(BEGIN_MS / 1000)
    world.add_generation(BEGIN_MS, BEGIN_MS)
    for number_of in range(dials.unlogged):
        world.mutations.append(_unlogged(world, number_of))
    everything = _worker(world, kept, frozenset(range(LANES)), dials)
    loop = asyncio.get_running_loop()
    is_steady = dials.crash_seconds == math.inf
    writing = loop.create_task(_write(world, dials))
    switching = loop.create_task(_switch(world, dials))
    await asyncio.sleep(dials.begin_seconds)
    last = loop.create_task(everything if is_steady else _lives(world, kept, dials))
    await writing
    world.is_calm = True
    await _end([switching])
    # The last life: long enough for all to be settled, and for what is asked for to be served.
    if not is_steady:
        await _end([last])
        last = loop.create_task(everything)
    done, _ = await asyncio.wait([last], timeout=dials.ending_seconds)
    await _end([last])
    for task in done:
        task.result()
    return world, kept


def history(seed: int, dials: Dials | None = None) -> tuple[World, Kept]:
    """What a run of that seed leaves behind."""
    return run(_history(seed, dials or Dials()))


def wrong(world: World, kept: Kept) -> list[str]:
    """What is wrong with what a run left behind; each begins with the property's name."""
    found = []
    times = kept.times_published()
    for mutation in world.mutations:
        count = times[mutation.uuid]
        lane = lane_of(partition_token(number(mutation.p)), LANES)
        # Before where the log is read from there is only the copy.
        is_expected = mutation.time_us >= kept.first_ms[lane] * 1000
        if count != is_expected:
            found.append(f"{'lost' if count == 0 else 'doubled'}: {mutation} {count}")
    at: dict[object, tuple[int, bytes]] = {}
    for event in kept.events:
        if event.identity is not None and not event.is_late:
            here = (event.time_us, event.identity.stream[:8])
            if here[0] < at.get(event.partition, (0, b""))[0]:
                found.append(f"reordered: {event}")
            at[event.partition] = here
    base = {key: value for key, (value, _) in merged(world.mutations).items()}
    rows = kept.rows()
    return found + [
        f"diverged: {key} is {rows.get(key)}, not {base.get(key)}"
        for key in base.keys() | rows.keys()
        if base.get(key) != rows.get(key)
    ]
