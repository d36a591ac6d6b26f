"""How long idle tables wait between two reads, so that reading nothing costs little. Pure.

A table is read by some queries, one for up to a hundred streams. What the last read of each idle
table took is together what it takes to read them all once, and the pause has to be so long that no
more than the limit come in a second.
"""

# Pauses grow to so many times their setting, and no further: a change must not wait for long.
STRETCH_MAX = 20.0


class Idling:
    """The longest pause of one worker's idle tables."""

    def __init__(self, longest_ms: int, queries_per_second_max: float) -> None:
        """`longest_ms` is the longest pause as it is set."""
        self._longest_ms = longest_ms
        self._queries_per_second_max = queries_per_second_max
        # How many queries the last read of a table took, by idle table, and of all together.
        self._queries: dict[str, int] = {}
        self._sum = 0

    @property
    def longest_ms(self) -> int:
        """The longest pause as it has to be now, in whole milliseconds."""
        needed_ms = self._sum * 1000 / self._queries_per_second_max
        return int(min(max(self._longest_ms, needed_ms), self._longest_ms * STRETCH_MAX))

    def read(self, table: str, queries: int, rows: int) -> None:
        """So many queries have brought so many rows of a table; none, where it is idle."""
        self.forget(table)
        if not rows:
            self._queries[table] = queries
            self._sum += queries

    def forget(self, table: str) -> None:
        """The table is not read any more."""
        self._sum -= self._queries.pop(table, 0)
