"""The ledger knows what was published, and says when it does not."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.change import ChangeEvent
from cdcd.model.fingerprint import CELL_MS, Cell, Fingerprint
from cdcd.source.ledger import Ledger
from cdcd.source.touched import hash_of
from tests.unit.published import LANES, change

MIB = 1 << 20
SETTLED = dict.fromkeys(range(LANES), 0)


def at(cell: int, group: int, lane: int = 0) -> ChangeEvent:
    """A change in a cell."""
    return change(cell * CELL_MS * 1000, group=group, lane=lane)


def row_hash(event: ChangeEvent) -> int:
    """The hash of a change's log row."""
    found = hash_of(event)
    assert found is not None
    return found


def ledger(
    saved: dict[Cell, Fingerprint] | None = None,
    settled: dict[int, int] | None = None,
    bytes_max: int = MIB,
) -> Ledger:
    """A ledger of all lanes."""
    return Ledger(saved or {}, settled or SETTLED, LANES, bytes_max)


def seen(*events: ChangeEvent) -> dict[Cell, Fingerprint]:
    """What a reading sees of changes in lane 0 and cell 1."""
    found = Fingerprint()
    for event in events:
        found = found.with_rows([row_hash(event)])
    return {(0, CELL_MS): found}


def test_what_was_published_does_not_differ() -> None:
    """A reading that sees what was published finds no difference, in whatever order."""
    kept = ledger()
    changed = kept.add([at(1, 1), at(1, 2)], 0)
    assert changed == seen(at(1, 2), at(1, 1))
    assert kept.differing(0, 10 * CELL_MS, changed) == []


def test_late_and_vanished_rows_differ() -> None:
    """A cell differs when a reading sees a row more, a row less or another one."""
    kept = ledger()
    kept.add([at(1, 1)], 0)
    for rows in ([at(1, 1), at(1, 2)], [], [at(1, 2)]):
        found = seen(*rows) if rows else {}
        assert kept.differing(0, 10 * CELL_MS, found) == [(0, CELL_MS)]


def test_only_the_range_is_compared() -> None:
    """Cells outside of a pass's window are not taken for different."""
    kept = ledger()
    kept.add([at(1, 1), at(3, 2)], 0)
    assert kept.differing(2 * CELL_MS, 3 * CELL_MS, {}) == []


def test_lanes_are_compared_from_where_they_are_settled() -> None:
    """Fingerprints of a lane that another owner settled further are gone, and say nothing."""
    kept = ledger(settled={0: 2 * CELL_MS + 5, 1: 0})
    rows = {(0, CELL_MS): Fingerprint(1, 7), (0, 2 * CELL_MS): Fingerprint(1, 7)}
    rows[1, CELL_MS] = Fingerprint(1, 7)
    found = kept.differing(0, 10 * CELL_MS, rows)
    assert found == [(0, 2 * CELL_MS), (1, CELL_MS)]


def test_hashes_are_all_or_none() -> None:
    """Hashes are given when they are all of a cell's: not where a former owner published some."""
    assert ledger().hashes(CELL_MS) == frozenset()
    kept = ledger(saved={(1, CELL_MS): Fingerprint(1, 7)})
    assert kept.hashes(CELL_MS) is None
    kept.add([at(1, 1)], 0)
    assert kept.hashes(CELL_MS) is None
    kept.add([at(2, 2), at(2, 3, lane=1)], 0)
    both = frozenset({row_hash(at(2, 2)), row_hash(at(2, 3))})
    assert kept.hashes(2 * CELL_MS) == both


def test_the_oldest_hashes_go_first() -> None:
    """Past the limit the oldest cells' hashes are dropped, and no fingerprint."""
    kept = ledger(bytes_max=16)
    kept.add([at(1, 1), at(2, 2), at(3, 3)], 0)
    assert kept.hashes(CELL_MS) is None
    assert kept.hashes(2 * CELL_MS) == frozenset({row_hash(at(2, 2))})
    assert kept.differing(0, 2 * CELL_MS, seen(at(1, 1))) == []


def test_a_cell_whose_hashes_went_is_not_whole_again() -> None:
    """Rows that come after a cell's hashes were dropped do not pass for all of them."""
    kept = ledger(bytes_max=8)
    kept.add([at(1, 1), at(2, 2)], 0)
    kept.add([at(1, 3)], 0)
    assert kept.hashes(CELL_MS) is None


def test_settled_cells_are_not_counted() -> None:
    """A change of a cell that is settled already leaves no fingerprint."""
    kept = ledger()
    assert kept.add([at(1, 1), at(2, 2)], 2 * CELL_MS + 1) == {
        (0, 2 * CELL_MS): Fingerprint(1, row_hash(at(2, 2)))
    }


def test_refreshes_are_not_counted() -> None:
    """What has no identity is no log row."""
    assert ledger().add([replace(at(1, 1), identity=None)], 0) == {}


def test_settling_forgets_whole_cells() -> None:
    """Cells that end by the settled time are given once, to be removed."""
    kept = ledger()
    kept.add([at(1, 1), at(2, 2)], 0)
    assert list(kept.settle(3 * CELL_MS - 1)) == [(0, CELL_MS)]
    assert list(kept.settle(3 * CELL_MS)) == [(0, 2 * CELL_MS)]
    assert kept.settle(3 * CELL_MS) == {}


groups = st.integers(0, 40)


@given(
    st.lists(st.tuples(st.integers(0, 3), groups, st.integers(0, 3)), unique_by=lambda r: r[1]),
    st.lists(st.booleans(), min_size=41, max_size=41),
    st.integers(0, 40),
)
def test_a_restored_ledger_is_the_same(
    rows: list[tuple[int, int, int]], early: list[bool], bytes_max: int
) -> None:
    """A ledger made from saved fingerprints sees what one that was never restarted sees, and its
    hashes, where it gives them, are the published ones.
    """
    events = {group: at(cell, group, lane) for cell, group, lane in rows}
    first = [e for g, e in events.items() if early[g]]
    rest = [e for g, e in events.items() if not early[g]]
    whole, before = ledger(), ledger()
    saved = before.add(first, 0)
    everything = whole.add([*first, *rest], 0)
    after = ledger(saved=saved, bytes_max=bytes_max * 8)
    after.add(rest, 0)
    assert after.differing(0, 10 * CELL_MS, everything) == []
    for cell in range(4):
        found = after.hashes(cell * CELL_MS)
        if found is not None:
            assert found == whole.hashes(cell * CELL_MS)
