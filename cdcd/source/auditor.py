"""The audit: reads each part of the log once more, hours later, and finds what appeared since.

It reads keys alone, a wide cell at a time, and rests after each read. Where a cell differs from
what was published of it, the published identities are read back from where they went. What is not
among them is late, and is published like what settling finds. A cell whose published rows cannot
be told is left to verification: nothing is ever published again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from cdcd.model.fingerprint import AUDIT_CELL_MS, CELL_MS, Fingerprint
from cdcd.model.position import Window
from cdcd.ops.logs import get_logger
from cdcd.source.auditing import Auditing, Seen
from cdcd.source.key_reader import Seen as Keys
from cdcd.source.lanes import streams_of
from cdcd.source.settler import SPAN_MS, Found, Tools, View, events_of, repeated
from cdcd.source.touched import hash_of
from cdcd.source.windows import generations_to_settle

# Share of the time in which an audit reads; changes and settling have the rest.
SHARE_MAX = 0.25
# What a published row's hash takes while it is compared.
HASH_BYTES = 100
HASHES_BYTES_MIN = 1 << 20

log = get_logger(stage="source")

Read = TypeVar("Read")


@dataclass(frozen=True)
class Limits:
    """Of one table: `delay_ms` is how old a cell is when it is audited, None for never;
    `horizon_ms` the longest settle delay; `hashes_bytes_max` what may be in memory at once.
    """

    delay_ms: Callable[[], int | None]
    ttl_seconds: Callable[[], int]
    horizon_ms: int
    hashes_bytes_max: int


@dataclass(frozen=True)
class _Cell:
    """A wide cell that is being audited."""

    view: View
    streams: list[bytes]
    window: Window


class Auditor:
    """The audit of one table."""

    def __init__(self, auditing: Auditing, tools: Tools, limits: Limits) -> None:
        self._auditing = auditing
        self._tools = tools
        self._limits = limits

    async def run(self) -> None:
        """Audit cells as they become due, until cancelled. Raises TableStopped."""
        await repeated(self._step)

    async def _step(self) -> bool:
        view = self._tools.view()
        if view is None:
            return False
        auditing, name = self._auditing, view.log.table.full_name
        delay_ms = self._limits.delay_ms()
        if delay_ms is None:
            return False
        if auditing.forgotten(view.now_ms, self._limits.ttl_seconds()):
            log.warning("the log forgot what was to be audited", table=name)
        self._tools.board.audited(name, auditing.audited_ms)
        window = auditing.due(view.frontier_ms, view.now_ms, delay_ms)
        if window is None:
            return False
        generations = await self._tools.generations()
        needed = generations_to_settle(generations, window, self._limits.horizon_ms)
        streams = list(dict.fromkeys(s for g in needed for s in streams_of(g, view.lanes)))
        cell = _Cell(view, streams, window)
        seen = Seen(window.start_ms)
        for part in parts(window, SPAN_MS):
            keys = await self._resting(self._keys(cell, part))
            seen.add(keys.cells)
        for start, unknown in sorted((await self._late(cell, seen)).items()):
            if not await self._publish(cell, Window(start, start + CELL_MS), unknown):
                return False
        auditing.done(window)
        return True

    async def _keys(self, cell: _Cell, part: Window) -> Keys:
        return await cell.view.keys.read(cell.streams, cell.view.lanes, part)

    async def _resting(self, reading: Awaitable[Read]) -> Read:
        """What a read brings, after a rest as long as it asks for."""
        clock = asyncio.get_running_loop().time
        began = clock()
        found = await reading
        await asyncio.sleep((clock() - began) * (1 / SHARE_MAX - 1))
        return found

    async def _late(self, cell: _Cell, seen: Seen) -> dict[int, set[int]]:
        """The hashes of rows that were not published, by the start of their narrow cell."""
        start, lanes = cell.window.start_ms, self._auditing.differing(seen)
        if not lanes:
            return {}
        published = {lane: self._auditing.published((lane, start)) for lane in lanes}
        until_ms = max(each.until_ms for each in published.values())
        told = dict.fromkeys(lanes, Fingerprint())
        unknown: dict[int, dict[int, set[int]]] = {lane: {} for lane in lanes}
        for part in parts(cell.window, self._span_ms(cell.view, seen)):
            known: frozenset[int] = frozenset()
            if until_ms:
                reading = self._tools.published(cell.view.log.table, part, until_ms)
                known = await self._resting(reading)
            keys = await self._resting(self._keys(cell, part))
            for (lane, at), hashes in keys.hashes.items():
                if lane in told:
                    told[lane] = told[lane].with_rows([h for h in hashes if h in known])
                    unknown[lane][at] = set(hashes) - known
        found: dict[int, set[int]] = {}
        for lane, late in unknown.items():
            if told[lane] != published[lane].fingerprint:
                name = cell.view.log.table.full_name
                log.warning("what was published cannot be told", table=name, lane=lane, cell=start)
                continue
            for at, others in late.items():
                found.setdefault(at, set()).update(others)
        return {at: others for at, others in found.items() if others}

    def _span_ms(self, view: View, seen: Seen) -> int:
        """How much of a cell's log may be compared at once: the topic has other lanes' rows too."""
        rows = sum(f.count for f in seen.lanes.values()) * view.lanes.lanes // len(view.lanes.owned)
        share = max(self._limits.hashes_bytes_max, HASHES_BYTES_MIN) / max(rows * HASH_BYTES, 1)
        return int(min(share, 1.0) * AUDIT_CELL_MS)

    async def _publish(self, cell: _Cell, window: Window, unknown: set[int]) -> bool:
        """Publish the late rows of a narrow cell; false when the schema is another one by now."""
        view, board = cell.view, self._tools.board
        async for events in events_of(view, cell.streams, window):
            late = tuple(replace(e, is_late=True) for e in events if hash_of(e) in unknown)
            if not late:
                continue
            if not await self._tools.is_current(view.version):
                return False
            ages = [view.now_ms / 1000 - e.time_us / 1_000_000 for e in late]
            board.late(view.log.table.full_name, ages, "audit")
            await self._tools.publish(Found(late, ()))
        return True


def parts(window: Window, span_ms: int) -> Iterator[Window]:
    """A window in parts of whole narrow cells, about so wide."""
    step = max(span_ms - span_ms % CELL_MS, CELL_MS)
    for start in range(window.start_ms, window.end_ms, step):
        yield Window(start, min(start + step, window.end_ms))
