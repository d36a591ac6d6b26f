"""One table of the sink: from its inbox to its target, batch after batch.

One loop prepares and two write: the next batch is decoded, and the one before it copied, while
PostgreSQL works on this one. Batches are applied in order, each when the one before is done.
Whatever makes an inbox void changes its epoch; a batch of an older epoch is dropped. Changes that
cannot be written become dead letters, and the rest of their batch is applied; a flood of them stops
this table alone.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from cdcd.config.tables import settings_of, unknown_columns
from cdcd.model.control import Pause
from cdcd.model.errors import CdcdError, TableStopped, Transient
from cdcd.model.table import TableSpec
from cdcd.ops.board import wall_clock_ms
from cdcd.ops.comeback import Comeback
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff, retrying
from cdcd.ops.status import TableState
from cdcd.sink.batch import Batch, Refused, lay_storable
from cdcd.sink.batch_spans import BatchSpans, committing, preparing, told
from cdcd.sink.decode import Decoder, to_apply
from cdcd.sink.expiry import Sweeper
from cdcd.sink.inbox import Inbox, Slice
from cdcd.sink.left_out import Mark
from cdcd.sink.merge import BadValue
from cdcd.sink.offsets import OffsetsMoved
from cdcd.sink.pool import Rejected, TargetBroken
from cdcd.sink.refusals import Refusals
from cdcd.sink.schema import Place, prepare_targets
from cdcd.sink.target import Targets
from cdcd.sink.tools import Tools
from cdcd.sink.turns import NotYet, Turn, Turns, Void
from cdcd.sink.writer import Write, in_thread_if_long, is_copied, write
from cdcd.transport.records import IS_LATE, Partition, Record
from cdcd.transport.schema import table_from_schema

Result = TypeVar("Result")

log = get_logger()

BATCH_BYTES_MAX = 4 * 1024 * 1024
# An inbox holds the batch that is next and some more, so that reading and writing overlap.
INBOX_BATCHES = 2
# How soon the saved offset follows the end of an idle partition.
END_SECONDS = 5.0
# Batches that are written at the same time: one whose turn it is, and one that is copied meanwhile.
WRITERS = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that is ready to be written."""

    slice: Slice
    work: Write
    spans: BatchSpans | None


