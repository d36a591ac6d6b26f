"""How much a table reads from the base while its lanes stand still. Pure.

A stop should last so long at most. How many rows fit in is not known beforehand: it depends on the
servers, the rows, and what else this worker does. So it is learned, from one stop to the next. What
any stop costs, however little it reads, is left out of account: reading less would not mend it.
"""

from dataclasses import dataclass

# Reads of single rows in one stop, and rows that wide reads bring; and where they begin.
READS_MIN, READS_MAX, READS_FIRST = 20, 1000, 100
ROWS_MIN, ROWS_MAX, ROWS_FIRST = 100, 20_000, 500
# A stop says something of the limit only if it used so much of it.
_USED = 0.75
# How fast the cheapest stop that was seen is forgotten: servers may become slower.
_FORGET = 1.02


@dataclass(frozen=True, slots=True)
class Spent:
    """What a stop has read, and the seconds that reading and publishing took."""

    reads: int
    rows: int
    read_seconds: float
    publish_seconds: float


class Allowance:
    """Limits of one table's next stop."""

    def __init__(self, stop_seconds_max: float) -> None:
        self.reads = READS_FIRST
        self.rows = ROWS_FIRST
        self._seconds_max = stop_seconds_max
        self._least_seconds: float | None = None

    def learn(self, spent: Spent) -> None:
        """Take in what a stop took."""
        least = self._least_seconds
        self._least_seconds = (
            spent.publish_seconds if least is None else min(least * _FORGET, spent.publish_seconds)
        )
        seconds = spent.read_seconds + spent.publish_seconds - self._least_seconds
        if seconds > self._seconds_max:
            factor = max(self._seconds_max / seconds, 0.25)
        elif seconds < self._seconds_max / 2:
            factor = 2.0
        else:
            return
        if spent.reads >= self.reads * _USED or (factor < 1 and spent.reads):
            self.reads = min(max(int(self.reads * factor), READS_MIN), READS_MAX)
        if spent.rows >= self.rows * _USED or (factor < 1 and spent.rows):
            self.rows = min(max(int(self.rows * factor), ROWS_MIN), ROWS_MAX)
