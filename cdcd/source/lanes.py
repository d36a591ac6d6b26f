"""Lanes: slices of the ring of base partition tokens. Pure.

Lane i of n holds the tokens with `floor((token + 2^63) * n / 2^64) == i`. Because n is a power of
two, lanes begin and end where tablets do.
"""

from collections.abc import Collection, Iterable

from cdcd.model.position import RING_MIN, Generation, StreamRange, TokenRange


def lane_of(token: int, lanes: int) -> int:
    """The lane of a partition's token."""
    return (token - RING_MIN) * lanes >> 64


def lane_range(lane: int, lanes: int) -> TokenRange:
    """The tokens of a lane."""
    width = 2**64 // lanes
    first = RING_MIN + lane * width
    return TokenRange(first - 1, first + width - 1)


def streams_of(generation: Generation, owned: Collection[int], lanes: int) -> list[bytes]:
    """Every stream whose token range meets one of the owned lanes."""
    if len(owned) == lanes:
        return [s for r in generation.ranges for s in r.streams]
    slices = [lane_range(lane, lanes) for lane in owned]
    return [
        stream
        for vnode in generation.ranges
        if any(vnode.range.meets(s) for s in slices)
        for stream in vnode.streams
    ]


def unwrapped(start: int, end: int, streams: Iterable[bytes]) -> tuple[StreamRange, ...]:
    """A token range after `start` up to `end` that may wrap round the ring's end, cut there."""
    found = tuple(streams)
    if start < end:
        return (StreamRange(TokenRange(start, end), found),)
    last = RING_MIN + 2**64 - 1
    high = StreamRange(TokenRange(start, last), found) if start < last else None
    low = StreamRange(TokenRange(RING_MIN - 1, end), found)
    return (low, high) if high else (low,)
