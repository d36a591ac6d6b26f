"""What a settling pass sees is what was published, where nothing is late."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.change import ChangeEvent, Identity, Operation
from cdcd.model.lane import LaneSet, lane_of
from cdcd.source.decode import LogKeys
from cdcd.source.key_reader import Seen
from cdcd.source.ledger import Ledger
from tests.unit.tables import table

SPEC = table({"p:id": "int", "r:v": "int"})
LANES = 4
rows = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(1, 40_000_000), st.integers(0, 3))
)


def keys_of(some: list[tuple[int, int, int]]) -> LogKeys:
    """The keys of rows, by the token, the time and the sequence of each."""
    identities = [Identity(b"s" * 16, us.to_bytes(16, "big"), seq) for _, us, seq in some]
    return LogKeys([token for token, _, _ in some], [us for _, us, _ in some], identities)


@given(rows, rows, st.sets(st.integers(0, LANES - 1)))
def test_seen_is_what_was_published(
    first: list[tuple[int, int, int]], then: list[tuple[int, int, int]], owned: set[int]
) -> None:
    """In as many portions as it comes, and of the owned lanes alone."""
    ledger, seen = Ledger({}, {}, LANES, 1 << 20), Seen()
    for some in (first, then):
        keys = keys_of(some)
        seen.count(keys, LaneSet(frozenset(owned), LANES))
        ledger.add(
            [
                ChangeEvent(SPEC, Operation.UPDATE, (1,), (), us, token, identity, {})
                for token, us, identity in zip(*keys, strict=True)
                if lane_of(token, LANES) in owned
            ],
            0,
        )
    assert ledger.differing(0, 40_001, seen.cells) == []
    assert {cell: len(found) for cell, found in seen.hashes.items()} == {
        cell: fingerprint.count for cell, fingerprint in seen.cells.items()
    }
