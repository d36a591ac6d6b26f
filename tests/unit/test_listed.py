"""A refresh is listed until its frontier is settled, and covers what it read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.lane import lane_range
from cdcd.model.position import TokenRange
from cdcd.model.refresh import Key, Listed, Partition, Row, Scope, StaticRow, Tokens
from cdcd.source.listed import ListedRefreshes, listing
from tests.unit.published import LANES, TOKENS

P, Q = (b"p",), (b"q",)
ROW, OTHER = Row(P, (b"1",)), Row(P, (b"2",))


def listed(*scopes: Scope, frontier_ms: int = 100, most: int = 10) -> ListedRefreshes:
    """These scopes of lane 0, refreshed at a frontier."""
    found = ListedRefreshes((), LANES, most)
    found.add(listing("ks.t", scope, TOKENS[0], frontier_ms) for scope in scopes)
    return found


@pytest.mark.parametrize(
    ("refreshed", "scope", "covered"),
    [
        (ROW, ROW, True),
        (ROW, OTHER, False),
        (ROW, Row(Q, (b"1",)), False),
        (ROW, StaticRow(P), False),
        (ROW, Partition(P), True),
        (StaticRow(P), StaticRow(P), True),
        (StaticRow(P), ROW, False),
        (Partition(P), ROW, True),
        (Partition(P), StaticRow(P), True),
        (Partition(Q), ROW, False),
        (Tokens(lane_range(0, LANES)), ROW, True),
        (Tokens(lane_range(1, LANES)), ROW, False),
    ],
)
def test_what_a_refresh_covers(refreshed: Scope, scope: Scope, covered: bool) -> None:
    """A refresh covers what it read any part of."""
    assert listed(refreshed).covers(scope, TOKENS[0], 50) is covered


def test_only_what_lies_below_the_frontier_is_covered() -> None:
    """A change at or past the frontier comes after the refresh by itself."""
    assert listed(ROW).covers(ROW, TOKENS[0], 99)
    assert not listed(ROW).covers(ROW, TOKENS[0], 100)
    assert listed(ROW).any_behind(99)
    assert not listed(ROW).any_behind(100)


def test_an_entry_goes_when_its_frontier_is_settled() -> None:
    """An entry stays until all before its frontier is settled, and is then given to be removed."""
    found = listed(ROW, StaticRow(P), Tokens(TokenRange(TOKENS[0] - 1, TOKENS[0])))
    assert found.settle(99) == []
    assert found.covers(ROW, TOKENS[0], 50)
    gone = found.settle(100)
    assert {entry.scope for entry, keep in gone if not keep} == {
        ROW,
        StaticRow(P),
        Tokens(TokenRange(TOKENS[0] - 1, TOKENS[0])),
    }
    assert not found.covers(ROW, TOKENS[0], 50)
    assert found.settle(100) == []


def test_a_scope_is_listed_once() -> None:
    """A later refresh of the same scope takes the place of the one before."""
    found = listed(ROW)
    later = listing("ks.t", ROW, TOKENS[0], 200)
    assert found.add([later]) == [(later, True)]
    assert found.settle(150) == []
    assert found.settle(200) == [(later, False)]


def test_tables_do_not_share_entries() -> None:
    """The same key of another table has an entry of its own."""
    assert listing("ks.t", ROW, 0, 1).id != listing("ks.u", ROW, 0, 1).id


scopes = st.one_of(
    st.builds(Row, st.sampled_from([P, Q]), st.sampled_from([(b"1",), (b"2",)])),
    st.builds(StaticRow, st.sampled_from([P, Q])),
    st.builds(Partition, st.sampled_from([P, Q])),
)
# A partition has one token.
TOKEN_OF: dict[Key, int] = {P: TOKENS[0], Q: TOKENS[2]}
entries = st.tuples(scopes, st.integers(1, 100)).map(
    lambda drawn: listing("ks.t", drawn[0], TOKEN_OF[drawn[0].partition], drawn[1])
)


@given(st.lists(st.lists(entries, max_size=4), max_size=8), st.integers(1, 6))
def test_merging_loses_nothing(steps: list[list[Listed]], most: int) -> None:
    """Past the limit entries are merged; what was covered stays covered, and what is saved is what
    a worker that restores it would list.
    """
    found = ListedRefreshes((), LANES, most)
    saved: dict[str, Listed] = {}
    for step in steps:
        for entry, keep in found.add(step):
            if keep:
                saved[entry.id] = entry
            else:
                saved.pop(entry.id, None)
    restored = ListedRefreshes(saved.values(), LANES, 1000)
    for entry in {e.id: e for step in steps for e in step}.values():
        assert not isinstance(entry.scope, Tokens)
        assert found.covers(entry.scope, entry.token, entry.frontier_ms - 1)
        assert restored.covers(entry.scope, entry.token, entry.frontier_ms - 1)
    assert len(saved) <= max(most, LANES)
