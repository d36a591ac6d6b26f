"""How long idle tables wait between two reads, so that reading nothing costs little. Pure.

A table is read by some queries, one for up to a hundred streams. What the last read of each idle
table took is together what it takes to read them all once, and the pause has to be so long that no
more than the limit come in a second; but for the longest pause that there is, behind which they are
more again.
"""

# Longer than this no change waits, unless it is set.
PAUSE_MS_MAX = 10_000


class Idling:
    """The longest pause of one worker's idle tables."""

    def __init__(
        self, set_ms: int, queries_per_second_max: float, most_ms: int = PAUSE_MS_MAX
    ) -> None:
        """`set_ms` is the longest pause as it is set, `most_ms` to what it may grow."""
        self._set_ms = set_ms
        self._queries_per_second_max = queries_per_second_max
        self._most_ms = max(set_ms, most_ms)
        # How many queries the last read of a table took, by idle table, and of all together.
        self._queries: dict[str, int] = {}
        self._sum = 0

    @property
    def longest_ms(self) -> int:
        """The longest pause as it has to be now, in whole milliseconds."""
        needed_ms = self._sum * 1000 / self._queries_per_second_max
        return int(min(max(self._set_ms, needed_ms), self._most_ms))

    def longer_ms(self, pause_ms: int) -> int:
        """The next pause of a table that stays idle."""
        return min(pause_ms * 2, self.longest_ms)

    def pause_ms(self, pause_ms: int, *, is_watched: bool) -> int:
        """A table's pause, which is no longer than it is set while somebody waits for the table."""
        return min(pause_ms, self._set_ms) if is_watched else pause_ms

    def read(self, table: str, queries: int, *, is_idle: bool) -> None:
        """A table was read by so many queries; it is idle where they brought no changes."""
        self.forget(table)
        if is_idle:
            self._queries[table] = queries
            self._sum += queries

    def forget(self, table: str) -> None:
        """The table is not read any more, or not now."""
        self._sum -= self._queries.pop(table, 0)
