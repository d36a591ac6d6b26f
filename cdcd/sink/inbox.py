"""Records of one table that wait for their batch. Pure: it only counts and cuts."""

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, groupby

from cdcd.transport.records import PARTITION, TIMESTAMP_MS, Record


@dataclass(frozen=True, slots=True)
class Move:
    """A partition's step from its saved offset, None where nothing is saved, to the next."""

    partition: int
    start: int | None
    next_offset: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Records of one batch in order, and the offsets behind them; of one epoch of the inbox."""

    epoch: int
    records: list[Record]
    moves: list[Move]


class Inbox:
    """A bounded buffer. `epoch` changes whenever what was in it became void."""

    def __init__(self, rows_max: int, bytes_max: int) -> None:
        self.epoch = 0
        self._bytes = 0
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._records: list[Record] = []
        self._sizes: list[int] = []
        # By partition: where the next slice starts (None: nothing is saved yet), where the next
        # record is to come from, and the end as it was last seen.
        self._starts: dict[int, int | None] = {}
        self._next: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        # The oldest record's time of each slice that was taken and is not done, in order.
        self._taken: deque[int | None] = deque()

    def begin(self, saved: Mapping[int, int | None]) -> None:
        """Void everything; these partitions are read from their saved offsets."""
        self.clear()
        self._starts = dict(saved)
        self._next = {number: offset or 0 for number, offset in saved.items()}

    def clear(self) -> None:
        """Void everything; no partition is read."""
        self.epoch += 1
        self._bytes = 0
        self._records.clear()
        self._sizes.clear()
        self._taken.clear()
        self._starts, self._next, self._ends = {}, {}, {}

    def offer(self, *records: Record) -> None:
        """Put records in. One that is not of these partitions, or not next, is passed over."""
        taken: list[Record] = []
        for partition, run in groupby(records, PARTITION):
            following = self._next.get(partition.number)
            if following is None:
                continue
            for record in run:
                if record.offset >= following:
                    following = record.offset + 1
                    taken.append(record)
            self._next[partition.number] = following
        sizes = [len(record.key or b"") + len(record.value or b"") for record in taken]
        self._records += taken
        self._sizes += sizes
        self._bytes += sum(sizes)

    def offer_end(self, number: int, offset: int) -> None:
        """Everything of the partition below `offset` has been put in.

        An end behind what is known is passed over: a broker that has just started may tell one, for
        it learns anew up to where its partitions are committed.
        """
        if offset >= self._next.get(number, offset + 1):
            self._ends[number] = self._next[number] = offset

    @property
    def rows(self) -> int:
        """How many records are in it."""
        return len(self._records)

    @property
    def is_full(self) -> bool:
        """Whether nothing should be put in for now."""
        return self.rows >= self._rows_max or self._bytes >= self._bytes_max

    @property
    def has_room(self) -> bool:
        """Whether it is at most half full."""
        return self.rows * 2 <= self._rows_max and self._bytes * 2 <= self._bytes_max

    @property
    def positions(self) -> dict[int, int]:
        """By partition: the offset from which the next record is to come."""
        return dict(self._next)

    @property
    def oldest_ms(self) -> int | None:
        """The time of the oldest record that was put in and is not done; None if all are."""
        times = [ms for ms in self._taken if ms is not None]
        if self._records:
            times.append(self._records[0].timestamp_ms)
        return min(times, default=None)

    def done(self) -> None:
        """The slice that was taken first is applied."""
        self._taken.popleft()

    def take(self, rows_max: int, bytes_max: int) -> Slice:
        """The next records within the limits, at least one if there is any.

        When that empties the inbox, partitions whose end was seen step up to it: transaction
        markers take offsets too, and a saved offset must not fall behind the topic's start when
        retention removes them.
        """
        grown = list(accumulate(self._sizes[:rows_max]))
        count = max(bisect_right(grown, bytes_max), min(1, len(grown)))
        records = self._records[:count]
        self._bytes -= grown[count - 1] if count else 0
        del self._records[:count], self._sizes[:count]
        behind: dict[int, int] = {}
        for partition, run in groupby(records, PARTITION):
            *_, last = run
            behind[partition.number] = last.offset + 1
        if not self._records:
            for number, end in self._ends.items():
                # Slices that left something over may have gone beyond it since it was seen.
                if end > behind.get(number, self._starts[number] or 0):
                    behind[number] = end
            self._ends = {}
        moves = [
            Move(number, self._starts[number], offset)
            for number, offset in behind.items()
            if offset != (self._starts[number] or 0)
        ]
        # A partition that makes no step keeps its start: "nothing saved" is not offset 0.
        self._starts.update({move.partition: move.next_offset for move in moves})
        if moves:
            self._taken.append(min(map(TIMESTAMP_MS, records), default=None))
        return Slice(self.epoch, records, moves)
