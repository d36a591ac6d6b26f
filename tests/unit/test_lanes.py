"""Lanes divide the ring, and a lane's changes come from all streams that meet it."""

from itertools import pairwise

import pytest
from cassandra.metadata import Murmur3Token
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.model.lane import LaneSet, lane_of, lane_range, lanes_of
from cdcd.model.position import RING_MAX, RING_MIN, Generation, StreamRange, TokenRange
from cdcd.source.decode import serialized_key
from cdcd.source.lanes import streams_of, unwrapped
from cdcd.source.session import partition_token

tokens = st.integers(RING_MIN, RING_MAX) | st.sampled_from([RING_MIN, -1, 0, 1, RING_MAX])
counts = st.integers(0, 10).map(lambda n: 2**n)


@given(tokens, counts)
def test_every_token_is_in_one_lane(token: int, lanes: int) -> None:
    """A token is in the range of its own lane and of no other."""
    own = lane_of(token, lanes)
    assert 0 <= own < lanes
    assert token in lane_range(own, lanes)
    neighbours = {own - 1, own + 1} & set(range(lanes))
    assert not any(token in lane_range(n, lanes) for n in neighbours)


@given(st.lists(tokens), counts)
def test_lanes_of_many_tokens(many: list[int], lanes: int) -> None:
    """Asked for together, tokens are in the lanes that they are in one by one."""
    assert lanes_of(many, lanes) == [lane_of(token, lanes) for token in many]


@pytest.mark.parametrize("lanes", [1, 2, 16, 1024])
def test_lanes_are_the_whole_ring(lanes: int) -> None:
    """The lanes' ranges follow each other from one end of the ring to the other."""
    found = [lane_range(n, lanes) for n in range(lanes)]
    assert (found[0].start, found[-1].end) == (RING_MIN - 1, RING_MAX)
    assert all(left.end == right.start for left, right in pairwise(found))


@pytest.mark.parametrize("lanes", [1, 2, 16, 1024])
def test_lanes_agree_with_their_ranges_at_the_edges(lanes: int) -> None:
    """The first and last token of a lane's range are in the lane."""
    for lane in range(lanes):
        edges = lane_range(lane, lanes)
        assert lane_of(edges.start + 1, lanes) == lane_of(edges.end, lanes) == lane


@given(tokens, counts)
def test_lanes_nest(token: int, lanes: int) -> None:
    """With twice as many lanes each one is divided in two."""
    assert lane_of(token, lanes * 2) // 2 == lane_of(token, lanes)


@pytest.mark.parametrize("tablets", [1, 2, 4, 32, 2048])
def test_lanes_and_tablets_align(tablets: int) -> None:
    """A tablet's range lies in one lane, or lanes lie in one tablet: no edge cuts another's."""
    width = 2**64 // tablets
    ends = {RING_MIN + width * n - 1 for n in range(1, tablets + 1)}
    lanes = {lane_range(n, 16).end for n in range(16)}
    assert ends <= lanes or lanes <= ends


@given(tokens, counts, st.data())
def test_a_set_of_lanes_holds_their_tokens(token: int, lanes: int, data: st.DataObject) -> None:
    """A set of lanes holds a token exactly if the token's lane is in it."""
    owned = frozenset(data.draw(st.sets(st.integers(0, lanes - 1), max_size=4)))
    assert LaneSet(owned, lanes).holds(token) == (lane_of(token, lanes) in owned)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=3))
def test_tokens_are_the_drivers(parts: list[bytes]) -> None:
    """A partition key's token is the driver's for the key as it is sent in a request."""
    if len(parts) == 1:
        routing_key = parts[0]
    else:
        routing_key = b"".join(len(p).to_bytes(2, "big") + p + b"\x00" for p in parts)
    assert partition_token(serialized_key(parts)) == Murmur3Token.from_key(routing_key).value


# `SELECT token(…)` of a server, for an int 1, the text 'a', and the key (1, 'a').
@pytest.mark.parametrize(
    ("parts", "token"),
    [
        ([b"\x00\x00\x00\x01"], -4069959284402364209),
        ([b"a"], -8839064797231613815),
    ],
)
def test_tokens_of_servers(parts: list[bytes], token: int) -> None:
    """Tokens are those that a server computes."""
    assert partition_token(serialized_key(parts)) == token


def ring(ends: list[int]) -> Generation:
    """A generation of ranges that end at the given tokens; each has two streams of its own."""
    ordered = sorted(ends)
    ranges: list[StreamRange] = []
    for start, end in zip([ordered[-1], *ordered[:-1]], ordered, strict=True):
        ranges += unwrapped(start, end, [f"{end}/{n}".encode() for n in range(2)])
    return Generation(0, tuple(ranges))


@settings(max_examples=60)
@given(st.lists(tokens, min_size=1, max_size=12, unique=True), counts, tokens, st.data())
def test_streams_of_lanes(ends: list[int], lanes: int, token: int, data: st.DataObject) -> None:
    """Lanes are read from every stream that may hold a token of theirs, from each once."""
    owned = frozenset(data.draw(st.sets(st.integers(0, lanes - 1), max_size=4)))
    generation = ring(ends)
    found = streams_of(generation, LaneSet(owned, lanes))
    assert len(found) == len(set(found))
    if lane_of(token, lanes) in owned:
        holding = [s for r in generation.ranges if token in r.range for s in r.streams]
        assert holding
        assert set(holding) <= set(found)
    slices = [lane_range(lane, lanes) for lane in owned]
    for part in generation.ranges:
        if part.streams[0] in found:
            same = [r for r in generation.ranges if r.streams == part.streams]
            assert any(r.range.meets(s) for r in same for s in slices)


def test_no_lanes_have_no_streams() -> None:
    """Without lanes there is nothing to read."""
    assert streams_of(ring([0]), LaneSet(frozenset(), 16)) == []


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (-5, 5, [(-5, 5)]),
        (5, -5, [(RING_MIN - 1, -5), (5, RING_MAX)]),
        (RING_MAX, -5, [(RING_MIN - 1, -5)]),
        (7, 7, [(RING_MIN - 1, 7), (7, RING_MAX)]),
        (RING_MAX, RING_MAX, [(RING_MIN - 1, RING_MAX)]),
    ],
)
def test_ranges_are_cut_at_the_rings_end(
    start: int, end: int, expected: list[tuple[int, int]]
) -> None:
    """A range that wraps round the ring's end becomes two that do not."""
    found = unwrapped(start, end, [b"s"])
    assert [r.range for r in found] == [TokenRange(*bounds) for bounds in expected]