class Table:
    """A source table's way into its target. `name` is `keyspace.table`."""

    def __init__(self, name: str, topic: str, tools: Tools, comeback: Comeback) -> None:
        rows_max = tools.settings.batch_rows_max
        self.name = name
        self.topic = topic
        self.inbox = Inbox(rows_max * INBOX_BATCHES, BATCH_BYTES_MAX * INBOX_BATCHES)
        self.is_stopped = False
        # Held while a transaction runs: the saved offsets are to be read before it or after it.
        self.writing = asyncio.Lock()
        # Set when somebody else has moved the saved offsets, so they must be read again.
        self.is_lost = False
        self.taken = asyncio.Event()
        # How long the topic keeps records; not known before it is placed.
        self.retention_seconds: float | None = None
        self._waiting_since_ms: int | None = None
        # What is applied and not yet told to Kafka's group.
        self.uncommitted: dict[Partition, int] = {}
        # While operators hold it nothing is written; a batch that is on its way gets there.
        self._go = asyncio.Event()
        self._go.set()
        self._pause: Pause | None = None
        self._comeback = comeback
        self._tools = tools
        self._decoder = Decoder(tools.registry, name)
        self._targets: Targets | None = None
        # Of so many schemas that records have, the newest one is in the targets.
        self._followed = 0
        self._sweeper = Sweeper(tools.pool, tools.requests)
        self._refusals = Refusals(name, tools.dlq, tools.board, tools.carry)
        self._spec: TableSpec | None = None
        # What was said of schema and topic, which is said once.
        self._noted: set[str] = set()
        self._arrived = asyncio.Event()
        self._took_at = 0.0
        self._prepared: asyncio.Queue[Prepared] = asyncio.Queue(WRITERS)
        self._free_writers = asyncio.Semaphore(WRITERS)
        self._turns = Turns(self.writing)

    async def open(self) -> bool:
        """Make the target ready; False while the topic has no schema yet. Raises TableStopped."""
        if not await self._follow_schema():
            return False
        self._tools.board.table(self.name, TableState.RUNNING)
        self._comeback.recovered(self.name)
        return True

    def stop(self, error: TableStopped) -> None:
        """Go on no more, and say why; it is tried again after a while."""
        self.is_stopped = True
        self._waiting_since_ms = self.waiting_since_ms
        self.void()
        state = TableState.NEEDS_SNAPSHOT if error.needs_snapshot else TableState.STOPPED
        self._tools.board.table(self.name, state, str(error))
        if self._comeback.stopped(self.name, str(error)):
            log.error("a table is stopped", table=self.name, exc_info=error)

    def show_mark(self, found: Mark | None) -> None:
        """Say that changes were left out, until a copy has made that right."""
        state = TableState.RUNNING if found is None else TableState.NEEDS_SNAPSHOT
        why = "" if found is None else found.shown(self.name)
        self._tools.board.table(self.name, state, why, stage="sink copy")

    async def come_back(self) -> bool:
        """Whether a stopped table is to be read again, from its saved offsets. Raises Transient.

        It counts as stopped until it has written something, or there is nothing to write.
        """
        if not self.is_stopped:
            if self.name in self._comeback and not self.inbox.rows and self.inbox.positions:
                self._recover()
            return False
        if not self._comeback.is_due(self.name):
            return False
        try:
            self._spec = None  # the target is compared anew
            await self._follow_schema()
        except TableStopped as error:
            self.stop(error)
            return False
        except (Rejected, TargetBroken) as error:
            self.stop(TableStopped(self.name, str(error)))
            return False
        self.is_stopped = False
        return True

    def _recover(self) -> None:
        if self._comeback.recovered(self.name):
            log.info("a stopped table goes on", table=self.name)
            self._tools.board.table(self.name, TableState.RUNNING)

    def describe(self, retention_seconds: float, weak: Iterable[str]) -> None:
        """How long the topic keeps records, and which of its settings are weaker than cdcd's."""
        self.retention_seconds = retention_seconds
        for setting in weak:
            if setting not in self._noted:
                log.warning("a topic's setting", table=self.name, topic=self.topic, setting=setting)
                self._noted.add(setting)

    @property
    def waiting_since_ms(self) -> int | None:
        """The time of the oldest record that is known and not applied."""
        oldest_ms = self.inbox.oldest_ms
        return self._waiting_since_ms if self.is_stopped and oldest_ms is None else oldest_ms

    @property
    def is_held(self) -> bool:
        """Whether operators have paused it."""
        return not self._go.is_set()

    def hold(self, pause: Pause | None) -> None:
        """Stand still for a pause, or go on without one."""
        if pause == self._pause:
            return
        self._pause = pause
        state = TableState.RUNNING if pause is None else TableState.PAUSED
        why = "" if pause is None else str(pause)
        self._tools.board.table(self.name, state, why, stage="sink control")
        log.info("a table is paused" if pause else "a table is resumed", table=self.name)
        if pause is None:
            self._go.set()
        else:
            self._go.clear()

    def void(self) -> None:
        """Forget what was read; partitions are someone's to give anew."""
        self.inbox.clear()
        self.is_lost = False
        self.taken.set()

    def offer(self, records: Iterable[Record]) -> None:
        """Put in records that were read."""
        self.inbox.offer(*records)
        self._arrived.set()

    async def run(self) -> None:
        """Apply what arrives, for ever. Raises what is fatal for the whole stage."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._prepare_all())
            for _ in range(WRITERS):
                tasks.create_task(self._write_all())
            tasks.create_task(self._sweep())

    async def _prepare_all(self) -> None:
        while True:
            cut, tools = await self._next_slice(), self._tools
            spans = BatchSpans.of(tools.tracing, self.topic, tools.pipeline, cut.records)
            try:
                with told(spans, goes_on=True):
                    prepared = await self._retrying(partial(self._prepare, cut, spans), cut.epoch)
            except (TableStopped, Rejected, TargetBroken) as error:
                self._stop_in(cut.epoch, error)
                continue
            # One batch waits here, and none in the queue: they are what takes the memory.
            await self._free_writers.acquire()
            self._prepared.put_nowait(prepared)

    async def _write_all(self) -> None:
        while True:
            prepared = await self._prepared.get()
            # Nothing is awaited in between: turns are in the batches' order.
            with self._turns.next(partial(self._is_void, prepared.slice.epoch)) as turn:
                await self._write_in_turn(prepared, turn)
            self._free_writers.release()

    async def _write_in_turn(self, prepared: Prepared, turn: Turn) -> None:
        await self._go.wait()
        epoch = prepared.slice.epoch
        try:
            with told(prepared.spans):
                await self._retrying(partial(self._write, prepared, turn), epoch)
        except OffsetsMoved:
            self._lose(epoch)
        except (TableStopped, Rejected, TargetBroken) as error:
            self._stop_in(epoch, error)

    async def _sweep(self) -> None:
        """Have rows read again when something of them expires, for ever."""
        while True:
            targets = None if self.is_stopped or self.is_held else self._targets
            wait_seconds = END_SECONDS
            try:
                if targets is not None:
                    wait_seconds = await self._sweeper.sweep(targets, wall_clock_ms(), self.writing)
            except (Transient, Rejected, TargetBroken) as error:
                # Those who write the table meet the same, and say it.
                log.debug("looking for expired rows failed", table=self.name, exc_info=error)
            await self._sweeper.wait(min(wait_seconds, END_SECONDS))

    async def _next_slice(self) -> Slice:
        settings = self._tools.settings
        while True:
            if not self.inbox.rows:
                self._arrived.clear()
                # An idle table's saved offset follows the end of its partitions in a while.
                with suppress(TimeoutError):
                    async with asyncio.timeout(END_SECONDS):
                        await self._arrived.wait()
            if self.inbox.rows < settings.batch_rows_max:
                # The first change after a pause goes at once, a stream of them in batches.
                await asyncio.sleep(self._took_at + settings.batch_wait_seconds - time.monotonic())
            self._took_at = time.monotonic()
            cut = self.inbox.take(settings.batch_rows_max, BATCH_BYTES_MAX)
            self.taken.set()
            if cut.moves:
                return cut

    async def _prepare(self, cut: Slice, spans: BatchSpans | None) -> Prepared:
        with preparing(spans, cut.records):
            records = to_apply(cut.records)
            changes = await self._decoder.decode(records)
            if self._followed != self._decoder.schemas:
                await self._follow_schema()
                self._followed = self._decoder.schemas
            if self._targets is None:
                raise RuntimeError("the table is used before `open` was true")
            batch = Batch(self._targets, records, changes)
            lay = partial(lay_storable, batch, wall_clock_ms())
            done = await in_thread_if_long(len(records), lay)
            return Prepared(cut, Write(self.topic, cut.moves, *done), spans)

    async def _write(self, prepared: Prepared, turn: Turn) -> None:
        with suppress(Void):
            with self._tools.pool.ahead() as may_copy:
                if may_copy and is_copied(prepared.work) and not turn.has_come:
                    try:
                        await self._write_once(prepared, turn)
                    except (NotYet, Transient, TableStopped, TargetBroken):
                        # Before its turn this says nothing: whoever is before meets the same.
                        if turn.has_come:
                            raise
                    else:
                        return
            await turn.wait()
            await self._write_once(prepared, turn)

    async def _write_once(self, prepared: Prepared, turn: Turn) -> None:
        epoch, work = prepared.slice.epoch, prepared.work
        async with turn.taken() as come:
            with committing(prepared.spans, work.batch):
                dead = await self._commit(work, come)
            seconds = time.monotonic() - turn.came_at
        if work.laid is not None and work.laid.expires_ms is not None:
            self._sweeper.expect(work.laid.expires_ms)
        if epoch == self.inbox.epoch:
            self.inbox.done()
            self._recover()
            for move in prepared.slice.moves:
                self.uncommitted[Partition(self.topic, move.partition)] = move.next_offset
        self._refusals.tell(work.batch, dead, seconds)
        if late := sum(map(IS_LATE, prepared.slice.records)):
            self._tools.board.dropped(self.name, "late", late)

    async def _commit(self, work: Write, turn: Callable[[], Awaitable[None]]) -> list[Refused]:
        """Write a batch, and search it for the guilty if it is refused; gives the dead letters."""
        tools, limit = self._tools, self._refusals.limit
        ask = tools.requests.ask
        limit(len(work.dead) + len(work.batch.events), work.dead)
        if work.laid is not None:
            with suppress(Rejected, BadValue):
                return await write(tools.pool, tools.pipeline, work, ask, turn=turn)
        return await write(tools.pool, tools.pipeline, work, ask, limit, turn=turn)

    async def _follow_schema(self) -> bool:
        """Bring the target up to the registry's latest schema; False where there is none yet."""
        found = await self._tools.registry.latest(f"{self.topic}-value")
        if found is None:
            return False
        try:
            spec = table_from_schema(found[1])
        except ValueError as error:
            raise TableStopped(self.name, f"schema {found[0]}: {error}") from error
        if spec.full_name != self.name:
            raise TableStopped(self.name, f"its topic has the schema of {spec.full_name}")
        if spec != self._spec:
            tools = self._tools
            names = [c.name for c in spec.columns]
            unknown = unknown_columns(tools.tables, self.name, names)
            if unknown and self._targets is None:
                raise TableStopped(self.name, "; ".join(unknown), "mend the settings")
            place = Place(tools.pipeline, tools.target_schema, settings_of(tools.tables, self.name))
            prepared = await prepare_targets(tools.pool, spec, place)
            for note in prepared.notes:
                if note not in self._noted:
                    log.warning("the source's schema changed", table=self.name, note=note)
                    self._noted.add(note)
            self._targets, self._spec = prepared.targets, spec
        return True

    async def _retrying(self, operation: Callable[[], Awaitable[Result]], epoch: int) -> Result:
        """Try again while something is away, shown as a pause of the table."""
        paused = False

        def on_retry(_attempt: int, _pause: float, error: Transient) -> None:
            nonlocal paused
            if not paused:
                log.warning("a table waits", table=self.name, exc_info=error)
            paused = True
            if epoch == self.inbox.epoch:
                self._tools.board.table(self.name, TableState.PAUSED, str(error))

        backoff = Backoff(pause_seconds_max=self._tools.settings.retry_seconds_max)
        result = await retrying(operation, backoff, on_retry=on_retry)
        if paused and not self.is_stopped:
            log.info("a table goes on", table=self.name)
            self._tools.board.table(self.name, TableState.RUNNING)
        return result

    def _is_void(self, epoch: int) -> bool:
        """Whether what was read in that epoch is no longer to be written."""
        return epoch != self.inbox.epoch

    def _stop_in(self, epoch: int, error: CdcdError) -> None:
        """Stop for a batch, unless what was read has become void meanwhile."""
        if not self._is_void(epoch):
            if not isinstance(error, TableStopped):
                error = TableStopped(self.name, str(error))
            self.stop(error)

    def _lose(self, epoch: int) -> None:
        if self._is_void(epoch):
            return
        log.warning("another worker has applied this batch", table=self.name)
        # It may have been ourselves, where a commit's answer was lost.
        self._tools.carry()
        self.void()
        self.is_lost = True
