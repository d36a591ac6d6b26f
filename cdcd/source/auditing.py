"""What the audit compares, and when. Pure; times are milliseconds since 1970.

Fingerprints of cells that have settled are merged into wide ones, which are kept until the log of
that time is read once more, hours later. The watermark `audited_ms` never moves back, and holds up
nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from cdcd.model.change import ChangeEvent
from cdcd.model.fingerprint import AUDIT_CELL_MS, Cell, Fingerprint, Merged, cell_of
from cdcd.model.lane import lane_of
from cdcd.model.position import Position, Window
from cdcd.source.told import by_lane
from cdcd.source.touched import hash_of
from cdcd.source.windows import retained_from

# What is left of a log's life when a cell is audited, to read it in.
MARGIN_MS = 600_000


def audit_delay_ms(wanted_seconds: float, horizon_ms: int, ttl_seconds: int) -> int | None:
    """How old a cell's end is when it is audited: as wanted, or before its first row expires. None
    where there is no audit: none is wanted, or the log forgets too soon.
    """
    delay_ms = int(wanted_seconds * 1000)
    if ttl_seconds:
        delay_ms = min(delay_ms, ttl_seconds * 1000 - AUDIT_CELL_MS - MARGIN_MS)
    return delay_ms if delay_ms >= horizon_ms else None


def audit_from(ms: int) -> int:
    """The first wide cell of which all of what is published from a time on is counted."""
    return cell_of(ms + AUDIT_CELL_MS - 1, AUDIT_CELL_MS)


def with_audit(position: Position) -> Position:
    """A position that says from where on it is to be audited. One of a release without audits does
    not, and what has settled of the cell that it is in was not counted.
    """
    audited_ms = position.audited_ms or audit_from(position.settled_ms)
    return replace(position, audited_ms=audited_ms)


@dataclass
class Seen:
    """What a reading of a wide cell has seen so far, by lane and narrow cell."""

    start_ms: int
    cells: dict[Cell, Fingerprint] = field(default_factory=dict)

    def add(self, cells: Mapping[Cell, Fingerprint]) -> None:
        """Take in a part of it."""
        for cell, fingerprint in cells.items():
            self.cells[cell] = self.cells.get(cell, Fingerprint()) + fingerprint


class Auditing:
    """One table's merged cells in the owned lanes, and how far they are audited."""

    def __init__(
        self, saved: Mapping[Cell, Merged], positions: Mapping[int, Position], lanes: int
    ) -> None:
        self.audited_ms = min(position.audited_ms for position in positions.values())
        # Lanes that came from different owners were audited differently far.
        self._first = {n: cell_of(p.audited_ms, AUDIT_CELL_MS) for n, p in positions.items()}
        self._merged = dict(saved)
        self._merged_ms = 0
        self._lanes = lanes

    def _counts(self, cell: Cell) -> bool:
        first = cell_of(self.audited_ms, AUDIT_CELL_MS)
        return cell[1] >= max(first, self._first.get(cell[0], first))

    def add(
        self, events: Iterable[ChangeEvent], settled_ms: int, now_ms: int
    ) -> dict[Cell, Merged]:
        """Count changes that are published when their cells have settled already; gives the merged
        cells that changed.
        """
        settled_cell_us = cell_of(settled_ms) * 1000
        found: dict[Cell, list[int]] = {}
        for event in events:
            if event.time_us < settled_cell_us and (row_hash := hash_of(event)) is not None:
                start = cell_of(event.time_us // 1000, AUDIT_CELL_MS)
                found.setdefault((lane_of(event.token, self._lanes), start), []).append(row_hash)
        return self._count({c: Fingerprint().with_rows(each) for c, each in found.items()}, now_ms)

    def merge(
        self, settled: Mapping[Cell, Fingerprint], settled_ms: int, now_ms: int
    ) -> dict[Cell, Merged]:
        """Take in the cells that have settled up to a time; gives the merged ones that changed."""
        found: dict[Cell, Fingerprint] = {}
        for (lane, start), fingerprint in settled.items():
            cell = (lane, cell_of(start, AUDIT_CELL_MS))
            found[cell] = found.get(cell, Fingerprint()) + fingerprint
        self._merged_ms = max(self._merged_ms, cell_of(settled_ms))
        return self._count(found, now_ms)

    def _count(self, found: Mapping[Cell, Fingerprint], now_ms: int) -> dict[Cell, Merged]:
        before = {cell: self.published(cell) for cell in found if self._counts(cell)}
        changed = {
            cell: Merged(each.fingerprint + found[cell], max(each.until_ms, now_ms))
            for cell, each in before.items()
        }
        self._merged |= changed
        return changed

    def published(self, cell: Cell) -> Merged:
        """What was published of a wide cell."""
        return self._merged.get(cell, Merged())

    def read_first(self, window: Window, read_from_ms: int, delay_ms: int | None) -> None:
        """Count a first reading, which began at `read_from_ms`, if it is late enough."""
        if delay_ms is not None and self.audited_ms >= window.start_ms:
            self._reach(min(window.end_ms, read_from_ms - delay_ms))

    def pass_over(self, settled_ms: int) -> None:
        """Have no audit of what has settled."""
        self._reach(audit_from(settled_ms))

    def due(self, committed_ms: int, now_ms: int, delay_ms: int) -> Window | None:
        """The next cell to audit; None while none is."""
        start = cell_of(self.audited_ms, AUDIT_CELL_MS)
        end = start + AUDIT_CELL_MS
        is_due = end <= min(committed_ms, self._merged_ms, now_ms - delay_ms)
        return Window(start, end) if is_due else None

    def forgotten(self, now_ms: int, ttl_seconds: int) -> bool:
        """Whether the log forgot some of what is to be audited; that is passed over."""
        retained_ms = retained_from(now_ms, ttl_seconds)
        before = self.audited_ms
        if retained_ms is not None and retained_ms > cell_of(before, AUDIT_CELL_MS):
            self._reach(audit_from(retained_ms))
        return self.audited_ms > before

    def differing(self, seen: Seen) -> list[int]:
        """The lanes in which a reading of a cell saw other rows than were published."""
        start, found = seen.start_ms, by_lane(seen.cells)
        lanes = {lane for lane, at in self._merged if at == start} | found.keys()
        return sorted(
            lane
            for lane in lanes
            if self._counts((lane, start))
            and self.published((lane, start)).fingerprint != found.get(lane, Fingerprint())
        )

    def done(self, window: Window) -> None:
        """A cell was audited, and what was found is published."""
        self._reach(window.end_ms)

    def _reach(self, ms: int) -> None:
        self.audited_ms = max(self.audited_ms, ms)

    def forget(self) -> list[Cell]:
        """Drop the cells that no audit will look at; gives them."""
        gone = [cell for cell in self._merged if not self._counts(cell)]
        for cell in gone:
            del self._merged[cell]
        return gone
