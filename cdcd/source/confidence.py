"""The distance that the fast reading keeps from the clock. Pure.

It is as short as the settings allow as long as nothing is late. Each first settling pass that finds
late rows doubles it, and each that finds none lets it shrink again: late rows are not lost, but
they wait for that pass, so being a little slower for all is better than much slower for some.
Beyond the limit it does not follow: writers that backdate on purpose are always late.
"""

_SHRINK = 0.9


class Confidence:
    """One table's distance in milliseconds."""

    def __init__(self, min_ms: int, max_ms: int) -> None:
        self._min_ms = min_ms
        self._max_ms = max(min_ms, max_ms)
        self.distance_ms = min_ms

    def learn(self, late_rows: int) -> None:
        """Take in what a first settling pass found."""
        if late_rows:
            self.distance_ms = min(self._max_ms, max(self.distance_ms, 1) * 2)
        else:
            self.distance_ms = max(self._min_ms, int(self.distance_ms * _SHRINK))
