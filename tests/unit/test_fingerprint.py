"""Fingerprints tell sets of rows apart, whatever their order."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.fingerprint import (
    CELL_MS,
    Fingerprint,
    cell_of,
    cells_between,
    cells_of,
    identity_hash,
    identity_hashes,
)

hashes = st.integers(0, 2**64 - 1)


def of(rows: list[int]) -> Fingerprint:
    """The fingerprint of some rows."""
    found = Fingerprint()
    for row in rows:
        found = found.with_rows([row])
    return found


@given(st.data(), st.lists(hashes))
def test_order_does_not_matter(data: st.DataObject, rows: list[int]) -> None:
    """Rows make the same fingerprint in any order."""
    assert of(rows) == of(data.draw(st.permutations(rows)))


@given(st.lists(hashes), hashes)
def test_a_row_more_is_seen(rows: list[int], row: int) -> None:
    """One row more makes another fingerprint, though it be one that is there."""
    assert of([*rows, row]) != of(rows)


@given(st.integers(0, 2**42))
def test_a_time_lies_in_its_cell(ms: int) -> None:
    """The cell of a time begins at or before it, on the grid, and ends after it."""
    start = cell_of(ms)
    assert start <= ms < start + CELL_MS
    assert start % CELL_MS == 0
    assert list(cells_between(start, start + 2 * CELL_MS)) == [start, start + CELL_MS]


def test_hashes_do_not_change() -> None:
    """The hash of an identity is the same in every version: it is compared after a restart."""
    assert identity_hash(b"s" * 16, b"t" * 16, 7) == 0xEB6F2C0E254DD20F


@given(st.lists(st.tuples(st.binary(max_size=16), st.binary(max_size=16), st.integers(0, 2**31))))
def test_many_hashes_are_those_of_each(rows: list[tuple[bytes, bytes, int]]) -> None:
    """Of many identities at once come the hashes of each, in their order."""
    assert identity_hashes(rows) == [identity_hash(*row) for row in rows]


@given(st.lists(st.integers(0, 2**42)))
def test_many_cells_are_those_of_each(times_ms: list[int]) -> None:
    """Of many times at once come the cells of each, in their order."""
    assert cells_of(times_ms) == [cell_of(ms) for ms in times_ms]
