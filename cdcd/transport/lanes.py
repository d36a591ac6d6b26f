"""The lanes as the source stage sees them: assigned, lost, prepared for, published in."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from cdcd.config.settings import Settings
from cdcd.model.change import Batch
from cdcd.model.lane import Assignment, lane_of
from cdcd.model.position import Position
from cdcd.model.refresh import Request
from cdcd.model.table import TableSpec
from cdcd.ops.board import Board, wall_clock_ms
from cdcd.transport.lane_log import LaneLog, Worker
from cdcd.transport.publisher import Flush, Publisher, TableWriters
from cdcd.transport.registry import Registry
from cdcd.transport.thread import OneThread
from cdcd.transport.topics import Topics, lanes_topic

Positions = list[tuple[str, int, Position]]
Requests = list[tuple[int, Request]]


class PublishingLanes:
    """A lane log with a publisher."""

    def __init__(
        self,
        lane_log: LaneLog,
        publisher: Publisher,
        writers: TableWriters,
        board: Board,
    ) -> None:
        self._lane_log = lane_log
        self._publisher = publisher
        self._writers = writers
        self._board = board
        self._publishing = OneThread("publisher")

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        registry: Registry,
        board: Board,
    ) -> AsyncIterator[Self]:
        """Join the pipeline's lanes, whose topic is there. Raises Transient or Fatal."""
        worker = Worker(settings.name, settings.instance, settings.lanes)
        topics = Topics(settings.kafka)
        publisher = Publisher(settings.kafka, worker.id, lanes_topic(worker.pipeline))
        writers = TableWriters(worker.pipeline, topics, registry)
        async with LaneLog.open(settings.kafka, worker, topics) as lane_log:
            lanes = cls(lane_log, publisher, writers, board)
            try:
                await lanes._publishing.call(publisher.open)
                yield lanes
            finally:
                await lanes._publishing.call(publisher.close)
                lanes._publishing.close()

    async def assigned(self) -> Assignment:
        """Wait for the assignment that is in force, with its positions restored."""
        return await self._lane_log.assigned()

    async def lost(self, assignment: Assignment) -> None:
        """Wait until the assignment is no longer in force."""
        await self._lane_log.lost(assignment)

    async def requests(self, assignment: Assignment) -> Sequence[Request]:
        """Wait for requests that came after the assignment's own."""
        return await self._lane_log.requests(assignment)

    async def prepare(self, table: TableSpec) -> None:
        """Make the table's topic and register its schemas.

        Raises TableStopped for a schema that consumers of the one before could not read.
        """
        await self._writers.of(table)

    async def publish(self, assignment: Assignment, batches: Sequence[Batch]) -> None:
        """Commit the batches' changes and positions together.

        Raises LanesLost when the assignment is no longer in force; on Transient and Fatal the lanes
        must be opened again.
        """
        lanes = assignment.lanes.lanes
        positions = positions_due(batches, lanes)
        asked = [(lane_of(r.token, lanes), r) for b in batches for r in b.asked]
        served = [(lane_of(r.token, lanes), r) for b in batches for r in b.served]
        touched = {lane for _, lane, _ in positions} | {lane for lane, _ in (*asked, *served)}
        if touched:
            await self._commit(assignment, touched, batches, (positions, asked, served))
        for batch in batches:
            if batch.published is not None:
                batch.published()

    async def _commit(
        self,
        assignment: Assignment,
        touched: set[int],
        batches: Sequence[Batch],
        records: tuple[Positions, Requests, Requests],
    ) -> None:
        writers = [(await self._writers.of(b.table), b) for b in batches if b.events]
        offsets, group = self._lane_log.fence(assignment, touched)
        started = time.monotonic()
        flush = Flush(writers, *records, offsets, group)
        await self._publishing.call(self._publisher.publish, flush)
        self._board.transaction(time.monotonic() - started)
        now_ms = wall_clock_ms()
        for _, batch in writers:
            written_ms = (event.time_us // 1000 for event in batch.events)
            self._board.published(batch.table.full_name, written_ms, now_ms)


def positions_due(batches: Sequence[Batch], lanes: int) -> Positions:
    """The newest position of each lane that has changes or is to be saved, by table and lane."""
    due: set[tuple[str, int]] = set()
    newest: dict[tuple[str, int], Position] = {}
    for batch in batches:
        name = batch.table.full_name
        changed = {lane_of(event.token, lanes) for event in batch.events}
        newest |= {(name, lane): position for lane, position in batch.positions.items()}
        due |= {(name, lane) for lane in (batch.positions if batch.save else changed)}
    return [(*at, newest[at]) for at in sorted(due)]
