"""What is read from change topics, as values."""

from operator import attrgetter
from typing import NamedTuple

Headers = list[tuple[str, str | bytes | None]]

# Marks a change that was found behind the frontier.
LATE_HEADER = "cdcd-late"
# The context of the trace that the record belongs to, as the W3C has it; on traced records only.
TRACE_HEADER = "traceparent"


def read_headers(
    headers: Headers | dict[str, str | bytes | None] | None,
) -> tuple[bool, bytes | None]:
    """Whether a record's headers say that it is late, and the context of its trace; of headers of
    one name the last counts.
    """
    if not headers:
        return False, None
    found = dict(headers)
    traceparent = found.get(TRACE_HEADER)
    return LATE_HEADER in found, traceparent if isinstance(traceparent, bytes) else None


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


class Record(NamedTuple):
    """One record as it was read; `timestamp_ms` is when it was produced. A late one says what
    happened, and the refresh behind it what is true. `traceparent` is there if it is traced.
    """

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    is_late: bool = False
    traceparent: bytes | None = None


# What is asked of each record, without a call of Python's own.
PARTITION, OFFSET, TIMESTAMP_MS, IS_LATE = map(
    attrgetter, ("partition", "offset", "timestamp_ms", "is_late")
)


class OffsetRanges:
    """How many records there are, and the first and the last offset of them by partition."""

    def __init__(self) -> None:
        self.count = 0
        self._ranges: dict[int, tuple[int, int]] = {}

    def add(self, partition: int, offset: int) -> None:
        """One more record."""
        self.count += 1
        first, last = self._ranges.get(partition, (offset, offset))
        self._ranges[partition] = min(first, offset), max(last, offset)

    @property
    def texts(self) -> list[str]:
        """Each range as `partition:first-last`."""
        return [
            f"{number}:{first}-{last}" for number, (first, last) in sorted(self._ranges.items())
        ]
