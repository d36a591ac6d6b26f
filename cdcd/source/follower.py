"""Follows one table: reads its windows one after the other and hands them on as batches.

Beside it a settler reads the log again. What the settler finds, and refreshes that were asked for,
are published at a stop: the table's lanes stand still from before the base is read until what it
showed is committed. All changes at or past the frontier then come after the refresh; what is below
it and was not published is late, and is itself refreshed.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from uuid import uuid4

from cdcd.model.change import Batch, ChangeEvent
from cdcd.model.errors import TableStopped, Transient, leading
from cdcd.model.lane import LaneSet, lane_of
from cdcd.model.position import Generation
from cdcd.model.refresh import Request
from cdcd.model.touched import touched
from cdcd.ops.retry import Backoff
from cdcd.ops.status import StageState
from cdcd.source.agenda import Agenda
from cdcd.source.catalog import SourceTable
from cdcd.source.confidence import Confidence
from cdcd.source.key_reader import KeyReader
from cdcd.source.lanes import streams_of
from cdcd.source.ledger import Ledger
from cdcd.source.listed import ListedRefreshes, listing
from cdcd.source.log_reader import LogReader
from cdcd.source.progress import Progress, check_saved, first_position, missing
from cdcd.source.refresh import BaseReader
from cdcd.source.scan import WindowTooWide
from cdcd.source.session import StatementRefused
from cdcd.source.settler import Found, Settler, Tools, View
from cdcd.source.settling import Settling
from cdcd.source.surroundings import STAGE, Saved, Surroundings
from cdcd.source.together import together
from cdcd.source.touched import Touched, ties
from cdcd.source.windows import Pace, generations_to_settle, narrower, next_width

# Refreshes that are served in one stop of a table.
REFRESHES_AT_ONCE = 200
# Refused reads in a row, each with the catalog read anew, before a table is given up.
REFUSALS_MAX = 5
# A lane that is further behind the clock than this may pass the settling of what it refreshes.
BEHIND_MS = 2000
# How often a paused table looks at what its log's life leaves it.
HELD_SECONDS = 1.0


@dataclass(frozen=True)
class Readers:
    """The readers of a table as it was at one version of the schema."""

    version: str
    log: LogReader
    keys: KeyReader
    base: BaseReader


@dataclass(frozen=True)
class Standing:
    """Where a table stands, in memory ahead of what is saved."""

    progress: Progress
    settling: Settling
    ledger: Ledger
    listed: ListedRefreshes


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
        self._idle_ms = int(settings.idle_window_seconds_max * 1000)
        self._width_ms = self._pause_ms = self._pace.min_ms
        self._saved_at_ms = self._committed_ms = 0
        self._confidence = Confidence(
            int(settings.confidence_seconds * 1000), int(settings.confidence_seconds_max * 1000)
        )
        self._agenda = Agenda()
        self._standing: Standing | None = None
        self._found: list[tuple[Found, asyncio.Event]] = []
        self._woken = asyncio.Event()
        self._held = False

    def ask(self, request: Request) -> None:
        """Put a refresh on the agenda."""
        self._agenda.add(request)
        self._woken.set()

    def hold(self, *, held: bool) -> None:
        """Stand still, or go on. What is in flight is published; the log's life goes on."""
        self._held = held
        self._woken.set()

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
            publish=self._at_a_stop,
            published=self._around.published,
            board=self._around.board,
        )
        settler = Settler(standing.settling, standing.ledger, standing.listed, tools)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(standing))
                group.create_task(settler.run())
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

    async def _at_a_stop(self, found: Found) -> None:
        """Have what a pass found published at the next stop, and return when it is committed."""
        done = asyncio.Event()
        self._found.append((found, done))
        self._woken.set()
        await done.wait()

    async def _begin(self) -> Standing:
        """Where the table stands. New lanes' positions are handed on at once, so that they are
        saved before anything is read, and a restart begins at the same place.
        """
        around, saved, now_ms = self._around, self._saved, self._around.clock.now_ms()
        for position in saved.positions.values():
            check_saved(self._table, self._generations, position, now_ms)
        positions = dict(saved.positions)
        new = missing(around.lanes.owned, positions)
        if new:
            head_ms = now_ms - self._confidence.distance_ms
            first = first_position(self._table, self._generations, around.start, head_ms)
            positions |= dict.fromkeys(new, first)
            batch = Batch(self._table.spec, (), dict.fromkeys(new, first), save=True)
            await around.hand_on(batch)
        self._committed_ms = min(position.frontier_ms for position in positions.values())
        settled = {lane: position.settled_ms for lane, position in positions.items()}
        settings, lanes = around.settings, around.lanes.lanes
        return Standing(
            Progress(positions),
            Settling(
                [int(s * 1000) for s in settings.settle_delays_seconds], min(settled.values())
            ),
            Ledger(saved.cells, settled, lanes, settings.identities_bytes_max),
            ListedRefreshes(saved.listed, lanes, settings.refreshes_listed_max),
        )

    async def _follow(self, standing: Standing) -> None:
        backoff, failed, refused_times = Backoff(), 0, 0
        while True:
            try:
                readers = self._readers or await self._prepare()
                wait_seconds = await self._step(standing, readers)
                if not self._held:
                    await self._stop(standing, readers)
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
            await self._pause(wait_seconds)

    async def _pause(self, wait_seconds: float) -> None:
        """Wait for the next window, or until there is something to do at a stop."""
        self._woken.clear()
        limit_seconds = self._agenda.wait_seconds(self._around.clock.now_ms(), wait_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                await self._woken.wait()

    @property
    def _save_after_ms(self) -> int:
        """How old a saved position may get. A tenth of the log's life is left to start again in."""
        limit_seconds = self._around.settings.position_seconds_max
        ttl_seconds = self._table.options.ttl_seconds
        return int(min(limit_seconds, (ttl_seconds or limit_seconds * 10) / 10) * 1000)

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
        for position in progress.positions.values():
            check_saved(table, generations, position, now_ms)
        if self._held:
            self._report(standing, now_ms)
            return HELD_SECONDS
        head_ms = now_ms - self._confidence.distance_ms
        due_ms = progress.frontier_ms + self._pause_ms
        due = progress.window(generations, head_ms, self._width_ms)
        if due is None or head_ms < due_ms:
            return max(due_ms - head_ms, 1) / 1000
        generation, window = due
        lanes = LaneSet(progress.hindmost(), around.lanes.lanes)
        try:
            read = await readers.log.read(streams_of(generation, lanes), lanes, window)
        except WindowTooWide:
            self._width_ms = narrower(window)
            return 0.0
        events = read.events
        if events and not await self._is_current(readers.version):
            return self._pace.min_ms / 1000
        self._width_ms = next_width(self._width_ms, read.rows, self._pace)
        self._pause_ms = self._pace.min_ms if events else min(self._pause_ms * 2, self._idle_ms)
        # No await from here to the batch: the settler must not see a frontier whose rows the
        # ledger does not have yet.
        progress.advance(lanes.owned, generation, window)
        # A late first reading counts as settling when it read all that a pass would read.
        needed = generations_to_settle(generations, window, standing.settling.horizon_ms)
        if lanes.owned == around.lanes.owned and needed == [generation]:
            standing.settling.read_first(window, now_ms)
        batch = self._batch(standing, readers, events)
        committed = partial(self._commit, progress.frontier_ms)
        asked = self._requests(ties(events))
        await around.hand_on(replace(batch, asked=asked, published=committed))
        self._report(standing, now_ms)
        return 0.0

    def _commit(self, frontier_ms: int) -> None:
        self._committed_ms = max(self._committed_ms, frontier_ms)

    def _report(self, standing: Standing, now_ms: int) -> None:
        board, name = self._around.board, self._table.spec.full_name
        frontier_ms, ttl_seconds = standing.progress.frontier_ms, self._table.options.ttl_seconds
        board.frontier(name, frontier_ms)
        board.settled(name, standing.settling.settled_ms)
        if ttl_seconds:
            board.headroom(name, ttl_seconds - (now_ms - frontier_ms) / 1000)

    def _batch(self, standing: Standing, readers: Readers, events: Sequence[ChangeEvent]) -> Batch:
        """The events with the fingerprints and positions that go with them. Now and then all
        positions are saved, and what has settled is removed.
        """
        settled_ms = standing.settling.settled_ms
        cells = standing.ledger.add(events, settled_ms)
        batch = Batch(readers.log.table, events, standing.progress.settled(settled_ms))
        now_ms = self._around.clock.now_ms()
        if now_ms - self._saved_at_ms < self._save_after_ms:
            return replace(batch, cells=cells)
        self._saved_at_ms = now_ms
        gone = dict.fromkeys(standing.ledger.settle(settled_ms))
        listed = standing.listed.settle(settled_ms)
        return replace(batch, save=True, cells={**gone, **cells}, listed=listed)

    def _requests(self, scopes: Iterable[Touched], due_ms: int = 0) -> list[Request]:
        name = self._table.spec.full_name
        return [Request(uuid4().hex, name, scope, token, due_ms) for scope, token in scopes]

    async def _stop(self, standing: Standing, readers: Readers) -> None:
        """Publish what the settler found, and serve requests that are due."""
        while self._found:
            found, done = self._found[0]
            scopes = {touched(e): e.token for e in found.late} | dict(found.again)
            due_ms = self._around.clock.now_ms() + standing.settling.horizon_ms
            again = {touched(e): e.token for e in found.late}
            requests = self._requests(scopes.items())
            asked = self._requests(again.items(), due_ms)
            await self._refresh(standing, readers, requests, (found.late, asked))
            self._found.pop(0)
            done.set()
        due = self._agenda.due(self._around.clock.now_ms(), REFRESHES_AT_ONCE)
        if due:
            await self._refresh(standing, readers, due, served=due)
            self._agenda.remove(due)

    async def _refresh(
        self,
        standing: Standing,
        readers: Readers,
        requests: Sequence[Request],
        late: tuple[Sequence[ChangeEvent], list[Request]] = ((), []),
        served: Sequence[Request] = (),
    ) -> None:
        """Refresh what the requests name, behind the late changes that made it necessary."""
        around, table = self._around, readers.log.table
        await self._hand_on_and_wait(Batch(table, (), {}))
        now_ms = self._around.clock.now_ms()
        reads = await together(readers.base.read(r.scope, now_ms * 1000) for r in requests)
        if not await self._is_current(readers.version):
            raise Transient("ScyllaDB: the schema changed during a refresh")
        later = [
            _later(r, "expiry", now_ms + found.expires_in_seconds * 1000)
            for r, found in zip(requests, reads, strict=True)
            if found.expires_in_seconds is not None
        ]
        if now_ms - standing.progress.frontier_ms > BEHIND_MS:
            # The base may lag behind the log by a settle delay, and settling may soon be past here.
            due_ms = now_ms + standing.settling.horizon_ms
            later += [_later(r, "behind", due_ms) for r in requests]
        positions, lanes = standing.progress.positions, around.lanes.lanes
        entries = [
            listing(r.table, r.scope, r.token, positions[lane_of(r.token, lanes)].frontier_ms)
            for r in requests
        ]
        batch = self._batch(standing, readers, late[0])
        events = [*late[0], *(event for found in reads for event in found.events)]
        await self._hand_on_and_wait(
            replace(
                batch,
                events=events,
                listed=[*batch.listed, *standing.listed.add(entries)],
                asked=[*late[1], *later],
                served=served,
            )
        )

    async def _hand_on_and_wait(self, batch: Batch) -> None:
        """Return when the batch, and with it all before it, is committed."""
        committed = asyncio.Event()
        await self._around.hand_on(replace(batch, published=committed.set))
        await committed.wait()


def _later(request: Request, why: str, due_ms: int) -> Request:
    """The request to refresh a scope again at a time. A scope has one for each reason."""
    name = repr((request.table, request.scope, why))
    return replace(request, id=blake2b(name.encode(), digest_size=16).hexdigest(), due_ms=due_ms)
