"""When which part of the log is read again. Pure; times are milliseconds since 1970.

Each pass follows the frontier at its delay. `reached[k]` is where pass k stands; the log below the
last one is settled. A first reading that itself came so late counts for the pass too, so that old
backlog is not read three times.
"""

from collections.abc import Sequence

from cdcd.model.fingerprint import CELL_MS, cell_of
from cdcd.model.position import Window


class Settling:
    """How far each settling pass of one table has come."""

    def __init__(self, delays_ms: Sequence[int], settled_ms: int) -> None:
        self._delays = tuple(sorted(delays_ms))
        self._reached = [settled_ms] * len(self._delays)

    @property
    def settled_ms(self) -> int:
        """Everything below is settled."""
        return min(self._reached)

    @property
    def horizon_ms(self) -> int:
        """The longest delay."""
        return self._delays[-1]

    def read_first(self, window: Window, read_from_ms: int) -> None:
        """Count a first reading, which began at `read_from_ms`, for each pass it is late enough."""
        for number, delay in enumerate(self._delays):
            old_enough = min(window.end_ms, read_from_ms - delay)
            # Only what follows without a gap: the part before was read too early to count.
            if self._reached[number] >= window.start_ms:
                self._reached[number] = max(self._reached[number], old_enough)

    def due(self, frontier_ms: int, now_ms: int, span_ms: int) -> tuple[int, Window] | None:
        """The next window to read again and for which pass, the oldest first; None if none is.

        It lies on whole cells, of which fingerprints are, and is about `span_ms` wide.
        """
        found = None
        for number, delay in enumerate(self._delays):
            start = cell_of(self._reached[number])
            end = cell_of(min(frontier_ms, now_ms - delay, start + max(span_ms, CELL_MS)))
            if end > start and (found is None or start < found[1].start_ms):
                found = (number, Window(start, end))
        return found

    def done(self, number: int, window: Window) -> None:
        """Pass `number` has read a window, and what it found is published."""
        self._reached[number] = max(self._reached[number], window.end_ms)
