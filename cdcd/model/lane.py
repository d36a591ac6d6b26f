"""Lanes: slices of the ring of base partition tokens, and who owns which. Pure.

Lane i of n holds the tokens with `floor((token + 2^63) * n / 2^64) == i`. Because n is a power of
two, lanes begin and end where tablets do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cdcd.model.fingerprint import Cell, Fingerprint, Merged
from cdcd.model.position import RING_MIN, Position, TokenRange
from cdcd.model.refresh import Copied, Listed, Request


def lane_of(token: int, lanes: int) -> int:
    """The lane of a partition's token."""
    return (token - RING_MIN) * lanes >> 64


def lanes_of(tokens: Iterable[int], lanes: int) -> list[int]:
    """The lanes of many tokens, in their order."""
    down = 65 - lanes.bit_length()
    return [(token - RING_MIN) >> down for token in tokens]


def lane_range(lane: int, lanes: int) -> TokenRange:
    """The tokens of a lane."""
    width = 2**64 // lanes
    first = RING_MIN + lane * width
    return TokenRange(first - 1, first + width - 1)


@dataclass(frozen=True, slots=True)
class LaneSet:
    """Some lanes of a pipeline: the owned ones, of how many there are."""

    owned: frozenset[int]
    lanes: int

    def holds(self, token: int) -> bool:
        """Whether a partition's token lies in an owned lane."""
        return len(self.owned) == self.lanes or lane_of(token, self.lanes) in self.owned


@dataclass(frozen=True)
class Assignment:
    """The lanes that a worker owns now, and what was saved for them.

    `positions`, `cells`, `merged` and `copied`, the last copies that ended, are by table's full
    name, then by lane, or lane and cell; `requests` were not served yet, and `listed` are the
    refreshes that are not settled yet.
    """

    lanes: LaneSet
    positions: Mapping[str, Mapping[int, Position]]
    requests: tuple[Request, ...] = ()
    cells: Mapping[str, Mapping[Cell, Fingerprint]] = field(default_factory=dict)
    listed: tuple[Listed, ...] = ()
    copied: Mapping[str, Mapping[int, Copied]] = field(default_factory=dict)
    merged: Mapping[str, Mapping[Cell, Merged]] = field(default_factory=dict)


class LanesLost(Exception):
    """The assignment is no longer this worker's; what is in flight must be dropped."""
