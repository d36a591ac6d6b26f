"""Where one table's lanes stand, and what that means for the next read. Pure.

Lanes whose frontiers are equal are read together, in one window. After a start they may differ
(another worker had some of them): the hindmost are read first, up to where the next ones stand,
until all are together.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum

from cdcd.model.errors import TableStopped
from cdcd.model.fingerprint import cell_of
from cdcd.model.position import Generation, Position, Window, shortest_ttl
from cdcd.source.catalog import SourceTable
from cdcd.source.windows import generation_at, generation_end, next_window, retained_from


class Start(StrEnum):
    """Where a table without a saved position begins."""

    LOG = "log"
    NOW = "now"
    SNAPSHOT = "snapshot"


# What the log's expiry may take before the reader has read it, when the start is computed.
_EXPIRY_MARGIN_MS = 1000
# How old the saved position of a table may get that somebody watches.
WATCHED_SAVE_SECONDS = 1.0


def first_position(
    table: SourceTable, generations: tuple[Generation, ...], start: Start, head_ms: int
) -> Position:
    """Where a table without a saved position begins: at the oldest retained row, or at the head.

    Before a copy the head is so far back that all that was written before it shows in the base
    table, whatever it has waited for.
    """
    oldest = generations[0].start_ms
    retained = retained_from(head_ms, table.options.ttl_seconds)
    if retained is not None:
        oldest = max(oldest, retained + _EXPIRY_MARGIN_MS)
    # Settling reads whole cells: one that was begun in the middle would look as if rows were late.
    at_head = max(generations[0].start_ms, cell_of(head_ms))
    frontier = oldest if start is Start.LOG else at_head
    generation = generation_at(generations, frontier) or generations[0]
    ttl_seconds = table.options.ttl_seconds
    return Position(table.log_id, generation.start_ms, frontier, frontier, ttl_seconds=ttl_seconds)


def oldest_position(
    table: SourceTable, generations: tuple[Generation, ...], saved: Position, now_ms: int
) -> Position:
    """Where a lane begins that is to be read again from the oldest retained row: never behind its
    saved position, which the log still reaches back to.
    """
    first = first_position(table, generations, Start.LOG, now_ms)
    if first.frontier_ms <= saved.frontier_ms:
        return first
    return replace(saved, settled_ms=saved.frontier_ms, from_oldest=False)


def check_saved(
    table: SourceTable, generations: tuple[Generation, ...], position: Position, now_ms: int
) -> None:
    """Raise TableStopped where changes after a saved position may be missing from the log."""
    name = table.spec.full_name
    hint = f"make a new copy: cdcd backfill {name}"
    if not position.log_id:
        message = "changes were made while its CDC was off"
        raise TableStopped(name, message, hint, needs_snapshot=True)
    if position.log_id != table.log_id:
        message = "its CDC log was dropped and made again since it was last read"
        raise TableStopped(name, message, hint, needs_snapshot=True)
    if all(g.start_ms != position.generation_ms for g in generations):
        message = "the stream generation that it was last read in is gone"
        raise TableStopped(name, message, hint, needs_snapshot=True)
    ttl_seconds = table.options.ttl_seconds
    # Rows keep the time to live of their write, whatever the log's is now.
    shortest = shortest_ttl(position.ttl_seconds, ttl_seconds) or 0
    retained = retained_from(now_ms, shortest)
    if retained is not None and position.frontier_ms < retained:
        behind = (now_ms - position.frontier_ms) // 1000
        keeps = "keeps rows" if shortest == ttl_seconds else "kept rows of that time"
        message = (
            f"it was last read {behind} s ago, and its CDC log {keeps} for"
            f" {shortest} s: changes in between are gone"
        )
        raise TableStopped(name, message, hint, needs_snapshot=True)


def altered_unseen(table: SourceTable, positions: Iterable[Position]) -> bool:
    """Whether the table was altered behind all saved positions. If that turned its CDC off and on,
    changes are missing, and the log does not say so; a position may be older than the last look.
    """
    seen_ms = [p.frontier_ms for p in positions]
    return table.altered_ms is not None and bool(seen_ms) and table.altered_ms > max(seen_ms)


def save_after_ms(limit_seconds: float, ttl_seconds: int, *, is_watched: bool) -> int:
    """How old a saved position may get. A tenth of the log's life, 0 for ever, is left to start
    again in; and nobody who watches has to wait long.
    """
    seconds = min(limit_seconds, ttl_seconds / 10 if ttl_seconds else limit_seconds)
    return int(min(seconds, WATCHED_SAVE_SECONDS if is_watched else seconds) * 1000)


class Progress:
    """The lanes' positions, in memory ahead of those that are saved."""

    def __init__(self, positions: Mapping[int, Position]) -> None:
        self._positions = dict(positions)
        self._ttl_seconds: int | None = None
        # When the log's time to live became what it is, or was first looked at.
        self._ttl_since_ms = 0
        self._is_ttl_new = False

    @property
    def positions(self) -> Mapping[int, Position]:
        """Position by lane."""
        return self._positions

    @property
    def frontier_ms(self) -> int:
        """The hindmost lane's frontier."""
        return min(p.frontier_ms for p in self._positions.values())

    @property
    def ttl_seconds(self) -> int:
        """For how long what is to be read is kept at least; 0 for ever."""
        return shortest_ttl(*(p.ttl_seconds for p in self._positions.values())) or 0

    def keep(self, ttl_seconds: int, now_ms: int) -> None:
        """The log keeps what is written from now on for so long. What a lane has to read from
        before may be kept for a shorter time.
        """
        if ttl_seconds != self._ttl_seconds:
            self._ttl_seconds, self._ttl_since_ms = ttl_seconds, now_ms
            self._is_ttl_new = True
        if not self._is_ttl_new:
            return
        since_ms = self._ttl_since_ms
        for lane, position in self._positions.items():
            before = position.ttl_seconds if position.frontier_ms < since_ms else None
            shortest = shortest_ttl(before, ttl_seconds)
            self._positions[lane] = replace(position, ttl_seconds=shortest)
        self._is_ttl_new = self.frontier_ms < since_ms

    def hindmost(self) -> frozenset[int]:
        """The lanes that stand at the hindmost frontier."""
        frontier = self.frontier_ms
        return frozenset(n for n, p in self._positions.items() if p.frontier_ms == frontier)

    def window(
        self, generations: tuple[Generation, ...], head_ms: int, width_ms: int
    ) -> tuple[Generation, Window] | None:
        """What to read next for the hindmost lanes; None while the head is not far enough."""
        frontier = self.frontier_ms
        generation = generation_at(generations, frontier)
        if generation is None:
            return None
        ahead = [p.frontier_ms for p in self._positions.values() if p.frontier_ms > frontier]
        boundary = min(
            [generation_end(generations, generation) or head_ms, *ahead], default=head_ms
        )
        window = next_window(frontier, head_ms, width_ms, boundary)
        return (generation, window) if window else None

    def settled(self, settled_ms: int, audited_ms: int) -> Mapping[int, Position]:
        """All positions, settled and audited up to these times."""
        self._positions = {
            lane: replace(
                p,
                settled_ms=max(p.settled_ms, settled_ms),
                audited_ms=max(p.audited_ms, audited_ms),
            )
            for lane, p in self._positions.items()
        }
        return dict(self._positions)

    def advance(self, lanes: Iterable[int], generation: Generation, window: Window) -> None:
        """Move the lanes behind a window that was read."""
        self._positions |= {
            lane: replace(
                self._positions[lane],
                generation_ms=generation.start_ms,
                frontier_ms=window.end_ms,
            )
            for lane in lanes
        }


def missing(lanes: Collection[int], saved: Mapping[int, Position]) -> frozenset[int]:
    """The lanes that have no saved position."""
    return frozenset(lanes) - frozenset(saved)
