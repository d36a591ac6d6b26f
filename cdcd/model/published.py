"""Published rows that are read back from where they went. Pure."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cdcd.model.position import Window

# How far the clocks of servers, workers and brokers may be apart. Where what is read back does not
# add up to what was published, more of it is read, once.
MARGINS_MS = (60_000, 3_600_000)


class PublishedRow(NamedTuple):
    """A log row that was published: its partition's token, its time, the hash of its identity."""

    token: int
    time_ms: int
    row_hash: int


@dataclass(frozen=True, slots=True)
class Sought:
    """The log rows with times of a window that were published by a time; None is now."""

    window: Window
    until_ms: int | None
    margin_ms: int


# Takes published rows, some at a time.
TakePublished = Callable[[Sequence[PublishedRow]], Awaitable[None]]
