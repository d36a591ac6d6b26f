"""What happens while a table's lanes stand still: refreshes, and what settling found.

The lanes stand still from before the base is read until what it showed is committed. All changes
at or past the frontier then come after the refresh; what is below it and was not published is late,
and is itself refreshed. A stop is short: what does not fit in is left for the next one, and what is
left of a wide refresh is written as a request in the transaction that publishes its first part.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import islice
from uuid import uuid4

from cdcd.model.change import Batch, ChangeEvent, Reading
from cdcd.model.errors import Transient
from cdcd.model.lane import lane_of
from cdcd.model.refresh import Request, Row, StaticRow
from cdcd.model.touched import touched
from cdcd.source.agenda import Agenda
from cdcd.source.allowance import Allowance, Spent
from cdcd.source.copying import Copies
from cdcd.source.listed import ListedRefreshes
from cdcd.source.progress import Progress
from cdcd.source.refresh import BaseReader
from cdcd.source.refresh import Found as Read
from cdcd.source.settler import Found
from cdcd.source.surroundings import Surroundings
from cdcd.source.together import together
from cdcd.source.touched import Touched

# Wide refreshes (of partitions and token ranges) that one stop goes on with.
WIDE_AT_ONCE = 4
# How long a table counts as watched after it was asked for something.
WATCHED_SECONDS = 60.0
# A lane that is further behind the clock than this may pass the settling of what it refreshes.
BEHIND_MS = 2000


@dataclass(frozen=True)
class Ground:
    """Where a table stands when it stops, and where it would if it were in time (`head_ms`).

    `batch` makes a batch of changes with what goes with them, `is_current` says whether the
    readers' schema still is the servers'.
    """

    progress: Progress
    listed: ListedRefreshes
    horizon_ms: int
    head_ms: int
    base: BaseReader
    batch: Callable[[Sequence[ChangeEvent]], Batch]
    is_current: Callable[[], Awaitable[bool]]


@dataclass
class _Waiting:
    """What a pass found, as far as it is not published yet."""

    late: deque[ChangeEvent]
    again: deque[Touched]
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_empty(self) -> bool:
        """Whether all of it is published."""
        return not self.late and not self.again

    def drop(self, late: int, again: int) -> None:
        """Forget the first of it, which are published."""
        for _ in range(late):
            self.late.popleft()
        for _ in range(again):
            self.again.popleft()


@dataclass
class _Work:
    """What one stop does. Each request comes with how many rows it may bring; `served` are those
    of them that are saved, and `asked` is asked for in the same transaction. `again` counts those
    that a pass wants again.
    """

    late: list[ChangeEvent] = field(default_factory=list)
    requests: list[tuple[Request, int | None]] = field(default_factory=list)
    served: list[Request] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    again: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.late and not self.requests and not self.served


class Stops:
    """One table's refreshes, in stops of bounded length."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._agenda = Agenda()
        self._copies = Copies(around.settings, around.lanes.lanes, around.board)
        self._found: deque[_Waiting] = deque()
        self._woken = asyncio.Event()
        self._allowance = Allowance(around.settings.refresh_stop_seconds_max)
        self._asked_at = -math.inf

    @property
    def is_watched(self) -> bool:
        """Whether somebody has asked for something lately, and may wait until what comes after it
        is saved.
        """
        return _clock() - self._asked_at < WATCHED_SECONDS

    def ask(self, request: Request) -> None:
        """Take in a request that was written."""
        self._asked_at = _clock()
        if request.copy is None or request.cancels:
            self._agenda.add(request)
        else:
            self._copies.add(request)
        self._woken.set()

    @property
    def begun_anew(self) -> frozenset[int]:
        """The lanes that are to be copied whole, of which nothing is copied yet."""
        return self._copies.begun_anew()

    async def publish(self, found: Found) -> None:
        """Return when what a pass found is committed."""
        waiting = _Waiting(deque(found.late), deque(found.again))
        self._found.append(waiting)
        self._woken.set()
        await waiting.done.wait()

    def wake(self) -> None:
        """End the pause."""
        self._woken.set()

    async def pause(self, wait_seconds: float, *, held: bool = False) -> None:
        """Wait for the next window, or until there is something to do at a stop; while the table is
        held there is nothing.
        """
        self._woken.clear()
        limit_seconds = wait_seconds if held else self._wait_seconds(wait_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_seconds):
                await self._woken.wait()

    def _wait_seconds(self, wait_seconds: float) -> float:
        if self._found:
            return 0.0
        limit_seconds = self._agenda.wait_seconds(self._around.clock.now_ms(), wait_seconds)
        return min(limit_seconds, self._copies.wait_seconds(_clock()))

    async def serve(self, ground: Ground) -> None:
        """Stop once, if there is something to do."""
        work = self._take(ground)
        if work.is_empty:
            return
        await self._refresh(ground, work)
        # A copy takes its time, and whoever asked for it waits all the while.
        self._asked_at = _clock()
        self._agenda.remove(work.served)
        self._copies.remove(work.served)
        if self._found:
            self._found[0].drop(len(work.late), work.again)
            if self._found[0].is_empty:
                self._found.popleft().done.set()

    def _take(self, ground: Ground) -> _Work:
        """What fits in one stop: what settling found, then requests, then copies."""
        work, now_ms = _Work(), self._around.clock.now_ms()
        reads = self._allowance.reads
        if self._found:
            self._take_found(ground, self._found[0], work)
            reads -= len(work.requests)
        due = self._agenda.due(now_ms, max(reads, 1))
        wide = [r for r in due if not _is_single(r) and not r.cancels][:WIDE_AT_ONCE]
        copies = self._copies.due(ground.progress.positions, ground.head_ms, _clock())
        copies = copies[:WIDE_AT_ONCE]
        share = self._allowance.rows // max(len(wide) + len(copies), 1)
        for request in due:
            if request.cancels:
                work.served += [request, *self._copies.named(request.cancels)]
            elif _is_single(request) or request in wide:
                work.served.append(request)
                work.requests.append((request, share if _is_cut(request) else None))
        work.requests += [(request, share) for request in copies if request not in work.served]
        work.served += [request for request in copies if request not in work.served]
        return work

    def _take_found(self, ground: Ground, found: _Waiting, work: _Work) -> None:
        """The next late changes with the refreshes of what they touched, and further refreshes."""
        most = self._allowance.reads
        scopes: dict[Touched, None] = {}
        for event in islice(found.late, most):
            work.late.append(event)
            scopes[touched(event), event.token] = None
        # The base may lag behind the log, so what was late is refreshed once more.
        name = ground.base.table.full_name
        due_ms = self._around.clock.now_ms() + ground.horizon_ms
        work.asked += requests_for(name, scopes, due_ms)
        again = list(islice(found.again, max(most - len(scopes), 0)))
        work.again = len(again)
        scopes |= dict.fromkeys(again)
        rows = max(self._allowance.rows // max(len(scopes), 1), 1)
        found_wide = requests_for(name, scopes)
        work.requests += [(r, rows if _is_cut(r) else None) for r in found_wide]

    async def _refresh(self, ground: Ground, work: _Work) -> None:
        """Refresh what was asked for, behind the late changes that made it necessary."""
        await self._hand_on_and_wait(Batch(ground.base.table, (), {}))
        began, now_ms, began_ns = _clock(), self._around.clock.now_ms(), time.time_ns()
        reads = await together(
            ground.base.read(request.scope, now_ms * 1000, rows) for request, rows in work.requests
        )
        read_seconds = _clock() - began
        reading = Reading(None, sum(len(read.events) for read in reads), began_ns, time.time_ns())
        if not await ground.is_current():
            raise Transient("ScyllaDB: the schema changed during a refresh")
        done = [(request, read) for (request, _), read in zip(work.requests, reads, strict=True)]
        batch = replace(self._batch(ground, work, done, now_ms), reading=reading)
        began = _clock()
        await self._hand_on_and_wait(batch)
        self._learn(work, done, read_seconds, _clock() - began)

    def _learn(
        self,
        work: _Work,
        done: Sequence[tuple[Request, Read]],
        read_seconds: float,
        publish_seconds: float,
    ) -> None:
        wide = [read for request, read in done if not _is_single(request)]
        rows = sum(len(read.events) for read in wide)
        reads = len(done) - len(wide)
        self._allowance.learn(Spent(reads, rows, read_seconds, publish_seconds))
        self._copies.worked(work.served, read_seconds + publish_seconds, _clock())

    def _batch(
        self,
        ground: Ground,
        work: _Work,
        done: Sequence[tuple[Request, Read]],
        now_ms: int,
    ) -> Batch:
        """All of it as one batch, with what is left and what is to be done later."""
        positions, lanes = ground.progress.positions, self._around.lanes.lanes
        later, entries, copied = [*work.asked], [], []
        for request, read in done:
            frontier_ms = positions[lane_of(request.token, lanes)].frontier_ms
            entries.append(self._copies.listing(request, read, frontier_ms))
            later += _later(ground, request, read, now_ms)
        for request in work.served:
            if request.copy is not None and not request.cancels:
                left, ended = self._copies.went_on(request, dict(done).get(request), now_ms)
                later += left
                copied += ended
        batch = ground.batch(work.late)
        events = [*work.late, *(e for request, read in done for e in _marked(request, read))]
        return replace(
            batch,
            events=events,
            listed=[*batch.listed, *ground.listed.add(entries)],
            asked=later,
            served=work.served,
            copied=copied,
        )

    async def _hand_on_and_wait(self, batch: Batch) -> None:
        """Return when the batch, and with it all before it, is committed."""
        committed = asyncio.Event()
        await self._around.hand_on(replace(batch, published=committed.set))
        await committed.wait()


def _clock() -> float:
    """Seconds by a clock that nobody sets."""
    return asyncio.get_running_loop().time()


def _is_single(request: Request) -> bool:
    """Whether a request is for one row."""
    return isinstance(request.scope, Row | StaticRow)


def _is_cut(request: Request) -> bool:
    """Whether a request may be served a part at a time."""
    return not _is_single(request) and not request.whole


def _marked(request: Request, read: Read) -> Iterable[ChangeEvent]:
    """The events of a read, marked as those of a copy if they are."""
    if request.copy is None:
        return read.events
    return (replace(event, is_snapshot=True) for event in read.events)


def requests_for(table: str, scopes: Iterable[Touched], due_ms: int = 0) -> list[Request]:
    """New requests for scopes."""
    return [Request(uuid4().hex, table, scope, token, due_ms) for scope, token in scopes]


def _later(ground: Ground, request: Request, read: Read, now_ms: int) -> list[Request]:
    """What a refresh leaves to be done: the rest of it, and what is to be read once more."""
    found = []
    if read.left is not None and request.copy is None:
        found.append(replace(request, scope=read.left))
    if read.expires_in_seconds is not None:
        due_ms = now_ms + read.expires_in_seconds * 1000
        found.append(_again(request, read, "expiry", due_ms))
    if now_ms - ground.progress.frontier_ms > BEHIND_MS:
        # The base may lag behind the log by a settle delay, and settling may soon be past here.
        found.append(_again(request, read, "behind", now_ms + ground.horizon_ms))
    return found


def _again(request: Request, read: Read, why: str, due_ms: int) -> Request:
    """The request to refresh again what was read. A scope has one for each reason."""
    name = repr((request.table, read.covered, why))
    request_id = blake2b(name.encode(), digest_size=16).hexdigest()
    return Request(request_id, request.table, read.covered, request.token, due_ms)
