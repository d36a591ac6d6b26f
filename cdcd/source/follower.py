"""Follows one table: reads its windows one after the other and hands them on as batches."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from cdcd.config.settings import SourceSettings
from cdcd.model.change import Batch
from cdcd.model.errors import TableStopped, Transient
from cdcd.model.lane import LaneSet, lane_of
from cdcd.model.position import Generation, Position
from cdcd.model.refresh import Request
from cdcd.model.table import TableSpec
from cdcd.ops.board import Board, wall_clock_ms
from cdcd.ops.retry import Backoff
from cdcd.ops.status import StageState
from cdcd.source.agenda import Agenda
from cdcd.source.catalog import SourceTable
from cdcd.source.log_reader import LogReader, WindowTooWide
from cdcd.source.progress import Progress, Start, check_saved, first_position, missing
from cdcd.source.refresh import BaseReader
from cdcd.source.schema_watch import SchemaWatch
from cdcd.source.session import Session, StatementRefused
from cdcd.source.together import together
from cdcd.source.windows import Pace, next_width

STAGE = "source"

# Refreshes that are served in one stop of a table.
REFRESHES_AT_ONCE = 200


@dataclass(frozen=True)
class Surroundings:
    """What every table's follower shares in one worker."""

    session: Session
    settings: SourceSettings
    in_flight: asyncio.Semaphore
    schema: SchemaWatch
    board: Board
    start: Start
    lanes: LaneSet
    prepare: Callable[[TableSpec], Awaitable[None]]
    hand_on: Callable[[Batch], Awaitable[None]]


