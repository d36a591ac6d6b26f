"""The distance that the fast reading keeps from the clock. Pure.

It is as short as the settings allow as long as few rows are late. A first settling pass that finds
more of them doubles it, and each that does not lets it shrink again: late rows are not lost, but
they wait for that pass, so being a little slower for all is better than much slower for some, but
not than much slower for very few. Late rows of before it was doubled do not double it again, and
beyond the limit it does not follow: writers that backdate on purpose are always late.
"""

from dataclasses import dataclass

# The share of rows that may be late.
LATE_SHARE_MAX = 0.001
_SHRINK = 0.8


@dataclass(frozen=True, slots=True)
class FirstPass:
    """What a first settling pass has found: of how many log rows, the first of which may be of
    `start_ms`, how many were late; and when it began, in milliseconds since 1970.
    """

    late_rows: int
    rows: int
    start_ms: int
    now_ms: int


class Confidence:
    """One table's distance in milliseconds."""

    def __init__(self, min_ms: int, max_ms: int) -> None:
        self._min_ms = min_ms
        self._max_ms = max(min_ms, max_ms)
        self._doubled_ms = 0
        self.distance_ms = min_ms

    def learn(self, found: FirstPass) -> None:
        """Take in what a first settling pass has found."""
        if found.late_rows <= found.rows * LATE_SHARE_MAX:
            self.distance_ms = max(self._min_ms, int(self.distance_ms * _SHRINK))
        elif found.start_ms >= self._doubled_ms:
            self.distance_ms = min(self._max_ms, max(self.distance_ms, 1) * 2)
            self._doubled_ms = found.now_ms
