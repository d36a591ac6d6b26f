"""A log and a topic in memory, and the tools that settling and audits have of them."""

import asyncio
from array import array
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

from structlog.testing import capture_logs

from cdcd.model.change import ChangeEvent
from cdcd.model.fingerprint import (
    AUDIT_CELL_MS,
    Fingerprint,
    cell_of,
)
from cdcd.model.lane import LaneSet, lane_of
from cdcd.model.position import Generation, Position, Window
from cdcd.model.published import PublishedRow, Sought, TakePublished
from cdcd.ops.board import Board
from cdcd.source.auditing import Auditing
from cdcd.source.auditor import HASH_BYTES, Auditor, Limits
from cdcd.source.key_reader import Seen
from cdcd.source.log_reader import Read
from cdcd.source.settler import Found, Tools, View
from cdcd.source.touched import hash_of
from tests.unit.published import LANES, SPEC, change

WIDE = AUDIT_CELL_MS
NOW_MS = 100 * WIDE
OWNED = LaneSet(frozenset(range(LANES)), LANES)
NUMBERS = count()
CANNOT = "what was published cannot be told"


def row(ms: int, lane: int = 0) -> ChangeEvent:
    """A change of its own, of a time."""
    return change(ms * 1000, lane=lane, group=next(NUMBERS))


def published(event: ChangeEvent) -> PublishedRow:
    """How the topic tells of a change."""
    row_hash = hash_of(event)
    assert row_hash is not None
    return PublishedRow(event.token, event.time_us // 1000, row_hash)


@dataclass
class World:
    """A log as it shows now, what the topic has, and the audit of the cell at 0 between them."""

    log: list[ChangeEvent]
    topic: list[ChangeEvent]
    board: Board = field(default_factory=lambda: Board("p", "i"))
    scans: int = 0
    # How far the stamps of records of even lanes are behind the times of their rows.
    behind_ms: int = 0
    # How many scans the topic survives, and how many publishings fail.
    scans_max: int = 1 << 30
    failures: int = 0
    version: str = "1"
    # Whether another table is altered while the topic is read.
    is_altered: bool = False
    # Where the audit is told that the table is paused, after so many reads of keys.
    paused_after: int = 1 << 30
    reads: int = 0

    def __post_init__(self) -> None:
        position = Position("log", 0, NOW_MS, NOW_MS, audited_ms=0)
        self.auditing = Auditing({}, dict.fromkeys(range(LANES), position), LANES)
        self.auditing.add(self.topic, NOW_MS, NOW_MS)
        self.auditing.merge({}, NOW_MS, NOW_MS)

    def view(self) -> View | None:
        """This world at its version of the schema; nothing while it is paused."""
        if self.reads >= self.paused_after:
            return None
        me = cast("Any", self)
        return View(self.version, cast("Any", _Log(self)), me, OWNED, NOW_MS, NOW_MS)

    async def read(self, _: object, lanes: LaneSet, window: Window) -> Seen:
        """The keys of a window."""
        self.reads += 1
        found = Seen()
        for event in self.log:
            each = published(event)
            if window.start_ms <= each.time_ms < window.end_ms:
                cell = (lane_of(each.token, lanes.lanes), cell_of(each.time_ms))
                before = found.cells.get(cell, Fingerprint())
                found.cells[cell] = before.with_rows([each.row_hash])
                found.hashes.setdefault(cell, array("Q")).append(each.row_hash)
        return found

    async def published(self, _: object, sought: Sought, take: TakePublished) -> bool:
        """What the topic has of a window, a row at a time."""
        window = sought.window
        self.scans += 1
        if self.is_altered:
            self.version = "2"
        far = sought.margin_ms >= self.behind_ms
        for event in self.topic if self.scans <= self.scans_max else ():
            is_stamped_in = far or lane_of(event.token, LANES) % 2
            if is_stamped_in and window.start_ms <= event.time_us // 1000 < window.end_ms:
                await take([published(event)])
        return True

    async def publish(self, found: Found) -> None:
        """One transaction."""
        if self.failures:
            self.failures -= 1
            raise asyncio.CancelledError
        self.topic += found.late
        self.auditing.add(found.late, NOW_MS, NOW_MS)

    async def is_current(self, version: str) -> bool:
        """Whether the schema is still that one."""
        return version == self.version

    async def generations(self) -> tuple[Generation, ...]:
        """One, of which the streams do not matter."""
        return (Generation(0, ()),)

    def tools(self) -> Tools:
        """What settling and audits do in this world."""
        return Tools(
            view=self.view,
            generations=self.generations,
            is_current=self.is_current,
            learn=lambda _: None,
            publish=self.publish,
            published=self.published,
            board=self.board,
        )

    async def audit(self, hashes_max: int = 1 << 30) -> list[str]:
        """Audit the cell at 0; gives the warnings. A publishing that fails ends it."""
        limits = Limits(lambda: 0, lambda: 0, 0, hashes_max * HASH_BYTES)
        with capture_logs() as logs, suppress(asyncio.CancelledError):
            await Auditor(self.auditing, self.tools(), limits)._step()
        return [each["event"] for each in logs]

    def times_published(self) -> Counter[int]:
        """How often each row is in the topic."""
        return Counter(published(event).row_hash for event in self.topic)

    def late(self, found_by: str = "audit") -> float:
        """How many late rows a pass has counted."""
        found = self.board.metrics.registry.get_sample_value(
            "cdcd_late_rows_total", {"table": SPEC.full_name, "pass": found_by}
        )
        return found or 0.0


@dataclass
class _Log:
    """Reads whole changes."""

    world: World
    table: Any = SPEC

    async def read(self, _: object, __: object, window: Window) -> Read:
        """The changes of a window."""
        log = self.world.log
        found = [e for e in log if window.start_ms <= e.time_us // 1000 < window.end_ms]
        return Read(found, len(found), 1, len(found))
