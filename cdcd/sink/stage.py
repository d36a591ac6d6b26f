"""The sink stage: change topics to PostgreSQL rows, each change exactly once.

A failure of one table stops or pauses that table. What is raised from `run` concerns all: Transient
where the stage should be run again from what is saved, anything else where it should not.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from cdcd.config.settings import (
    DlqSettings,
    KafkaSettings,
    PostgresSettings,
    RegistrySettings,
    SinkSettings,
)
from cdcd.config.tables import TableEntries
from cdcd.model.control import SINK
from cdcd.model.errors import TableStopped, Transient
from cdcd.model.login import Login
from cdcd.ops.board import Board, wall_clock_ms
from cdcd.ops.comeback import Comeback
from cdcd.ops.directions import Directions
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff, retrying
from cdcd.ops.status import StageState, TableState
from cdcd.sink import left_out, offsets
from cdcd.sink.carrier import Carrier
from cdcd.sink.comparisons import Comparisons
from cdcd.sink.pool import Pool, Rejected, TargetBroken
from cdcd.sink.schema import prepare_database
from cdcd.sink.table import Table
from cdcd.sink.tools import Tools
from cdcd.sink.unread import Unread
from cdcd.transport.consumer import ChangeConsumer, Fetched, group_of
from cdcd.transport.records import Partition
from cdcd.transport.registry import Registry
from cdcd.transport.requests import Requests
from cdcd.transport.topic_facts import TopicFacts
from cdcd.transport.topics import Topics, dead_letter_topic, table_of_topic

if TYPE_CHECKING:
    from cdcd.ops.tracing import Tracing

log = get_logger()

# How often topics are looked for that are new.
CATALOG_SECONDS = 2.0
# How long reading waits for a table whose inbox is full before it goes on without it. Pausing
# throws away what the client has fetched ahead, so it is for tables that are stuck, not slow.
STALL_SECONDS = 0.2
# How long one idle fetch waits while a table is paused or waits for its positions.
BUSY_FETCH_SECONDS = 0.05
# How often the lag is looked at.
LAG_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sink is to do: the pipeline, this worker's name, how many lanes the source has, the
    directions with the tables, and the settings; `login` is for PostgreSQL, where it changes.
    """

    name: str
    instance: str
    lanes: int
    directions: Directions
    kafka: KafkaSettings
    registry: RegistrySettings
    postgres: PostgresSettings
    sink: SinkSettings
    dlq: DlqSettings
    tables: TableEntries = field(default_factory=dict)
    login: Callable[[], Login] | None = None
    tracing: "Tracing | None" = None


async def run(plan: Plan, board: Board) -> None:
    """Apply the pipeline's changes until cancelled."""
    schema = plan.postgres.target_schema
    async with AsyncExitStack() as opened:
        registry = await opened.enter_async_context(Registry(plan.registry))
        made = Pool(plan.postgres, f"cdcd {plan.name}", plan.login)
        pool = await opened.enter_async_context(made)
        await prepare_database(pool, schema)
        consumer = await opened.enter_async_context(
            ChangeConsumer(plan.kafka, plan.name, plan.instance)
        )
        requests = await opened.enter_async_context(Requests(plan.kafka, plan.name, plan.lanes))
        carrier = Carrier(pool, plan.kafka, plan.name, plan.instance, board)
        await carrier.make_topic()
        tools = Tools(
            plan.name,
            schema,
            plan.sink,
            plan.dlq,
            pool,
            registry,
            requests,
            board,
            carrier.tell,
            plan.tables,
            plan.tracing,
        )
        comparisons = Comparisons(pool, plan.name, plan.directions, board)
        sink = _Sink(plan, tools, consumer)
        async with asyncio.TaskGroup() as tasks:
            retry_seconds_max = plan.sink.retry_seconds_max
            tasks.create_task(carrier.run(retry_seconds_max))
            tasks.create_task(comparisons.run(retry_seconds_max))
            tasks.create_task(sink.follow_catalog(tasks))
            tasks.create_task(sink.feed())


