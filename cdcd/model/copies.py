"""How far copies are, over all lanes, from what the lanes say. Pure; times are milliseconds."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from cdcd.model.refresh import Copied, Copy, Request, Tokens

MS = 1000


class CopyState(StrEnum):
    """What becomes of a copy."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class CopyStanding:
    """One copy of one table. `share` is how much is done, by tokens; `remaining_seconds` is what
    the rest may take at the pace so far, None before there is one.
    """

    table: str
    run: str
    state: CopyState
    share: float
    rows: int
    lanes: int
    lanes_done: int
    began_ms: int | None
    ended_ms: int | None
    remaining_seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        return {**asdict(self), "state": self.state.value}


def standings(
    running: Iterable[Request], ended: Mapping[tuple[int, str], Copied], now_ms: int
) -> list[CopyStanding]:
    """All copies that run, and of each other table the one that ended last."""
    parts: dict[tuple[str, str], list[tuple[Request, Copy]]] = {}
    resumed: set[tuple[str, int]] = set()
    for request in running:
        if request.copy is not None:
            parts.setdefault((request.table, request.copy.run), []).append((request, request.copy))
            resumed.add((request.copy.run, request.token))
    lasts: dict[tuple[str, str], list[Copied]] = {}
    for copied in ended.values():
        if (copied.run, copied.token) not in resumed:
            lasts.setdefault((copied.table, copied.run), []).append(copied)
    names = {table for table, _ in parts}
    found = [_running(k, going, lasts.get(k, []), now_ms) for k, going in parts.items()]
    newest: dict[str, CopyStanding] = {}
    for (table, run), done in lasts.items():
        if table not in names:
            standing = _ended(table, run, done)
            before = newest.get(table)
            if before is None or (before.ended_ms or 0) < (standing.ended_ms or 0):
                newest[table] = standing
    return sorted([*found, *newest.values()], key=lambda each: (each.table, each.run))


def _running(
    key: tuple[str, str], going: list[tuple[Request, Copy]], done: list[Copied], now_ms: int
) -> CopyStanding:
    count = len(going) + len(done)
    share = (len(done) + sum(_share(r, c) for r, c in going)) / count
    begins = [c.began_ms for _, c in going if c.began_ms] + [c.began_ms for c in done]
    began_ms = min(begins, default=None)
    remaining = None
    if began_ms is not None and share > 0:
        remaining = (now_ms - began_ms) / MS * (1 - share) / share
    rows = sum(c.rows for _, c in going) + sum(c.rows for c in done)
    state = CopyState.RUNNING
    return CopyStanding(*key, state, share, rows, count, len(done), began_ms, None, remaining)


def _ended(table: str, run: str, done: list[Copied]) -> CopyStanding:
    cancelled = any(c.cancelled for c in done)
    return CopyStanding(
        table,
        run,
        CopyState.CANCELLED if cancelled else CopyState.DONE,
        sum(not c.cancelled for c in done) / len(done),
        sum(c.rows for c in done),
        len(done),
        len(done),
        min(c.began_ms for c in done),
        max(c.ended_ms for c in done),
        None,
    )


def _share(request: Request, copy: Copy) -> float:
    if not isinstance(request.scope, Tokens):
        return 0.0
    whole = copy.whole.end - copy.whole.start
    return (request.scope.range.start - copy.whole.start) / whole if whole else 0.0
