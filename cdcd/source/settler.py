"""Settling: reads the log again after a while and finds what appeared behind the frontier.

A pass compares what it sees with the fingerprints of what was published. Late rows are published
with a mark and what they touched is refreshed; what was refreshed before the log around it was
settled is refreshed again. The follower does both, at stops of the table's lanes. If a worker dies
between two stops, the next one finds the rest: what was published is in the fingerprints.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from cdcd.model.change import ChangeEvent
from cdcd.model.errors import Transient
from cdcd.model.fingerprint import CELL_MS, Cell, Fingerprint
from cdcd.model.lane import LaneSet
from cdcd.model.position import Generation, Window
from cdcd.model.published import MARGINS_MS, PublishedRow, Sought, TakePublished
from cdcd.model.table import TableSpec
from cdcd.model.touched import touched
from cdcd.ops.board import Board
from cdcd.ops.logs import get_logger
from cdcd.ops.retry import Backoff
from cdcd.source.confidence import FirstPass
from cdcd.source.key_reader import KeyReader, Seen
from cdcd.source.lanes import streams_of
from cdcd.source.ledger import Ledger
from cdcd.source.listed import ListedRefreshes
from cdcd.source.log_reader import LogReader
from cdcd.source.scan import WindowTooWide
from cdcd.source.session import StatementRefused
from cdcd.source.settling import Settling
from cdcd.source.told import by_cell
from cdcd.source.touched import Touched, hash_of
from cdcd.source.windows import generations_to_settle

# Log time that one settling read covers while it catches up; at the head it is one cell.
SPAN_MS = 6 * CELL_MS
# How often a pass that is not due is looked for.
PAUSE_SECONDS = 1.0

log = get_logger(stage="source")


@dataclass(frozen=True)
class Found:
    """What a pass asks the follower to do at its stops.

    `late` changes are published, what they touched and `again` is refreshed. The base may lag
    behind the log, so what was late is refreshed once more, a settle delay later.
    """

    late: tuple[ChangeEvent, ...]
    again: tuple[Touched, ...]


@dataclass(frozen=True)
class View:
    """The table as its follower sees it now, at one version of the schema."""

    version: str
    log: LogReader
    keys: KeyReader
    lanes: LaneSet
    frontier_ms: int
    now_ms: int


@dataclass(frozen=True)
class Tools:
    """What a settler works with; `published` reads a table's published rows back from where they
    went; false where nobody remembers any.
    """

    view: Callable[[], View | None]
    generations: Callable[[], Awaitable[tuple[Generation, ...]]]
    is_current: Callable[[str], Awaitable[bool]]
    learn: Callable[[FirstPass], None]
    publish: Callable[[Found], Awaitable[None]]
    published: Callable[[TableSpec, Sought, TakePublished], Awaitable[bool]]
    board: Board


class Settler:
    """The settling passes of one table."""

    def __init__(
        self, settling: Settling, ledger: Ledger, listed: ListedRefreshes, tools: Tools
    ) -> None:
        self._settling = settling
        self._ledger = ledger
        self._listed = listed
        self._tools = tools

    async def run(self) -> None:
        """Run passes as they become due, until cancelled. Raises TableStopped."""
        await repeated(self._step)

    async def _step(self) -> bool:
        view = self._tools.view()
        if view is None:
            return False
        due = self._settling.due(view.frontier_ms, view.now_ms, SPAN_MS)
        if due is None:
            return False
        number, window = due
        # A generation that was published late may begin before the frontier: the list that a pass
        # goes by is read after the pass has begun.
        generations = await self._tools.generations()
        needed = generations_to_settle(generations, window, self._settling.horizon_ms)
        # With tablets a stream may live on in the next generation.
        streams = list(dict.fromkeys(s for g in needed for s in streams_of(g, view.lanes)))
        seen = await view.keys.read(streams, view.lanes, window)
        late_rows = 0
        async for found in self._look(view, streams, window, seen):
            if found.late and not await self._tools.is_current(view.version):
                return False
            late_rows += len(found.late)
            written_us = [event.time_us for event in found.late]
            await self._tools.publish(found)
            name = view.log.table.full_name
            self._tools.board.late(name, written_us, view.now_ms, str(number + 1))
        if number == 0:
            rows = sum(fingerprint.count for fingerprint in seen.cells.values())
            self._tools.learn(FirstPass(late_rows, rows, window.start_ms, view.now_ms))
        self._settling.done(number, window)
        return True

    async def _look(
        self, view: View, streams: list[bytes], window: Window, seen: Seen
    ) -> AsyncIterator[Found]:
        """What is to be published of a window, as much at once as one read may bring."""
        differing = self._ledger.differing(window.start_ms, window.end_ms, seen.cells)
        unknown: set[int] = set()
        for start, cells in groupby(sorted(differing, key=_start), key=_start):
            unknown |= await self._unknown(view, start, list(cells), seen)
        if not unknown and not self._listed.any_behind(window.start_ms):
            return
        async for events in events_of(view, streams, window):
            late = tuple(replace(e, is_late=True) for e in events if hash_of(e) in unknown)
            again = {
                touched(e): e.token
                for e in events
                if hash_of(e) not in unknown
                and self._listed.covers(touched(e), e.token, e.time_us // 1000)
            }
            if late or again:
                yield Found(late, tuple(again.items()))

    async def _unknown(
        self, view: View, start: int, cells: Collection[Cell], seen: Seen
    ) -> set[int]:
        """The hashes of rows of a narrow cell's lanes that were not published."""
        hashes = {cell: set(seen.hashes.get(cell, ())) for cell in cells}
        known = self._ledger.hashes(start)
        if known is not None:
            return set().union(*hashes.values()) - known
        unknown: dict[Cell, set[int]] = {}
        for margin_ms in MARGINS_MS:
            sought = Sought(Window(start, start + CELL_MS), None, margin_ms)
            found = await self._published(view, sought)
            if found is None:
                return set().union(*hashes.values())
            for cell, each in hashes.items():
                told = found.get(cell, set())
                # The topic has rows from before a lane was read again from its oldest change, too.
                if self._ledger.published(cell) in (_of(told), _of(told & each)):
                    unknown[cell] = each - told
            if unknown.keys() == hashes.keys():
                break
        for lane, at in hashes.keys() - unknown.keys():
            name = view.log.table.full_name
            log.warning("what was published cannot be told", table=name, lane=lane, cell=at)
        return set().union(*unknown.values())

    async def _published(self, view: View, sought: Sought) -> dict[Cell, set[int]] | None:
        """The hashes of published rows by lane and narrow cell; None where nobody remembers any."""
        found: dict[Cell, set[int]] = {}

        async def take(rows: Sequence[PublishedRow]) -> None:
            for cell, hashes in by_cell(rows, view.lanes.lanes).items():
                found.setdefault(cell, set()).update(hashes)

        is_told = await self._tools.published(view.log.table, sought, take)
        return found if is_told else None


def _start(cell: Cell) -> int:
    return cell[1]


def _of(hashes: Collection[int]) -> Fingerprint:
    return Fingerprint().with_rows(hashes)


async def repeated(step: Callable[[], Awaitable[bool]]) -> None:
    """Take steps until cancelled, with a pause after each that found nothing to do."""
    backoff, failed = Backoff(), 0
    while True:
        try:
            did_something = await step()
        except (Transient, StatementRefused):
            # The follower meets the same trouble, and reports or ends it.
            await asyncio.sleep(backoff.pause_seconds(failed))
            failed += 1
            continue
        failed = 0
        if not did_something:
            await asyncio.sleep(PAUSE_SECONDS)


async def events_of(
    view: View, streams: list[bytes], window: Window
) -> AsyncIterator[list[ChangeEvent]]:
    """A window's changes, in halves where it is too wide for one read."""
    try:
        events = (await view.log.read(streams, view.lanes, window)).events
    except WindowTooWide:
        middle = (window.start_ms + window.end_ms) // 2
        for half in (Window(window.start_ms, middle), Window(middle, window.end_ms)):
            async for part in events_of(view, streams, half):
                yield part
        return
    yield events
