"""Which streams a worker has to read for its lanes. Pure."""

from collections.abc import Iterable

from cdcd.model.lane import LaneSet, lane_range
from cdcd.model.position import RING_MAX, RING_MIN, Generation, StreamRange, TokenRange


def streams_of(generation: Generation, lanes: LaneSet) -> list[bytes]:
    """Every stream whose token range meets one of the owned lanes, each once."""
    slices = [lane_range(lane, lanes.lanes) for lane in lanes.owned]
    found = {
        stream: None
        for vnode in generation.ranges
        if any(vnode.range.meets(s) for s in slices)
        for stream in vnode.streams
    }
    return list(found)


def unwrapped(start: int, end: int, streams: Iterable[bytes]) -> tuple[StreamRange, ...]:
    """A token range after `start` up to `end` that may wrap round the ring's end, cut there."""
    found = tuple(streams)
    if start < end:
        return (StreamRange(TokenRange(start, end), found),)
    high = StreamRange(TokenRange(start, RING_MAX), found) if start < RING_MAX else None
    low = StreamRange(TokenRange(RING_MIN - 1, end), found)
    return (low, high) if high else (low,)
