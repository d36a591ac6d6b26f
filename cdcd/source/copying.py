"""Copies of a table: how far each lane's part has come, and when it may go on.

A copy is a request for a token range that is served a part at a time. What is left of it is saved
in the transaction that publishes a part, so a part that was copied is never read again. It gives
way: it waits while the log is read late, and rests after each part for as long as it took, so
that servers that answer slowly are asked less.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cdcd.config.settings import SourceSettings
from cdcd.model.change import Operation
from cdcd.model.lane import LaneSet, lane_of, lane_range
from cdcd.model.position import Position
from cdcd.model.refresh import Copied, Copy, Listed, Request, Tokens
from cdcd.ops.board import Board
from cdcd.source.listed import listing
from cdcd.source.refresh import Found

# Parts of one lane that were read within this time share an entry in the list of refreshes.
SEGMENT_MS = 30_000
# How soon a copy that may not go on is looked at again.
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Segment:
    """Parts that are listed as one: from which token on, and the frontier of the first."""

    start: int
    frontier_ms: int


@dataclass(frozen=True, slots=True)
class _Pace:
    """How much was done when this worker first looked."""

    share: float
    at_seconds: float


class Copies:
    """The copies of one table in the owned lanes."""

    def __init__(self, settings: SourceSettings, lanes: int, board: Board) -> None:
        self._lanes = lanes
        self._board = board
        self._lag_ms = int(settings.copy_lag_seconds_max * 1000)
        self._rest_factor = 1 / settings.copy_share_max - 1
        self._requests: dict[str, Request] = {}
        # What is left of each by what was published last, which the lanes may not have told yet.
        self._lefts: dict[str, Request] = {}
        self._rest_until = 0.0
        self._segments: dict[str, _Segment] = {}
        # Tokens that the copies began with, by request.
        self._widths: dict[str, int] = {}
        self._pace: _Pace | None = None
        self._rows = 0

    def add(self, request: Request) -> None:
        """Take in a copy, or what is left of one."""
        self._requests[request.id] = self._lefts[request.id] = request
        if request.copy is not None:
            self._widths[request.id] = max(request.copy.whole.end - request.copy.whole.start, 1)

    def remove(self, requests: Iterable[Request]) -> None:
        """Take out those that were served, but for those that have come again since."""
        for request in requests:
            if self._requests.get(request.id) == request:
                del self._requests[request.id]

    @property
    def all(self) -> list[Request]:
        """Those that are not at their end."""
        return list(self._requests.values())

    def begun_anew(self) -> frozenset[int]:
        """The lanes of which all is yet to be copied."""
        return frozenset(
            lane
            for request in self._requests.values()
            if request.scope
            == Tokens(lane_range(lane := lane_of(request.token, self._lanes), self._lanes))
        )

    def named(self, request_id: str) -> list[Request]:
        """The copy of that id, if it is there."""
        found = self._requests.get(request_id)
        return [] if found is None else [found]

    def due(
        self, positions: Mapping[int, Position], head_ms: int, now_seconds: float
    ) -> list[Request]:
        """Those that may go on now; the log is read up to `head_ms` if it is read in time."""
        if now_seconds < self._rest_until:
            return []
        found = []
        for request in self._requests.values():
            frontier_ms = positions[lane_of(request.token, self._lanes)].frontier_ms
            asked_ms = request.copy.asked_ms if request.copy else 0
            if frontier_ms >= asked_ms and head_ms - frontier_ms <= self._lag_ms:
                found.append(request)
        return sorted(found, key=lambda request: request.token)

    def wait_seconds(self, now_seconds: float) -> float:
        """How long until one may go on, at least; without one for ever."""
        if not self._requests:
            return float("inf")
        return max(self._rest_until - now_seconds, LOOK_SECONDS)

    def worked(self, served: Iterable[Request], seconds: float, now_seconds: float) -> None:
        """Rest after a stop that copied."""
        tables = {request.table for request in served if request.copy is not None}
        for table in tables:
            self._rest_until = now_seconds + seconds * self._rest_factor
            self._report(table, now_seconds)

    def listing(self, request: Request, read: Found, frontier_ms: int) -> Listed:
        """The entry for what was read."""
        covered = read.covered
        if request.copy is None or not isinstance(covered, Tokens):
            return listing(request.table, covered, request.token, frontier_ms)
        segment = self._segments.get(request.id)
        if segment is None or frontier_ms - segment.frontier_ms > SEGMENT_MS:
            segment = _Segment(covered.range.start, frontier_ms)
            self._segments[request.id] = segment
        whole = Tokens(replace(covered.range, start=segment.start))
        named = Tokens(replace(covered.range, start=segment.start, end=segment.start))
        entry = listing(request.table, whole, request.token, frontier_ms)
        return replace(entry, id=listing(request.id, named, request.token, 0).id)

    def went_on(
        self, request: Request, read: Found | None, now_ms: int
    ) -> tuple[list[Request], list[Copied]]:
        """What is left of a copy after a part of it, or its end; without a read it is cancelled."""
        copy = request.copy
        if copy is None:
            raise RuntimeError("the request is no copy")
        began_ms = copy.began_ms or now_ms
        events = read.events if read else ()
        rows = sum(e.op is Operation.READ and not e.is_static for e in events)
        self._rows += rows
        if read is not None and read.left is not None:
            copy = replace(copy, rows=copy.rows + rows, began_ms=began_ms)
            left = self._lefts[request.id] = replace(request, scope=read.left, copy=copy)
            return [left], []
        self._segments.pop(request.id, None)
        self._lefts.pop(request.id, None)
        ended = Copied(
            request.table,
            request.token,
            copy.run,
            copy.rows + rows,
            began_ms,
            now_ms,
            left=request if read is None else None,
        )
        return [], [ended]

    def _report(self, table: str, now_seconds: float) -> None:
        total = sum(self._widths.values())
        left = sum(_left(request) for request in self._lefts.values())
        share = 1 - left / total if total else 1.0
        if self._pace is None:
            self._pace = _Pace(share, now_seconds)
        done, seconds = share - self._pace.share, now_seconds - self._pace.at_seconds
        eta = (1 - share) * seconds / done if done > 0 else None
        self._board.copying(table, share, self._rows, eta)
        self._rows = 0
        if not self._lefts:
            self._widths, self._pace = {}, None


def copy_of_lane(table: str, run: str, lane: int, lanes: int, asked_ms: int) -> Request:
    """The request to copy all that a table has in a lane."""
    whole = lane_range(lane, lanes)
    copy = Copy(run, whole, asked_ms)
    return Request(f"{run}.{lane}", table, Tokens(whole), whole.end, asked_ms, copy)


def copies_at_start(table: str, unread: LaneSet, asked_ms: int) -> list[Request]:
    """The requests to copy lanes that were never read."""
    run, lanes = f"start-{table}", unread.lanes
    return [copy_of_lane(table, run, lane, lanes, asked_ms) for lane in sorted(unread.owned)]


def _left(request: Request) -> int:
    """How many tokens are left to be copied."""
    scope = request.scope
    return max(scope.range.end - scope.range.start, 1) if isinstance(scope, Tokens) else 1
