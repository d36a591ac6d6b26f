"""The lanes as the source stage sees them: assigned, lost, prepared for, published in."""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from cdcd.config.settings import Settings
from cdcd.model.change import Batch
from cdcd.model.destination import GONE, Destination, check_destination
from cdcd.model.lane import Assignment, lane_of, lanes_of
from cdcd.model.position import Position
from cdcd.model.published import Sought, TakePublished
from cdcd.model.refresh import Copied, Request
from cdcd.model.table import TableSpec
from cdcd.ops.board import Board, wall_clock_ms
from cdcd.ops.logs import get_logger
from cdcd.ops.status import TableState
from cdcd.transport.flush_spans import FlushSpans
from cdcd.transport.lane_log import LaneLog, Worker
from cdcd.transport.lane_records import (
    cell_key,
    copied_key,
    encode_cell,
    encode_copied,
    encode_listed,
    encode_merged,
    encode_position,
    encode_request,
    listed_key,
    merged_key,
    position_key,
    request_key,
)
from cdcd.transport.masks import Masks
from cdcd.transport.publisher import Flush, LaneWrite, Publisher, TableWriters
from cdcd.transport.read_back import Place, read_back
from cdcd.transport.registry import Registry
from cdcd.transport.thread import OneThread, calls_seconds_max
from cdcd.transport.topics import Topics, change_topic, lanes_topic

if TYPE_CHECKING:
    from cdcd.ops.tracing import Tracing

log = get_logger()

# How often the topics that are published in are looked at.
TOPICS_SECONDS = 5.0


class PublishingLanes:
    """A lane log with a publisher."""

    def __init__(
        self,
        settings: Settings,
        lane_log: LaneLog,
        publisher: Publisher,
        registry: Registry,
        board: Board,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._settings = settings
        self._lane_log = lane_log
        self._publisher = publisher
        self._registry = registry
        self._board = board
        self._tracing = tracing
        self._topics = Topics(settings.kafka)
        self._writers = TableWriters(settings.name, self._topics, registry, settings.tables)
        self._masks = Masks(settings)
        limit_seconds = calls_seconds_max(settings.kafka)
        self._publishing = OneThread("publisher", limit_seconds, lambda: publisher.deadline)
        # What the topics of the tables were when they were last looked at, by name.
        self._destinations: dict[str, Destination] = {}
        self._looked_at = time.monotonic()
        self._owned: frozenset[int] = frozenset()
        # The last copies that ended, by table and lane.
        self._copied: dict[str, dict[int, Copied]] = {}
        # Tables of which rows may show what masks that are no more have made.
        self._masked_before: set[str] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        registry: Registry,
        board: Board,
        tracing: "Tracing | None" = None,
    ) -> AsyncIterator[Self]:
        """Join the pipeline's lanes, whose topic is there. Raises Transient or Fatal."""
        worker = Worker(settings.name, settings.instance, settings.lanes)
        async with LaneLog.open(settings.kafka, worker, Topics(settings.kafka)) as lane_log:
            topic, stood_still = lanes_topic(settings.name), lane_log.stood_still
            publisher = Publisher(
                settings.kafka, worker.id, topic, stood_still, is_traced=tracing is not None
            )
            lanes = cls(settings, lane_log, publisher, registry, board, tracing)
            try:
                await lanes._publishing.call(publisher.open)
                yield lanes
            finally:
                if not lanes._publishing.is_stuck:
                    await lanes._publishing.call(publisher.close)
                lanes._publishing.close()

    async def assigned(self) -> Assignment:
        """Wait for the assignment that is in force, with its positions restored. Raises Transient
        where nothing can be published, before it waits for what the publisher has left open.
        """
        self._publishing.require()
        assignment = await self._lane_log.assigned()
        self._owned = assignment.lanes.owned
        self._copied = defaultdict(dict, {n: dict(by) for n, by in assignment.copied.items()})
        self._writers.forget()
        return assignment

    async def lost(self, assignment: Assignment) -> None:
        """Wait until the assignment is no longer in force."""
        await self._lane_log.lost(assignment)

    async def requests(self, assignment: Assignment) -> Sequence[Request]:
        """Wait for requests that came after the assignment's own. What is published once a copy was
        seen goes by the topic as it is then: behind a copy that was served no row's changes are in
        two partitions.
        """
        found = await self._lane_log.requests(assignment)
        self._writers.forget({request.table for request in found if request.copy is not None})
        return found

    async def restored(self, assignment: Assignment) -> Assignment:
        """What is saved now for the lanes of the assignment."""
        return await self._lane_log.restored(assignment)

    async def published(self, table: TableSpec, sought: Sought, take: TakePublished) -> bool:
        """Hand on the table's published rows that are sought, from its topic."""
        place = Place(self._topics, self._registry, change_topic(self._settings.name, table))
        await read_back(self._settings.kafka, place, sought, take)
        return True

    async def destination(self, table: TableSpec) -> Destination:
        """Where the changes of the table go; its topic is made if it is not there."""
        found = await self._writers.destination(table)
        self._destinations[change_topic(self._settings.name, table)] = found
        return found

    async def prepare(self, table: TableSpec) -> None:
        """Make the table's topic and register its schemas.

        Raises TableStopped for a schema that consumers of the one before could not read, and for
        masks that the table cannot have.
        """
        writer = await self._writers.of(self._masks.of(table).table)
        self._judge_masks(table.full_name, writer.remasked_ms)

    def _judge_masks(self, name: str, remasked_ms: int) -> None:
        """Say whether rows may show what was made by masks that are no more."""
        stage = "masking"
        if uncopied(self._owned, self._copied.get(name, {}), remasked_ms):
            why = f"{name}: its masks or their key are new: older rows have what was made before"
            hint = f"cdcd backfill {name}"
            self._board.table(name, TableState.NEEDS_SNAPSHOT, f"{why} ({hint})", stage=stage)
            if name not in self._masked_before:
                log.warning("masks or their key are new", table=name, hint=hint)
            self._masked_before.add(name)
        elif name in self._masked_before:
            self._masked_before.discard(name)
            self._board.table(name, TableState.RUNNING, stage=stage)
            log.info("the table was copied with its new masks", table=name)

    async def publish(self, assignment: Assignment, batches: Sequence[Batch]) -> None:
        """Commit the batches' changes and positions together.

        Raises LanesLost when the assignment is no longer in force; on Transient and Fatal the lanes
        must be opened again. Raises TableStopped when nothing was, because of one table.
        """
        batches = [self._masks.masked(batch) for batch in batches]
        writes = lane_writes(batches, assignment.lanes.lanes)
        if writes:
            await self._check_destinations(batches)
            await self._commit(assignment, writes, batches)
        for batch in batches:
            await self._take_copied(batch, assignment.lanes.lanes)
            if batch.published is not None:
                batch.published()

    async def _check_destinations(self, batches: Sequence[Batch]) -> None:
        """Raise TableStopped where a topic is another one than that which the positions are of."""
        if time.monotonic() > self._looked_at + TOPICS_SECONDS:
            names = list(self._destinations)
            found = await self._topics.destinations(names)
            self._destinations |= {name: found.get(name, GONE) for name in names}
            self._looked_at = time.monotonic()
        for batch in batches:
            now = self._destinations.get(change_topic(self._settings.name, batch.table))
            for position in batch.positions.values() if batch.events else ():
                check_destination(batch.table.full_name, position.destination, now)

    async def _take_copied(self, batch: Batch, lanes: int) -> None:
        for copied in batch.copied:
            self._copied[copied.table][lane_of(copied.token, lanes)] = copied
        if batch.copied:
            writer = await self._writers.of(batch.table)
            self._judge_masks(batch.table.full_name, writer.remasked_ms)

    async def _commit(
        self, assignment: Assignment, writes: Sequence[LaneWrite], batches: Sequence[Batch]
    ) -> None:
        writers = [(await self._writers.of(b.table), b) for b in batches if b.events]
        offsets, group = self._lane_log.fence(assignment, {write.lane for write in writes})
        started = time.monotonic()
        spans = FlushSpans.begin(self._tracing, lanes_topic(self._settings.name), batches)
        flush = Flush(writers, writes, offsets, group, spans)
        await self._publishing.call(self._publisher.publish, flush)
        self._board.transaction(time.monotonic() - started)
        now_ms = wall_clock_ms()
        for _, batch in writers:
            written_us = [event.time_us for event in batch.events]
            self._board.published(batch.table.full_name, written_us, now_ms)


