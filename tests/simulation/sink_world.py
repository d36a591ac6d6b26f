"""A topic, a consumer group and a database in memory, for the sink's own code to run between.

A commit is one step, and a cancelled task leaves nothing of its transaction. Answers are late, come
twice or get lost behind a commit. What reads and writes at the wrong place is noted in `wrong`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from cdcd.model.change import ChangeEvent
from cdcd.model.errors import Transient
from cdcd.model.refresh import Request, Scope
from cdcd.sink.batch import Refused
from cdcd.sink.offsets import OffsetsMoved
from cdcd.sink.writer import Turn, Write
from cdcd.transport.consumer import Fetched
from cdcd.transport.record_writer import RecordWriter, SchemaIds
from cdcd.transport.records import Partition, Record
from cdcd.transport.schema import key_schema, value_schema
from cdcd.transport.topic_facts import RECORD_BYTES_MAX, TopicFacts
from tests.model.servers import TABLE
from tests.model.target import Memory
from tests.simulation.virtual_time import now_ms

TOPIC = "p.ks.t"
PARTITIONS = 3
FACTS = TopicFacts(
    "id",
    PARTITIONS,
    {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "min.insync.replicas": "2",
        "max.message.bytes": str(RECORD_BYTES_MAX),
    },
)
_WRITER = RecordWriter(TABLE, TOPIC, "p", SchemaIds(1, 2), PARTITIONS)

Ask = Callable[[Sequence[Request]], Awaitable[None]]


class SinkWorld:
    """What outlives a worker."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        # By partition: records and events by offset. Offsets in between are transactions' marks.
        self.records: dict[int, dict[int, Record]] = {n: {} for n in range(PARTITIONS)}
        self.events: dict[int, dict[int, ChangeEvent]] = {n: {} for n in range(PARTITIONS)}
        self.ends = dict.fromkeys(range(PARTITIONS), 0)
        self.target = Memory()
        self.saved: dict[int, int] = {}
        self.asked: set[Scope] = set()
        self.needed: set[Scope] = set()
        self.wrong: list[str] = []
        self.is_calm = False
        # How the group divides the partitions, and how often it has.
        self.generation = 0
        self.owners: dict[int, int] = {}
        self._nobodys: set[int] = set()
        # Guards of the database, for tests to take away.
        self.compares = True
        self.asks_first = True
        self._row_locks: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def is_applied(self) -> bool:
        """Whether every partition was applied to its end."""
        return all(self.saved.get(n, 0) == end for n, end in self.ends.items())

    def publish(self, event: ChangeEvent) -> None:
        """A record, and now and then a transaction's mark behind it."""
        ((number, key, value),) = _WRITER.records([event], now_ms())
        offset = self.ends[number]
        place = Partition(TOPIC, number)
        self.records[number][offset] = Record(place, offset, now_ms(), key, value, event.is_late)
        self.events[number][offset] = event
        self.ends[number] = offset + self.chance.choice([1, 1, 1, 2])

    def rebalance(self, workers: int, *, of_all: bool = False) -> None:
        """Give each partition to a worker; those who had it go on until they hear of it.

        At times one is left to nobody, as when a worker is given what it had before it knew of all.
        It stays so until a member asks anew.
        """
        self.generation += 1
        if of_all:
            self._nobodys.clear()
        elif not self.is_calm and self.chance.random() < 0.3:
            self._nobodys.add(self.chance.randrange(PARTITIONS))
        somebodys = sorted(set(range(PARTITIONS)) - self._nobodys)
        self.owners = {n: self.chance.randrange(workers) for n in somebodys}

    async def pause(self, most_seconds: float = 0.05) -> None:
        """Something takes a while."""
        await asyncio.sleep(self.chance.uniform(0, most_seconds))

    async def trouble(self, share: float) -> None:
        """Nobody answers."""
        await self.pause()
        if not self.is_calm and self.chance.random() < share:
            raise Transient("away")

    async def read(self, *_: object) -> dict[int, int]:
        """The saved offsets."""
        await self.trouble(0.1)
        return dict(self.saved)

    async def identify(self, *_: object) -> tuple[str, int]:
        """The topic that the offsets are of."""
        await self.trouble(0.1)
        return FACTS.topic_id, FACTS.partitions

    @contextmanager
    def ahead(self) -> Iterator[bool]:
        """Whether a connection is to spare."""
        yield self.chance.random() < 0.7

    async def write(
        self,
        _pool: object,
        _pipeline: str,
        work: Write,
        ask: Ask,
        _limit: object = None,
        *,
        turn: Turn,
    ) -> list[Refused]:
        """A transaction: who moves an offset holds its row until the end. Nothing is refused."""
        await self.trouble(0.1)
        await turn()
        held: list[asyncio.Lock] = []
        try:
            for move in sorted(work.moves, key=lambda m: m.partition):
                lock = self._row_locks[move.partition]
                await lock.acquire()
                held.append(lock)
                if self.compares and self.saved.get(move.partition) != move.start:
                    raise OffsetsMoved(TOPIC)
            # Rows of other partitions may be committed meanwhile, so it is done again then.
            requests = self._applied(self.target.copy(), work)
            await self.trouble(0.05)
            if self.asks_first:
                await ask(requests)
                await self.trouble(0.05)
            self._commit(work, requests)
        finally:
            for lock in held:
                lock.release()
        await self.trouble(0.1)  # the answer to the commit is lost
        if not self.asks_first:
            await ask(requests)
        return []

    @staticmethod
    def _applied(target: Memory, work: Write) -> list[Request]:
        if work.laid is None:
            raise RuntimeError("a batch without values cannot be refused")
        return target.write(work.laid.parts, work.batch.events, work.laid.unclear)

    def _commit(self, work: Write, requests: Iterable[Request]) -> None:
        wanted = []
        for move in work.moves:
            begins = self.saved.get(move.partition) or 0
            span = range(begins, move.next_offset)
            here = self.events[move.partition]
            wanted += [here[n].time_us for n in span if n in here and not here[n].is_late]
            self.saved[move.partition] = move.next_offset
        if sorted(wanted) != sorted(event.time_us for event in work.batch.events):
            self.wrong.append(f"a batch is not what lies between its offsets: {work.moves}")
        self._applied(self.target, work)
        self.needed |= {request.scope for request in requests}

    async def ask(self, requests: Sequence[Request]) -> None:
        """The requests are in the lanes topic when this returns."""
        await self.trouble(0.05)
        self.asked |= {request.scope for request in requests}


