"""Verification that never ends: the daemon walks the ring slowly, lane by lane, and judges.

A worker walks its own lanes of one table after the other, at a limited rate, and looks each row up
in the target. Keys are counted in buckets meanwhile; where the target's own count differs, its rows
are asked for in the source, so that rows that only the target has are found too. The order is
chance, so that restarts leave no part of the ring out for long.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn, Protocol
from uuid import uuid4

from cdcd.config.settings import Settings
from cdcd.model.errors import Transient
from cdcd.model.lane import Assignment, lane_of, lane_range
from cdcd.ops.board import Board, wall_clock_ms
from cdcd.ops.directions import Directions
from cdcd.ops.login import TakeLogin
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff, retrying
from cdcd.reconcile.applied import NotApplied
from cdcd.reconcile.compare import Buckets, Suspect, buckets_for, entry
from cdcd.reconcile.digest import Key
from cdcd.reconcile.part import Part
from cdcd.reconcile.run import Clients, clients
from cdcd.reconcile.verify import Verifier, cql_key
from cdcd.sink.pool import TargetBroken
from cdcd.source.catalog import SourceTable
from cdcd.source.session import RawRow, StatementRefused

log = get_logger()

# Rows that are compared at once; also a page of the slow reads.
ROWS_AT_ONCE = 500
# Suspects past which the walk stops and judges, and how long the first may wait for others: a trial
# takes as long for many as for one.
SUSPECTS_MAX = 5000
SUSPECTS_SECONDS_MAX = 60.0
DAY_MS = 86_400_000


class Lanes(Protocol):
    """Who says which lanes are this worker's."""

    async def assigned(self) -> Assignment:
        """Wait for the assignment that is in force."""


class Pace:
    """Keeps to a number of rows a second."""

    def __init__(self, rows_per_second: float) -> None:
        self._seconds_a_row = 1 / rows_per_second
        self._free_at = time.monotonic()

    async def spend(self, rows: int) -> None:
        """Wait until so many rows fit in."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + rows * self._seconds_a_row
        await asyncio.sleep(self._free_at - now)


@dataclass
class Coverage:
    """Which lanes of a table were walked when, and how many rows they had. Pure."""

    lanes: dict[int, tuple[int, int]] = field(default_factory=dict)

    def walked(self, lane: int, rows: int, now_ms: int) -> None:
        """A lane was walked to its end."""
        self.lanes[lane] = (now_ms, rows)

    def share(self, owned: frozenset[int], now_ms: int) -> float:
        """The share of the owned lanes' rows that was verified in the last day. Lanes that were
        never walked count as the average of the others.
        """
        known = {n: at for n, at in self.lanes.items() if n in owned}
        fresh = sum(rows for ms, rows in known.values() if ms > now_ms - DAY_MS)
        total = sum(rows for _, rows in known.values())
        if not known:
            return 0.0
        if not total:
            return len(known) / len(owned)
        return fresh / (total * len(owned) / len(known))


@dataclass(frozen=True)
class Worker:
    """The worker that walks: its lanes, its board, and what operators want of it."""

    lanes: Lanes
    board: Board
    directions: Directions


async def run(settings: Settings, worker: Worker, login: TakeLogin | None = None) -> None:
    """Walk for ever. What is away is waited for: the daemon's own work does not depend on it."""

    def report(_attempt: int, _pause_seconds: float, error: Transient) -> None:
        log.warning("verification starts again", reason=str(error))

    coverage: dict[str, Coverage] = {}
    once = partial(_round, partial(clients, settings, login), worker, coverage)
    await worker.lanes.assigned()
    await retrying(
        lambda: in_rounds(once, settings.reconcile.continuous_round_seconds_min),
        Backoff(pause_seconds_max=60.0),
        on_retry=report,
    )


async def in_rounds(once: Callable[[], Awaitable[None]], round_seconds_min: float) -> NoReturn:
    """Do it for ever. A round begins at the earliest so long after the one before it began."""
    loop = asyncio.get_running_loop()
    while True:
        next_at = loop.time() + round_seconds_min
        await once()
        await asyncio.sleep(next_at - loop.time())


async def _round(
    connected: Callable[[], AbstractAsyncContextManager[Clients]],
    worker: Worker,
    coverage: dict[str, Coverage],
) -> None:
    """Walk all tables that there are now, by connections that end with the round."""
    async with connected() as found:
        tables = list(found.tables.values())
        random.shuffle(tables)
        for table in tables:
            await _table(found, table, worker, coverage)


async def _table(
    found: Clients, table: SourceTable, worker: Worker, coverage: dict[str, Coverage]
) -> None:
    """Walk one table; what keeps it from being compared now is said and left for the next round."""
    name = table.spec.full_name
    if not worker.directions.now.is_running(name):
        return
    try:
        for part in await found.parts(table):
            part_coverage = coverage.setdefault(part.name, Coverage())
            await Walker(found, part, worker, part_coverage).walk()
    except (NotApplied, TargetBroken, StatementRefused) as error:
        log.warning("table is not verified now", table=name, reason=str(error))