def uncopied(
    owned: Iterable[int], copied: Mapping[int, Copied], remasked_ms: int
) -> frozenset[int]:
    """The lanes whose rows were not all copied since the masks or their key became others; `copied`
    are the lanes' last copies, and `remasked_ms` is 0 where the masks are the first ones.
    """
    if not remasked_ms:
        return frozenset()
    whole = {n for n, each in copied.items() if not each.cancelled and each.began_ms > remasked_ms}
    return frozenset(owned) - whole


def lane_writes(batches: Sequence[Batch], lanes: int) -> list[LaneWrite]:
    """What the batches leave in the lanes topic, the newest of each key."""
    newest: dict[tuple[int, bytes], bytes | None] = {}
    for (name, lane), position in positions_due(batches, lanes).items():
        newest[lane, position_key(name)] = encode_position(position)
    for batch in batches:
        name = batch.table.full_name
        for (lane, start), fingerprint in batch.cells.items():
            value = None if fingerprint is None else encode_cell(fingerprint)
            newest[lane, cell_key(name, start)] = value
        for (lane, start), merged in batch.merged.items():
            value = None if merged is None else encode_merged(merged)
            newest[lane, merged_key(name, start)] = value
        for listed, keep in batch.listed:
            lane = lane_of(listed.token, lanes)
            newest[lane, listed_key(listed.id)] = encode_listed(listed) if keep else None
        for request in batch.served:
            newest[lane_of(request.token, lanes), request_key(request.id)] = None
        for copied in batch.copied:
            lane = lane_of(copied.token, lanes)
            newest[lane, copied_key(copied.table)] = encode_copied(copied)
        # A request may be asked for again in the batch that serves it.
        for request in batch.asked:
            lane = lane_of(request.token, lanes)
            newest[lane, request_key(request.id)] = encode_request(request)
    return [LaneWrite(lane, key, value) for (lane, key), value in newest.items()]


def positions_due(batches: Sequence[Batch], lanes: int) -> dict[tuple[str, int], Position]:
    """The newest position of each lane that has changes or is to be saved, by table and lane."""
    due: set[tuple[str, int]] = set()
    newest: dict[tuple[str, int], Position] = {}
    for batch in batches:
        name = batch.table.full_name
        changed = set(lanes_of((event.token for event in batch.events), lanes))
        newest |= {(name, lane): position for lane, position in batch.positions.items()}
        due |= {(name, lane) for lane in (batch.positions if batch.save else changed)}
    return {at: newest[at] for at in sorted(due)}