class _Sink:
    """The tables of one worker, and the one loop that feeds them all."""

    def __init__(self, plan: Plan, tools: Tools, consumer: ChangeConsumer) -> None:
        self._plan = plan
        self._tools = tools
        self._consumer = consumer
        self._topics = Topics(plan.kafka)
        # Tables that are subscribed to, by topic, and what the catalog has found since.
        self._tables: dict[str, Table] = {}
        self._found: list[Table] = []
        self._running: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[str] = set()
        self._assigned: dict[str, set[Partition]] = {}
        self._paused: set[str] = set()
        self._held: set[str] = set()
        self._comeback = Comeback()
        self._unplaced: set[str] = set()
        self._place_after = 0.0
        self._place_attempt = 0
        self._lag_after = 0.0
        self._unread = Unread()
        # Whether the group is to divide all anew, and whether the dead letters are asked for now.
        self._divide_anew = self._asks_for_letters = False
        # Tables of which changes were left out, by topic.
        self._marked: dict[str, left_out.Mark] = {}

    async def follow_catalog(self, tasks: asyncio.TaskGroup) -> None:
        """Look for topics of the pipeline's tables, for ever, and make their targets."""
        board = self._tools.board
        backoff = Backoff(pause_seconds_max=self._plan.sink.retry_seconds_max)

        def report(_attempt: int, _pause_seconds: float, error: Transient) -> None:
            log.warning("looking for tables failed", exc_info=error)
            board.retried("sink", str(error))

        while True:
            await retrying(partial(self._look, tasks), backoff, on_retry=report)
            board.stage("sink", StageState.RUNNING)
            await asyncio.sleep(CATALOG_SECONDS)

    async def _look(self, tasks: asyncio.TaskGroup) -> None:
        """New tables, tables that are no longer the pipeline's, and stopped ones to try again."""
        directions = self._plan.directions.now
        known = self._tables.keys() | {t.topic for t in self._found}
        self._leaving |= {t for t in known if not directions.wants(self._name(t))}
        partitions = await self._topics.partitions()
        for topic in sorted(partitions.keys() - known):
            name = table_of_topic(self._plan.name, topic)
            if name is not None and directions.wants(name):
                await self._open(Table(name, topic, self._tools, self._comeback), tasks)
        if self._marked or any(t.is_stopped for t in self._tables.values()):
            await self._show_marks()
        for table in list(self._tables.values()):
            if await table.come_back():
                self._unplaced.add(table.topic)
        await self._find_unread(partitions)

    async def _find_unread(self, partitions: Mapping[str, int]) -> None:
        """Have the group divide anew what nobody reads."""
        wanted = {topic: partitions[topic] for topic in self._tables.keys() & partitions.keys()}
        if not self._unread.is_due(wanted, time.monotonic()):
            return
        unread = self._unread.look(wanted, await self._topics.read_by(group_of(self._plan.name)))
        if unread:
            log.info("nobody reads these topics: the group divides anew", topics=sorted(unread))
            self._divide_anew = True

    async def _show_marks(self) -> None:
        """Have tables say of which of them changes were left out, until a copy has mended that. A
        new mark is what a table that has stopped may have waited for.
        """
        marks = await left_out.marks(self._tools.pool, self._plan.name)
        before = self._marked
        self._marked = {topic: found for topic, found in marks.items() if topic in self._tables}
        for topic in before.keys() | self._marked.keys():
            if topic in self._tables and self._marked.get(topic) != before.get(topic):
                self._tables[topic].show_mark(self._marked.get(topic))
        if any(before.get(topic) != found for topic, found in self._marked.items()):
            self._comeback.hurry()

    async def _open(self, table: Table, tasks: asyncio.TaskGroup) -> None:
        if table.name in self._comeback and not self._comeback.is_due(table.name):
            return
        try:
            if not await table.open():
                return
        except TableStopped as error:
            table.stop(error)
            return
        except (Rejected, TargetBroken) as error:
            table.stop(TableStopped(table.name, str(error)))
            return
        self._running[table.topic] = tasks.create_task(table.run())
        self._found.append(table)

    def _name(self, topic: str) -> str:
        return table_of_topic(self._plan.name, topic) or topic

    async def feed(self) -> None:
        """Read and hand out, for ever. Only this loop calls the consumer."""
        while True:
            await self._subscribe()
            busy = self._paused or self._unplaced
            wait_seconds = BUSY_FETCH_SECONDS if busy else self._plan.sink.fetch_wait_seconds
            fetched = await self._consumer.fetch(self._plan.sink.batch_rows_max, wait_seconds)
            if fetched.assigned is not None:
                self._assign(fetched.assigned)
            self._hand_out(fetched)
            await self._place()
            await self._make_room()
            await self._commit()

    async def _subscribe(self) -> None:
        if not self._found and not self._leaving and not self._divide_anew:
            if not self._tables:
                await asyncio.sleep(BUSY_FETCH_SECONDS)
            return
        self._tables |= {table.topic: table for table in self._found}
        self._found = []
        for topic in self._leaving:
            self._leave(topic)
        self._leaving = set()
        if self._divide_anew:
            # Only a member that wants other topics than before makes the group divide anew; what it
            # gets of this one is not read.
            self._divide_anew, self._asks_for_letters = False, not self._asks_for_letters
        more = [dead_letter_topic(self._plan.name)] if self._asks_for_letters else []
        await self._consumer.subscribe([*self._tables, *more])

    def _leave(self, topic: str) -> None:
        """The table was removed from the pipeline; its target and its saved offsets stay."""
        table = self._tables.pop(topic)
        table.void()
        self._running.pop(topic).cancel()
        self._assigned.pop(topic, None)
        self._marked.pop(topic, None)
        for some in (self._paused, self._held, self._unplaced):
            some.discard(topic)
        self._comeback.recovered(table.name)
        self._tools.board.forget_table(table.name)
        log.info("a table was removed from the pipeline", table=table.name)

    def _assign(self, partitions: Iterable[Partition]) -> None:
        """The group has decided anew: whatever was read and not yet written is void."""
        self._assigned = {}
        self._unread.divided(time.monotonic())
        for partition in partitions:
            if partition.topic in self._tables:  # it may have left meanwhile
                self._assigned.setdefault(partition.topic, set()).add(partition)
        self._paused.clear()
        self._held.clear()
        for table in self._tables.values():
            table.void()
        self._unplaced = {t for t in self._assigned if not self._tables[t].is_stopped}
        self._place_after = 0.0

    def _hand_out(self, fetched: Fetched) -> None:
        tables, by_topic = self._tables, fetched.by_topic()
        for topic in by_topic.keys() & tables.keys():
            tables[topic].offer(by_topic[topic])
        for partition, offset in fetched.ends.items():
            if partition.topic in tables:
                tables[partition.topic].inbox.offer_end(partition.number, offset)
        for topic in {p.topic for p in fetched.gone} & tables.keys():
            # What was there when it was placed has been deleted since: placing it anew says so.
            tables[topic].void()
            self._unplaced.add(topic)

    async def _place(self) -> None:
        """Begin to read tables at their saved offsets, those that do not know where to."""
        lost = {t.topic for t in self._tables.values() if t.is_lost}
        if lost - self._unplaced:
            # Another worker was there: give the group time to say whose the partitions are.
            self._unplaced |= lost
            self._place_after = time.monotonic() + self._plan.kafka.session_timeout_seconds / 4
        if not self._unplaced or time.monotonic() < self._place_after:
            return
        try:
            await self._show_marks()
            for topic in sorted(self._unplaced):
                await self._begin(self._tables[topic])
            self._place_attempt = 0
        except Transient as error:
            backoff = Backoff(pause_seconds_max=self._plan.sink.retry_seconds_max)
            pause = backoff.pause_seconds(self._place_attempt)
            self._place_attempt += 1
            self._place_after = time.monotonic() + pause
            log.warning("reading the saved offsets failed", exc_info=error)
        await self._consumer.start(self._positions())
        # That resumes all of them: who must not be read is paused anew.
        self._paused.clear()
        self._held.clear()

    def _positions(self) -> dict[Partition, int]:
        return {
            Partition(table.topic, number): offset
            for table in self._tables.values()
            for number, offset in table.inbox.positions.items()
        }

    async def _begin(self, table: Table) -> None:
        partitions = self._assigned.get(table.topic, set())
        table.void()
        try:
            async with table.writing:
                saved = await offsets.read(self._tools.pool, self._plan.name, table.topic)
            facts = await self._topics.facts(table.topic)
            known = await offsets.identify(
                self._tools.pool, self._plan.name, table.topic, (facts.topic_id, facts.partitions)
            )
            table.describe(facts.retention_seconds, self._weak(facts))
            names, found = (table.name, table.topic), left_out.Saved(saved, known)
            await left_out.check_positions(self._topics, names, facts, found, partitions)
        except TableStopped as error:
            table.stop(error)
        else:
            table.inbox.begin({p.number: saved.get(p.number) for p in partitions})
            if table.name not in self._comeback:
                self._tools.board.table(table.name, TableState.RUNNING)
        self._unplaced.discard(table.topic)

    def _weak(self, facts: TopicFacts) -> list[str]:
        kafka = self._plan.kafka
        return facts.warnings(kafka.topic_retention_hours, kafka.topic_min_insync_replicas)

    async def _make_room(self) -> None:
        """Hold reading for full tables, shortly; then go on without them, and without those that
        stand still.
        """
        directions = self._plan.directions.now
        for topic, partitions in sorted(self._assigned.items()):
            table = self._tables[topic]
            table.hold(directions.pause_of(table.name, SINK))
            if table.is_stopped or table.is_held:
                if topic not in self._held:
                    self._held.add(topic)
                    self._paused.discard(topic)
                    await self._consumer.pause(partitions)
            elif topic in self._held:
                self._held.discard(topic)
                await self._consumer.resume(partitions)
            elif topic in self._paused:
                if table.inbox.has_room:
                    self._paused.discard(topic)
                    await self._consumer.resume(partitions)
            elif table.inbox.is_full and await self._is_stuck(table):
                self._paused.add(topic)
                await self._consumer.pause(partitions)

    async def _is_stuck(self, table: Table) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(STALL_SECONDS):
                while table.inbox.is_full:
                    table.taken.clear()
                    await table.taken.wait()
        return table.inbox.is_full

    async def _commit(self) -> None:
        applied: dict[Partition, int] = {}
        for table in self._tables.values():
            applied |= table.uncommitted
            table.uncommitted = {}
        await self._consumer.commit(applied)
        if time.monotonic() < self._lag_after:
            return
        self._lag_after = time.monotonic() + LAG_SECONDS
        waiting = {topic: table.inbox.rows for topic, table in self._tables.items()}
        for partition, records in (await self._consumer.behind(self._positions())).items():
            waiting[partition.topic] += records
        for topic, count in waiting.items():
            self._tools.board.waiting(self._tables[topic].name, count)
        now_ms = wall_clock_ms()
        for table in self._tables.values():
            if table.retention_seconds is not None:
                waited_seconds = (now_ms - (table.waiting_since_ms or now_ms)) / 1000
                headroom_seconds = table.retention_seconds - waited_seconds
                self._tools.board.topic_headroom(table.name, headroom_seconds)
