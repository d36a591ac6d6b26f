"""Follows one table: reads its windows one after the other and hands them on as batches.

Beside it a settler reads the log again. What the settler finds, and refreshes that were asked for,
are published at stops between windows.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from cdcd.model.change import Batch, ChangeEvent, Reading
from cdcd.model.destination import Destination, check_destination
from cdcd.model.errors import TableStopped, Transient, leading
from cdcd.model.fingerprint import cell_of
from cdcd.model.lane import LaneSet
from cdcd.model.position import Generation, Position
from cdcd.model.refresh import Request
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff, retrying
from cdcd.ops.status import StageState
from cdcd.source.auditing import Auditing, audit_delay_ms, with_audit
from cdcd.source.auditor import Auditor, Limits
from cdcd.source.catalog import SourceTable
from cdcd.source.confidence import Confidence
from cdcd.source.copying import copies_at_start
from cdcd.source.key_reader import KeyReader
from cdcd.source.lanes import streams_of
from cdcd.source.ledger import Ledger
from cdcd.source.listed import ListedRefreshes
from cdcd.source.log_reader import LogReader
from cdcd.source.progress import (
    Progress,
    Start,
    altered_unseen,
    check_saved,
    first_position,
    missing,
    oldest_position,
    save_after_ms,
)
from cdcd.source.refresh import BaseReader
from cdcd.source.scan import WindowTooWide
from cdcd.source.session import StatementRefused
from cdcd.source.settler import Settler, Tools, View
from cdcd.source.settling import Settling
from cdcd.source.standing import Readers, Standing
from cdcd.source.stops import Ground, Stops, requests_for
from cdcd.source.surroundings import STAGE, Saved, Surroundings
from cdcd.source.touched import ties
from cdcd.source.windows import Pace, generation_at, generations_to_settle, narrower, next_width

log = get_logger(stage=STAGE)

# Refused reads in a row, each with the catalog read anew, before a table is given up.
REFUSALS_MAX = 5
# How often a paused table looks at what its log's life leaves it.
HELD_SECONDS = 1.0


class Follower:
    """One table, from what was saved of it on, for as long as this worker owns its lanes."""

    def __init__(self, saved: Saved, around: Surroundings) -> None:
        self._around = around
        self._saved = saved
        self._table: SourceTable
        self._generations: tuple[Generation, ...]
        self._schema_version: str
        self._readers: Readers | None = None
        settings = around.settings
        self._pace = Pace(
            int(settings.window_seconds_min * 1000),
            int(settings.window_seconds_max * 1000),
            settings.window_rows,
        )
        self._width_ms = self._pause_ms = self._pace.min_ms
        self._saved_at_ms = self._committed_ms = 0
        self._confidence = Confidence(
            int(settings.confidence_seconds * 1000), int(settings.confidence_seconds_max * 1000)
        )
        self._standing: Standing | None = None
        self._stops = Stops(around)
        self._held = False

    def ask(self, request: Request) -> None:
        """Take in a request that was written."""
        self._stops.ask(request)

    def hold(self, *, held: bool) -> None:
        """Stand still, or go on. What is in flight is published; the log's life goes on."""
        self._held = held
        self._stops.wake()

    def update(
        self, table: SourceTable, generations: tuple[Generation, ...], schema_version: str
    ) -> None:
        """Take over what the catalog says now, before the first run too."""
        self._table, self._generations = table, generations
        self._schema_version = schema_version
        readers = self._readers
        if readers is not None:
            same = table.spec == readers.log.table
            self._readers = replace(readers, version=schema_version) if same else None

    def gap(self) -> Batch:
        """Positions that say that changes are missing from here on, whoever reads on and when."""
        standing = self._standing
        positions = standing.progress.positions if standing else self._saved.positions
        behind = {lane: replace(p, log_id="") for lane, p in positions.items()}
        return Batch(self._table.spec, (), behind, save=True)

    async def run(self) -> None:
        """Read until cancelled. Raises TableStopped where this table cannot go on."""
        standing = self._standing = await self._begin()
        tools = Tools(
            view=self._view,
            generations=lambda: self._around.generations(self._table),
            is_current=self._is_current,
            learn=self._confidence.learn,
            publish=self._stops.publish,
            published=self._around.published,
            board=self._around.board,
        )
        settler = Settler(standing.settling, standing.ledger, standing.listed, tools)
        limits = Limits(
            self._audit_delay_ms,
            lambda: self._table.options.ttl_seconds,
            standing.settling.horizon_ms,
            self._around.settings.identities_bytes_max,
        )
        auditor = Auditor(standing.auditing, tools, limits)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(standing))
                group.create_task(settler.run())
                group.create_task(auditor.run())
        except BaseExceptionGroup as failed:
            raise leading(failed) from failed

    def _view(self) -> View | None:
        """What a settling pass may look at: only what is committed, since it may have to read that
        back from where it went.
        """
        if self._readers is None or self._held:
            return None
        now_ms = self._around.clock.now_ms()
        readers, lanes = self._readers, self._around.lanes
        return View(readers.version, readers.log, readers.keys, lanes, self._committed_ms, now_ms)

    async def _begin(self) -> Standing:
        """Where the table stands. New lanes' positions are handed on at once, so that they are
        saved before anything is read, and a restart begins at the same place.
        """
        around, saved, now_ms = self._around, self._saved, self._around.clock.now_ms()
        lanes, destination = around.lanes.lanes, await self._destination()
        copied = self._to_reset(now_ms, destination)
        again = {lane for lane, p in saved.positions.items() if p.from_oldest} - copied
        reset = copied | again
        positions = {n: with_audit(p) for n, p in saved.positions.items() if n not in reset}
        unseen = {} if saved.is_back else saved.positions
        if altered_unseen(self._table, (p for n, p in unseen.items() if n not in copied)):
            log.warning(
                "a table was altered while nobody read it: changes are missing if its CDC was off",
                table=self._table.spec.full_name,
                hint="compare it: cdcd reconcile full",
            )
        new = missing(around.lanes.owned, positions)
        cells, merged = dict(saved.cells), dict(saved.merged)
        if new:
            begun = {lane: self._first(lane, now_ms, again=lane in again) for lane in new}
            first = {lane: replace(p, destination=destination) for lane, p in begun.items()}
            positions |= first
            # What was published before a lane's new beginning is not looked at again. The cell that
            # it begins in is, all of it, and its fingerprint says what was published of that. Lanes
            # that are read again from the oldest change begin without any.
            begins = {lane: cell_of(first[lane].settled_ms) for lane in copied}
            gone = dict.fromkeys(c for c in cells if c[0] in again or c[1] < begins.get(c[0], c[1]))
            cells = {cell: each for cell, each in cells.items() if cell not in gone}
            unread = new - again - self._stops.begun_anew
            to_copy = LaneSet(unread if around.start is Start.SNAPSHOT else frozenset(), lanes)
            asked = copies_at_start(self._table.spec.full_name, to_copy, now_ms)
            unmerged = dict.fromkeys(cell for cell in merged if cell[0] in reset)
            merged = {cell: each for cell, each in merged.items() if cell not in unmerged}
            batch = Batch(self._table.spec, (), first, save=True, cells=gone, asked=asked)
            await around.hand_on(replace(batch, merged=unmerged))
        # What an older release has saved does not say where its changes went.
        positions = {lane: replace(p, destination=destination) for lane, p in positions.items()}
        self._committed_ms = min(position.frontier_ms for position in positions.values())
        settled = {lane: position.settled_ms for lane, position in positions.items()}
        settings = around.settings
        delays_ms = [int(s * 1000) for s in settings.settle_delays_seconds]
        return Standing(
            Progress(positions),
            Settling(delays_ms, min(settled.values())),
            Ledger(cells, settled, lanes, settings.identities_bytes_max),
            ListedRefreshes(saved.listed, lanes, settings.refreshes_listed_max),
            Auditing(merged, positions, lanes),
        )

    async def _destination(self) -> Destination | None:
        """Where the changes go, as soon as it is known. Raises TableStopped."""

        def on_retry(_attempt: int, _pause: float, error: Transient) -> None:
            self._around.board.retried(STAGE, str(error))

        ask = partial(self._around.destination, self._table.spec)
        return await retrying(ask, Backoff(), on_retry=on_retry)

    def _to_reset(self, now_ms: int, destination: Destination | None) -> frozenset[int]:
        """The lanes whose position is to be made anew: changes are missing, and all of the lane is
        to be copied. Raises TableStopped where changes are missing and it is not.
        """
        copied = self._stops.begun_anew
        reset = set(copied) if self._saved.has_gap else set()
        for lane, position in self._saved.positions.items():
            try:
                check_saved(self._table, self._generations, position, now_ms)
                # Lanes that are read again from the oldest change leave nothing behind.
                before = destination if position.from_oldest else position.destination
                check_destination(self._table.spec.full_name, before, destination)
            except TableStopped:
                if lane not in copied:
                    raise
                reset.add(lane)
        return frozenset(reset)

    def _first(self, lane: int, now_ms: int, *, again: bool) -> Position:
        """Where a lane begins: behind what was published already, if anything was and it is not to
        be read again.
        """
        before = self._saved.positions.get(lane)
        if again and before is not None:
            first = oldest_position(self._table, self._generations, before, now_ms)
            return with_audit(replace(first, audited_ms=0))
        start = self._around.start if before is None else Start.SNAPSHOT
        distance_ms = self._confidence.distance_ms
        if start is Start.SNAPSHOT:
            # A log row may be visible one settle delay after its time, its base mutation another
            # one later: what is older than both is in the base by now.
            distance_ms = int(max(self._around.settings.settle_delays_seconds) * 2000)
        first = first_position(self._table, self._generations, start, now_ms - distance_ms)
        if before is None or not first.frontier_ms < before.frontier_ms < now_ms:
            return with_audit(first)
        frontier_ms = before.frontier_ms
        generation = generation_at(self._generations, frontier_ms) or self._generations[0]
        return with_audit(Position(first.log_id, generation.start_ms, frontier_ms, frontier_ms))

    async def _follow(self, standing: Standing) -> None:
        backoff, failed, refused_times = Backoff(), 0, 0
        while True:
            try:
                readers = self._readers or await self._prepare()
                wait_seconds = await self._step(standing, readers)
                if not self._held:
                    await self._stops.serve(self._ground(standing, readers))
            except StatementRefused as refused:
                # A column or the table itself was dropped since the catalog was read.
                refused_times += 1
                if refused_times > REFUSALS_MAX:
                    name = self._table.spec.full_name
                    hint = "is the table still there?"
                    raise TableStopped(name, refused.message, hint) from refused
                self._readers = None
                self._around.schema.want_catalog()
                await asyncio.sleep(backoff.pause_seconds(refused_times))
                continue
            except Transient as error:
                self._around.board.retried(STAGE, str(error))
                await asyncio.sleep(backoff.pause_seconds(failed))
                failed += 1
                continue
            if failed:
                self._around.board.stage(STAGE, StageState.RUNNING)
            failed = refused_times = 0
            await self._stops.pause(wait_seconds, held=self._held)

    def _audit_delay_ms(self) -> int | None:
        settings, ttl_seconds = self._around.settings, self._table.options.ttl_seconds
        horizon_ms = int(max(settings.settle_delays_seconds) * 1000)
        return audit_delay_ms(settings.audit_delay_seconds, horizon_ms, ttl_seconds)

    async def _prepare(self) -> Readers:
        """Readers for the table as it is now, once its changes can be published."""
        around, spec, version = self._around, self._table.spec, self._schema_version
        await around.prepare(spec)
        settings, in_flight = around.settings, around.in_flight
        base = BaseReader(around.session, spec, settings.page_rows, in_flight)
        full = base if around.full_rows(spec.full_name) else None
        log = LogReader(around.session, spec, settings, in_flight, full)
        readers = Readers(version, log, KeyReader(around.session, spec, settings, in_flight), base)
        if version == self._schema_version:
            self._readers = readers
        return readers

    async def _is_current(self, version: str) -> bool:
        """Whether the schema is still of that version; if not, the catalog is read anew."""
        if await self._around.schema.version_after_now() == version:
            return True
        self._around.schema.want_catalog()
        return False

    async def _step(self, standing: Standing, readers: Readers) -> float:
        """Read the next window, if one is due; gives the seconds to wait before the next step."""
        around, table, generations = self._around, self._table, self._generations
        progress, now_ms = standing.progress, around.clock.now_ms()
        progress.keep(table.options.ttl_seconds, now_ms)
        for position in progress.positions.values():
            check_saved(table, generations, position, now_ms)
        if self._held:
            around.idling.forget(table.spec.full_name)
            self._report(standing, now_ms)
            return HELD_SECONDS
        head_ms = now_ms - self._confidence.distance_ms
        watched = self._stops.is_watched
        due_ms = progress.frontier_ms + around.idling.pause_ms(self._pause_ms, is_watched=watched)
        due = progress.window(generations, head_ms, self._width_ms)
        if due is None or head_ms < due_ms:
            return max(due_ms - head_ms, 1) / 1000
        generation, window = due
        lanes = LaneSet(progress.hindmost(), around.lanes.lanes)
        began_ns = time.time_ns()
        try:
            read = await readers.log.read(streams_of(generation, lanes), lanes, window)
        except WindowTooWide:
            self._width_ms = narrower(window)
            return 0.0
        reading = Reading(window, read.rows, began_ns, time.time_ns())
        events = read.events
        if events and not await self._is_current(readers.version):
            return self._pace.min_ms / 1000
        self._width_ms = next_width(self._width_ms, read.weight, self._pace)
        around.idling.read(table.spec.full_name, read.queries, is_idle=not events)
        self._pause_ms = self._pace.min_ms if events else around.idling.longer_ms(self._pause_ms)
        # No await from here to the batch: the settler must not see a frontier whose rows the
        # ledger does not have yet.
        progress.advance(lanes.owned, generation, window)
        # A late first reading counts as settling when it read all that a pass would read.
        needed = generations_to_settle(generations, window, standing.settling.horizon_ms)
        if lanes.owned == around.lanes.owned and needed == [generation]:
            standing.settling.read_first(window, now_ms)
            standing.auditing.read_first(window, now_ms, self._audit_delay_ms())
        batch = self._batch(standing, readers, events)
        committed = partial(self._commit, progress.frontier_ms)
        asked = requests_for(table.spec.full_name, ties(events))
        await around.hand_on(replace(batch, asked=asked, published=committed, reading=reading))
        self._report(standing, now_ms)
        return 0.0

    def _commit(self, frontier_ms: int) -> None:
        self._committed_ms = max(self._committed_ms, frontier_ms)

    def _report(self, standing: Standing, now_ms: int) -> None:
        board, name = self._around.board, self._table.spec.full_name
        frontier_ms, ttl_seconds = standing.progress.frontier_ms, standing.progress.ttl_seconds
        board.frontier(name, frontier_ms)
        board.settled(name, standing.settling.settled_ms)
        if ttl_seconds:
            board.headroom(name, ttl_seconds - (now_ms - frontier_ms) / 1000)

    def _batch(self, standing: Standing, readers: Readers, events: Sequence[ChangeEvent]) -> Batch:
        """The events with the fingerprints and positions that go with them. Now and then all
        positions are saved, and what has settled is removed.
        """
        settled_ms = standing.settling.settled_ms
        cells, now_ms = standing.ledger.add(events, settled_ms), self._around.clock.now_ms()
        auditing = standing.auditing
        if self._audit_delay_ms() is None:
            auditing.pass_over(settled_ms)
        merged = auditing.add(events, settled_ms, now_ms)
        positions = standing.progress.settled(settled_ms, auditing.audited_ms)
        batch = Batch(readers.log.table, events, positions, cells=cells, merged=merged)
        limit_seconds = self._around.settings.position_seconds_max
        ttl_seconds, is_watched = self._table.options.ttl_seconds, self._stops.is_watched
        if now_ms - self._saved_at_ms < save_after_ms(
            limit_seconds, ttl_seconds, is_watched=is_watched
        ):
            return batch
        self._saved_at_ms = now_ms
        settled = standing.ledger.settle(settled_ms)
        merged |= auditing.merge(settled, settled_ms, now_ms)
        return replace(
            batch,
            save=True,
            cells={**dict.fromkeys(settled), **cells},
            merged={**merged, **dict.fromkeys(auditing.forget())},
            listed=standing.listed.settle(settled_ms),
        )

    def _ground(self, standing: Standing, readers: Readers) -> Ground:
        return Ground(
            standing.progress,
            standing.listed,
            standing.settling.horizon_ms,
            self._around.clock.now_ms() - self._confidence.distance_ms,
            readers.base,
            partial(self._batch, standing, readers),
            partial(self._is_current, readers.version),
        )