class Follower:
    """One table, from its saved positions on, for as long as this worker owns its lanes."""

    def __init__(self, saved: Mapping[int, Position], around: Surroundings) -> None:
        self._around = around
        self._saved = saved
        self._table: SourceTable
        self._generations: tuple[Generation, ...]
        self._schema_version: str
        self._reader: LogReader | None = None
        settings = around.settings
        self._pace = Pace(
            int(settings.window_seconds_min * 1000),
            int(settings.window_seconds_max * 1000),
            settings.window_rows,
        )
        self._idle_ms = int(settings.idle_window_seconds_max * 1000)
        self._width_ms = self._pause_ms = self._pace.min_ms
        self._saved_at_ms = 0
        self._agenda = Agenda()
        self._base: BaseReader | None = None
        self._asked = asyncio.Event()

    def ask(self, request: Request) -> None:
        """Put a refresh on the agenda."""
        self._agenda.add(request)
        self._asked.set()

    def update(
        self, table: SourceTable, generations: tuple[Generation, ...], schema_version: str
    ) -> None:
        """Take over what the catalog says now, before the first run too."""
        if self._reader is not None and table.spec != self._reader.table:
            self._reader = None
        self._table, self._generations = table, generations
        self._schema_version = schema_version

    async def run(self) -> None:
        """Read until cancelled. Raises TableStopped where this table cannot go on."""
        progress: Progress | None = None
        backoff, failed = Backoff(), 0
        while True:
            try:
                reader = self._reader or await self._prepare()
                progress = progress or await self._begin()
                wait_seconds = await self._step(progress, reader)
                due = self._agenda.due(wall_clock_ms(), REFRESHES_AT_ONCE)
                if due:
                    await self._refresh(due, progress, reader.table)
            except Transient as error:
                self._around.board.retried(STAGE, str(error))
                wait_seconds = backoff.pause_seconds(failed)
                failed += 1
            else:
                if failed:
                    self._around.board.stage(STAGE, StageState.RUNNING)
                failed = 0
            await self._pause(wait_seconds)

    async def _pause(self, wait_seconds: float) -> None:
        """Wait for the next window, or until a refresh is due."""
        self._asked.clear()
        limit_seconds = self._agenda.wait_seconds(wall_clock_ms(), wait_seconds)
        try:
            async with asyncio.timeout(limit_seconds):
                await self._asked.wait()
        except TimeoutError:
            return

    @property
    def _save_after_ms(self) -> int:
        """How old a saved position may get. A tenth of the log's life is left to start again in."""
        limit_seconds = self._around.settings.position_seconds_max
        ttl_seconds = self._table.options.ttl_seconds
        return int(min(limit_seconds, (ttl_seconds or limit_seconds * 10) / 10) * 1000)

    async def _prepare(self) -> LogReader:
        """A reader for the table as it is now, once its changes can be published."""
        around, spec = self._around, self._table.spec
        await around.prepare(spec)
        reader = LogReader(around.session, spec, around.settings, around.in_flight)
        if spec == self._table.spec:
            self._reader = reader
        return reader

    async def _begin(self) -> Progress:
        """The lanes' positions; those that are new are handed on at once, so that they are saved
        before anything is read, and a restart begins at the same place.
        """
        around = self._around
        now_ms = wall_clock_ms()
        for position in self._saved.values():
            check_saved(self._table, self._generations, position, now_ms)
        positions = dict(self._saved)
        new = missing(around.lanes.owned, self._saved)
        if new:
            head_ms = now_ms - int(around.settings.confidence_seconds * 1000)
            first = first_position(self._table, self._generations, around.start, head_ms)
            positions |= dict.fromkeys(new, first)
            await around.hand_on(Batch(self._table.spec, (), dict.fromkeys(new, first), save=True))
        return Progress(positions)

    async def _step(self, progress: Progress, reader: LogReader) -> float:
        """Read the next window, if one is due; gives the seconds to wait before the next step."""
        around, table, generations = self._around, self._table, self._generations
        version = self._schema_version
        now_ms = wall_clock_ms()
        for position in progress.positions.values():
            check_saved(table, generations, position, now_ms)
        head_ms = now_ms - int(around.settings.confidence_seconds * 1000)
        due_ms = progress.frontier_ms + self._pause_ms
        due = progress.window(generations, head_ms, self._width_ms)
        if due is None or head_ms < due_ms:
            return max(due_ms - head_ms, 1) / 1000
        generation, window = due
        lanes = LaneSet(progress.hindmost(), around.lanes.lanes)
        try:
            events = await reader.read(generation, lanes, window)
        except WindowTooWide:
            self._width_ms = (window.end_ms - window.start_ms) // 2
            return 0.0
        except StatementRefused as refused:
            name = table.spec.full_name
            raise TableStopped(name, refused.message, "is the table still there?") from refused
        if events and await around.schema.version_after_now() != version:
            around.schema.want_catalog()
            return self._pace.min_ms / 1000
        self._width_ms = next_width(self._width_ms, len(events), self._pace)
        self._pause_ms = self._pace.min_ms if events else min(self._pause_ms * 2, self._idle_ms)
        moved = progress.advance(lanes.owned, generation, window)
        save = now_ms - self._saved_at_ms >= self._save_after_ms
        if save:
            self._saved_at_ms = now_ms
        await around.hand_on(Batch(reader.table, events, moved, save=save))
        around.board.frontier(table.spec.full_name, progress.frontier_ms)
        return 0.0

    async def _refresh(
        self, due: Sequence[Request], progress: Progress, table: TableSpec
    ) -> None:
        """Serve requests. The table's lanes stand still from before the base is read until what it
        showed is committed: all changes at or past the frontier then come after the refresh, and
        what is below it and was not published is late, which asks for a refresh of its own.
        """
        around = self._around
        await self._hand_on_and_wait(Batch(table, (), {}))
        base = self._base_reader(table)
        now_ms = wall_clock_ms()
        reads = await together(base.read(r.scope, now_ms * 1000) for r in due)
        again = [
            replace(r, id=uuid4().hex, due_ms=now_ms + found.expires_in_seconds * 1000)
            for r, found in zip(due, reads, strict=True)
            if found.expires_in_seconds is not None
        ]
        events = [event for found in reads for event in found.events]
        lanes = {lane_of(r.token, around.lanes.lanes) for r in due}
        positions = {lane: progress.positions[lane] for lane in lanes}
        await self._hand_on_and_wait(Batch(table, events, positions, asked=again, served=due))
        self._agenda.remove(due)

    def _base_reader(self, table: TableSpec) -> BaseReader:
        if self._base is None or self._base.table != table:
            around = self._around
            page_rows = around.settings.page_rows
            self._base = BaseReader(around.session, table, page_rows, around.in_flight)
        return self._base

    async def _hand_on_and_wait(self, batch: Batch) -> None:
        """Return when the batch, and with it all before it, is committed."""
        committed = asyncio.Event()
        await self._around.hand_on(replace(batch, published=committed.set))
        await committed.wait()
