"""What is read from change topics, as values."""

from typing import NamedTuple

# Marks a change that was found behind the frontier.
LATE_HEADER = "cdcd-late"


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


class Record(NamedTuple):
    """One record as it was read; `timestamp_ms` is when it was produced. A late one says what
    happened, and the refresh behind it what is true.
    """

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    is_late: bool = False