class Walker:
    """One walk over a part in this worker's lanes."""

    def __init__(self, found: Clients, part: Part, worker: Worker, coverage: Coverage) -> None:
        self._clients = found
        self._part = part
        self._lanes = worker.lanes
        self._board = worker.board
        self._coverage = coverage
        self._verifier: Verifier = found.verifier(part, ROWS_AT_ONCE)
        settings = found.settings.reconcile
        self._pace = Pace(settings.continuous_rows_per_second)
        self._repairs = settings.continuous_repair
        self._suspects: dict[Key, Suspect] = {}
        self._judged_at = time.monotonic()

    async def walk(self) -> None:
        """Every owned lane, then the target's rows that were not met."""
        size = await self._verifier.target.size()
        buckets = Buckets(buckets_for(size.rows))
        owned = list((await self._lanes.assigned()).lanes.owned)
        random.shuffle(owned)
        walked = set()
        for lane in owned:
            if lane not in (await self._lanes.assigned()).lanes.owned:
                continue
            rows = await self._lane(lane, buckets)
            if time.monotonic() > self._judged_at + SUSPECTS_SECONDS_MAX:
                await self._judge()
            walked.add(lane)
            now_ms = wall_clock_ms()
            self._coverage.walked(lane, rows, now_ms)
            share = self._coverage.share(frozenset(owned), now_ms)
            self._board.verified(self._part.name, 0, share)
        await self._extra(walked, buckets)
        await self._judge()

    async def _lane(self, lane: int, buckets: Buckets) -> int:
        total = 0
        async for page in self._verifier.source.scan(lane_range(lane, self._clients.lanes)):
            await self._pace.spend(len(page))
            await self._page(page, buckets)
            total += len(page)
        return total

    async def _page(self, page: list[RawRow], buckets: Buckets) -> None:
        form = self._part.form
        rows = [(form.key_of(row), row) for row in page]
        buckets.add(entry(self._place(key, row), key, b"") for key, row in rows)
        self._suspects |= await self._verifier.against_target(page)
        self._board.verified(self._part.name, len(page))
        if len(self._suspects) > SUSPECTS_MAX:
            await self._judge()

    def _place(self, key: Key, row: RawRow) -> int:
        part = self._part
        return part.token(cql_key(part, row)) if part.has_tokens else part.place(key)

    async def _extra(self, walked: set[int], source: Buckets) -> None:
        """Ask the source for the target's rows in buckets whose keys differ. Where the target's
        key does not tell the lane that is left to `cdcd reconcile`.
        """
        if not self._part.has_tokens:
            return
        target, mine = Buckets(source.count), self._in_lanes(walked)
        chunks = (await self._verifier.target.size()).chunks
        for chunk in chunks:
            async for page in self._verifier.target.scan(chunk):
                await self._pace.spend(len(page))
                keys = [key for key in (tuple(record)[:-1] for record in page) if mine(key)]
                target.add(entry(self._part.place(key), key, b"") for key in keys)
        wanted = {d.bucket for d in source.differing(target)}
        for chunk in chunks if wanted else ():
            async for page in self._verifier.target.scan(chunk):
                keys = [key for key in (tuple(record)[:-1] for record in page) if mine(key)]
                asked = [k for k in keys if lane_of(self._part.place(k), source.count) in wanted]
                await self._ask(asked)

    def _in_lanes(self, walked: set[int]) -> Callable[[Key], bool]:
        """Whether a row of the target lies in the lanes that were walked."""
        part, lanes = self._part, self._clients.lanes
        return lambda key: lane_of(part.place(key), lanes) in walked

    async def _ask(self, keys: list[Key]) -> None:
        for at in range(0, len(keys), ROWS_AT_ONCE):
            some = keys[at : at + ROWS_AT_ONCE]
            await self._pace.spend(len(some))
            asked = {key: self._verifier.only_in_target(key, None) for key in some}
            for key, seen in (await self._verifier.look(asked)).items():
                if not seen.is_equal:
                    asked[key].seen = seen
                    self._suspects[key] = asked[key]

    async def _judge(self) -> None:
        suspects, self._suspects = self._suspects, {}
        if suspects:
            await self._judge_some(suspects)
        self._judged_at = time.monotonic()

    async def _judge_some(self, suspects: dict[Key, Suspect]) -> None:
        confirmed = (await self._verifier.judge(suspects)).confirmed
        if not confirmed:
            return
        kinds = [s.seen.kind.value for s in confirmed.values()]
        self._board.differed(self._part.name, kinds)
        log.warning("rows differ", table=self._part.name, rows=len(confirmed))
        if self._repairs:
            requests = [self._part.request(s.cql_key, uuid4().hex) for s in confirmed.values()]
            await self._clients.requests.ask(requests)
            self._board.asked_to_repair(self._part.name, len(confirmed))