class FakeConsumer:
    """A member of the group."""

    def __init__(self, world: SinkWorld, number: int) -> None:
        self._world = world
        self._number = number
        self._generation = -1
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._is_member = False

    async def subscribe(self, _: Iterable[str]) -> None:
        """The group divides anew, all of it where a member asks that has asked before."""
        self._world.rebalance(2, of_all=self._is_member)
        self._is_member = True

    async def fetch(self, records_max: int, wait_seconds: float) -> Fetched:
        """Records that may come late and twice, and what the group has decided."""
        world = self._world
        await world.pause(min(wait_seconds, 0.2) + 0.001)
        if world.generation != self._generation and world.chance.random() < 0.5:
            self._generation = world.generation
            self._positions, self._paused = {}, set()
            mine = [n for n, owner in world.owners.items() if owner == self._number]
            return Fetched(assigned=tuple(Partition(TOPIC, n) for n in mine))
        fetched = Fetched()
        for number, position in self._positions.items():
            if number in self._paused:
                continue
            ahead = [
                world.records[number][n] for n in sorted(world.records[number]) if n >= position
            ]
            taken = ahead[: min(records_max, world.chance.randint(0, 4))]
            fetched.records += taken
            if taken and world.chance.random() < 0.1:
                fetched.records += taken
            self._positions[number] = taken[-1].offset + 1 if taken else position
            if len(taken) == len(ahead):
                self._positions[number] = world.ends[number]
                fetched.ends[Partition(TOPIC, number)] = world.ends[number]
        return fetched

    async def start(self, positions: Mapping[Partition, int]) -> None:
        """Read from here on."""
        await self._world.pause()
        self._positions = {partition.number: offset for partition, offset in positions.items()}
        self._paused = set()

    async def pause(self, partitions: Iterable[Partition]) -> None:
        """Do not read these."""
        self._paused |= {p.number for p in partitions}

    async def resume(self, partitions: Iterable[Partition]) -> None:
        """Read these again."""
        self._paused -= {p.number for p in partitions}

    async def behind(self, _: object) -> dict[Partition, int]:
        """Nothing that a test looks at."""
        return {}

    async def commit(self, _: object) -> None:
        """Kafka's own offsets decide nothing."""
        await self._world.pause()


class FakeTopics:
    """The one topic."""

    def __init__(self, world: SinkWorld) -> None:
        self._world = world

    async def partitions(self) -> dict[str, int]:
        """How many partitions it has."""
        await self._world.trouble(0.1)
        return {TOPIC: PARTITIONS}

    async def read_by(self, _: str) -> frozenset[Partition] | None:
        """What is somebody's; at times the group is just dividing it."""
        await self._world.trouble(0.1)
        if self._world.chance.random() < 0.2:
            return None
        return frozenset(Partition(TOPIC, number) for number in self._world.owners)

    async def facts(self, _: str) -> TopicFacts:
        """It is as cdcd made it, and always the same one."""
        await self._world.trouble(0.1)
        return FACTS

    async def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Nothing is deleted."""
        await self._world.trouble(0.1)
        return dict.fromkeys(partitions, 0)

    async def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Behind the last record."""
        await self._world.pause()
        return {p: self._world.ends[p.number] for p in partitions}


class FakeRegistry:
    """The two schemas."""

    async def latest(self, _: str) -> tuple[int, Any]:
        """The value's schema."""
        return 2, value_schema(TABLE, TOPIC)

    async def schema(self, schema_id: int) -> Any:
        """A schema by its id."""
        return (value_schema if schema_id == 2 else key_schema)(TABLE, TOPIC)


class FakeSweeper:
    """Nothing expires."""

    def __init__(self, *_: object) -> None:
        pass

    async def sweep(self, *_: object) -> float:
        """Nothing is due."""
        return float("inf")

    async def wait(self, limit_seconds: float) -> None:
        """Until it is time to look again."""
        await asyncio.sleep(limit_seconds)

    def expect(self, _: int) -> None:
        """Never called."""
