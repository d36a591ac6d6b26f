"""When tables that have stopped are tried again: later each time, at once when something changed.

What stopped a table may be mended from outside, by an ALTER TABLE, a right that is granted, a row.
Nobody should have to restart a worker for that.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from cdcd.ops.retry import Backoff

BACKOFF = Backoff(first_seconds=4.0, pause_seconds_max=60.0)


@dataclass(frozen=True, slots=True)
class _Stop:
    reason: str
    tries: int
    again_at: float


class Comeback:
    """The stopped tables of one stage."""

    def __init__(
        self, backoff: Backoff = BACKOFF, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backoff = backoff
        self._clock = clock
        self._stops: dict[str, _Stop] = {}

    def __contains__(self, table: str) -> bool:
        return table in self._stops

    def stopped(self, table: str, reason: str) -> bool:
        """The table has stopped; whether that is news, or a try that ended as the one before."""
        before = self._stops.get(table)
        tries = before.tries + 1 if before else 0
        again_at = self._clock() + self._backoff.pause_seconds(tries)
        self._stops[table] = _Stop(reason, tries, again_at)
        return before is None or before.reason != reason

    def is_due(self, table: str) -> bool:
        """Whether a stopped table should be tried again now."""
        stop = self._stops.get(table)
        return stop is not None and self._clock() >= stop.again_at

    def hurry(self) -> None:
        """Something has changed that may have mended any of them."""
        self._stops = {t: _Stop(s.reason, s.tries, 0.0) for t, s in self._stops.items()}

    def recovered(self, table: str) -> bool:
        """The table works; whether it had been stopped."""
        return self._stops.pop(table, None) is not None
