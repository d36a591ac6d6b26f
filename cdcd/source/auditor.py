"""The audit: reads each part of the log once more, hours later, and finds what appeared since.

It reads keys alone, a wide cell at a time, and rests after each read. Where a cell differs from
what was published of it, the published identities are read back from where they went. What is not
among them is late, and is published like what settling finds. A cell whose published rows cannot
be told is left to verification: nothing is ever published again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from cdcd.model.fingerprint import CELL_MS, Cell, Fingerprint
from cdcd.model.position import Window
from cdcd.model.published import MARGINS_MS, PublishedRow, Sought
from cdcd.ops.logs import get_logger
from cdcd.source.auditing import Auditing, Seen
from cdcd.source.key_reader import Seen as Keys
from cdcd.source.lanes import streams_of
from cdcd.source.settler import SPAN_MS, Found, Tools, View, events_of, repeated
from cdcd.source.told import agreeing, by_cell, differing, grouped, rows_by_start, span
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


@dataclass
class _Case:
    """A wide cell that differs in some lanes: what a reading has seen of its narrow cells, what was
    `saved` as published of each such lane, all of it by `until_ms`, and what the topic tells.
    """

    cell: _Cell
    seen: Mapping[Cell, Fingerprint]
    saved: Mapping[int, Fingerprint]
    until_ms: int
    rows_max: int
    told: dict[Cell, Fingerprint] = field(default_factory=dict)
    margin_ms: int = MARGINS_MS[0]

    def groups(
        self, lanes: Collection[int], *, has_rows: bool = False
    ) -> Iterator[dict[int, list[Cell]]]:
        """The narrow cells that differ, by their start, as many as may be compared at once; if
        told, only those of which the log shows a row.
        """
        cells = differing(self.seen, self.told, lanes)
        found = [at for at in cells if at in self.seen or not has_rows]
        return grouped(found, rows_by_start(self.seen, self.told), self.rows_max)


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
            if self._tools.view() is None:
                return False
            seen.add((await self._resting(self._keys(cell, part))).cells)
        if not await self._publish_late(cell, seen):
            return False
        auditing.done(window)
        return True

    async def _keys(self, cell: _Cell, part: Window) -> Keys:
        return await cell.view.keys.read(cell.streams, cell.view.lanes, part)

    async def _resting(self, reading: Awaitable[Read]) -> Read:
        """What a read brings, after a rest."""
        began = _clock()
        found = await reading
        await _rest(began)
        return found

    async def _publish_late(self, cell: _Cell, seen: Seen) -> bool:
        """Publish what a reading of a cell has seen and nobody has published. False when the cell
        has to be read again.
        """
        start, lanes = cell.window.start_ms, self._auditing.differing(seen)
        merged = {lane: self._auditing.published((lane, start)) for lane in lanes}
        saved = {lane: each.fingerprint for lane, each in merged.items()}
        until_ms = max((each.until_ms for each in merged.values()), default=0)
        case = _Case(cell, seen.cells, saved, until_ms, self._rows_max())
        if not lanes:
            return True

        def add(rows: Sequence[PublishedRow]) -> None:
            for at, hashes in by_cell(rows, cell.view.lanes.lanes).items():
                case.told[at] = case.told.get(at, Fingerprint()).with_rows(hashes)

        sure: set[int] = set()
        for case.margin_ms in MARGINS_MS:
            case.told.clear()
            await self._scan(case, cell.window, add)
            sure = agreeing(saved, case.told)
            if len(sure) == len(saved):
                break
        sure |= await self._sure_by_identity(case, saved.keys() - sure)
        for lane in sorted(saved.keys() - sure):
            self._warn(case, lane, start)
        for group in case.groups(sure, has_rows=True):
            if not await self._publish_group(case, group):
                return False
        return True

    async def _sure_by_identity(self, case: _Case, lanes: Collection[int]) -> set[int]:
        """The lanes of which the topic tells all that was published when each row is counted once,
        or those alone that the log shows: it has rows from before a lane was read again from its
        oldest change, too.
        """
        shown = {at: each for at, each in case.told.items() if at[0] in lanes}
        for group in case.groups(lanes):
            known = await self._hashes(case, group)
            for start, cells in group.items():
                keys = await self._resting(self._keys(case.cell, Window(start, start + CELL_MS)))
                for at in cells:
                    hashes = known.get(at, set())
                    case.told[at] = Fingerprint().with_rows(hashes)
                    shown[at] = Fingerprint().with_rows(
                        hashes.intersection(keys.hashes.get(at, ()))
                    )
        saved = {lane: case.saved[lane] for lane in lanes}
        return agreeing(saved, case.told) | agreeing(saved, shown)

    async def _publish_group(self, case: _Case, group: Mapping[int, Sequence[Cell]]) -> bool:
        """Publish what is late in some narrow cells; false when the cell has to be read again."""
        known = await self._hashes(case, group)
        for start, cells in group.items():
            window, unknown = Window(start, start + CELL_MS), set[int]()
            keys = await self._resting(self._keys(case.cell, window))
            for at in cells:
                hashes = known.get(at, set())
                # The topic may have begun to forget since it was added up.
                if Fingerprint().with_rows(hashes) == case.told.get(at, Fingerprint()):
                    unknown |= set(keys.hashes.get(at, ())) - hashes
                else:
                    self._warn(case, *at)
            if unknown and not await self._publish(case.cell, window, unknown):
                return False
        return True

    async def _hashes(
        self, case: _Case, group: Mapping[int, Sequence[Cell]]
    ) -> dict[Cell, set[int]]:
        """The hashes of what was published of some narrow cells."""
        found: dict[Cell, set[int]] = {at: set() for cells in group.values() for at in cells}

        def add(rows: Sequence[PublishedRow]) -> None:
            for at, hashes in by_cell(rows, case.cell.view.lanes.lanes).items():
                if at in found:
                    found[at].update(hashes)

        await self._scan(case, span(group.keys()), add)
        return found

    async def _scan(
        self, case: _Case, window: Window, add: Callable[[Sequence[PublishedRow]], None]
    ) -> None:
        """Read back what was published of a window, with rests."""
        if not case.until_ms:
            return
        began = _clock()

        async def take(rows: Sequence[PublishedRow]) -> None:
            nonlocal began
            add(rows)
            await _rest(began)
            began = _clock()

        sought = Sought(window, case.until_ms, case.margin_ms)
        await self._tools.published(case.cell.view.log.table, sought, take)

    def _rows_max(self) -> int:
        """How many rows may be compared at once."""
        return max(self._limits.hashes_bytes_max, HASHES_BYTES_MIN) // HASH_BYTES

    def _warn(self, case: _Case, lane: int, start: int) -> None:
        name = case.cell.view.log.table.full_name
        log.warning("what was published cannot be told", table=name, lane=lane, cell=start)

    async def _publish(self, cell: _Cell, window: Window, unknown: set[int]) -> bool:
        """Publish the late rows of a narrow cell; false when the table is paused, or its schema
        another one by now.
        """
        # Much may have happened since the cell was begun.
        view, board = self._tools.view(), self._tools.board
        if view is None:
            return False
        async for events in events_of(view, cell.streams, window):
            late = tuple(replace(e, is_late=True) for e in events if hash_of(e) in unknown)
            if not late:
                continue
            if not await self._tools.is_current(view.version):
                return False
            await self._tools.publish(Found(late, ()))
            written_us = [event.time_us for event in late]
            board.late(view.log.table.full_name, written_us, view.now_ms, "audit")
        return True


def _clock() -> float:
    """Seconds by a clock that nobody sets."""
    return asyncio.get_running_loop().time()


async def _rest(began: float) -> None:
    """Rest as long as what has begun then asks for."""
    await asyncio.sleep((_clock() - began) * (1 / SHARE_MAX - 1))


def parts(window: Window, span_ms: int) -> Iterator[Window]:
    """A window in parts of whole narrow cells, about so wide."""
    step = max(span_ms - span_ms % CELL_MS, CELL_MS)
    for start in range(window.start_ms, window.end_ms, step):
        yield Window(start, min(start + step, window.end_ms))
