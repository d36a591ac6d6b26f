"""Descriptions of streams as token ranges, each of the ring's tokens in one."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.position import RING_MAX, RING_MIN, StreamRange
from cdcd.source.generations import stream_token, tablet_ranges, vnode_ranges

tokens = st.integers(RING_MIN, RING_MAX) | st.sampled_from([RING_MIN, -1, 0, RING_MAX])
end_sets = st.sets(tokens, min_size=1, max_size=12)


def stream(token: int, low: int = 1) -> bytes:
    """A stream's id with this token."""
    return struct.pack(">qQ", token, low)


def holding(ranges: tuple[StreamRange, ...], token: int) -> list[StreamRange]:
    """The ranges that a token lies in."""
    return [r for r in ranges if token in r.range]


def owner(ends: set[int], token: int) -> int:
    """The end of the range that a token is in: the first at or after it, round the ring."""
    return min((e for e in ends if e >= token), default=min(ends))


@given(end_sets, tokens)
def test_vnodes_cover_the_ring_once(ends: set[int], token: int) -> None:
    """Every token is in exactly one range, and it is the one that the servers take for it."""
    rows = [{"range_end": end, "streams": {stream(end)}} for end in ends]
    (found,) = holding(vnode_ranges(rows), token)
    assert found.streams == (stream(owner(ends, token)),)


@given(end_sets)
def test_vnodes_have_no_empty_range(ends: set[int]) -> None:
    """No range is empty, and together they have every stream."""
    streams = {end: {stream(end), stream(end, 17)} for end in ends}
    ranges = vnode_ranges({"range_end": end, "streams": found} for end, found in streams.items())
    assert all(r.range.start < r.range.end for r in ranges)
    assert {s for r in ranges for s in r.streams} == set().union(*streams.values())


@given(end_sets, tokens)
def test_tablets_cover_the_ring_once(ends: set[int], token: int) -> None:
    """Every token is in exactly one tablet: the first whose stream's token is not below it."""
    last = max(ends)
    (found,) = holding(tablet_ranges(map(stream, ends)), token)
    expected = min((e for e in ends if e >= token), default=last)
    assert found.streams == (stream(expected),)


def test_tablets_of_a_server() -> None:
    """Of four tablets the ranges are the ring's quarters."""
    quarter = 2**62
    ends = [RING_MIN + quarter * n - 1 for n in (3, 1, 4, 2)]
    found = tablet_ranges(map(stream, ends))
    assert [r.range.end for r in found] == sorted(ends)
    assert found[0].range.start == RING_MIN - 1
    assert found[-1].range.end == RING_MAX


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("7fffffffffffffff55ebbda510000001", RING_MAX),
        ("ced00000000000009663c8dc500005a1", -0x3130000000000000),
        ("8000000000000000" + "0" * 15 + "1", RING_MIN),
    ],
)
def test_tokens_of_streams(text: str, token: int) -> None:
    """A stream's token is the first eight bytes of its id, signed."""
    assert stream_token(bytes.fromhex(text)) == token
