"""What a topic tells is compared lane by lane, and as much at once as there is room for."""

from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.fingerprint import CELL_MS, Fingerprint
from cdcd.model.position import Window
from cdcd.source.told import agreeing, differing, grouped, rows_by_start, span

ONE, TWO = Fingerprint(1, 1), Fingerprint(2, 3)


def test_lanes_agree_that_add_up() -> None:
    """A lane agrees when its cells add up to what was saved of it, and one of nothing with none."""
    told = {(0, 0): ONE, (0, CELL_MS): Fingerprint(1, 2), (1, 0): ONE}
    assert agreeing({0: TWO, 1: TWO, 2: Fingerprint(), 3: ONE}, told) == {0, 2}


def test_cells_differ_that_one_side_has_or_has_otherwise() -> None:
    """Cells come in order of time, of the lanes that are asked for."""
    seen = {(0, CELL_MS): ONE, (1, 0): ONE, (2, 0): ONE, (0, 0): TWO}
    told = {(0, CELL_MS): TWO, (1, CELL_MS): ONE, (2, 0): TWO, (0, 0): TWO}
    assert differing(seen, told, {0, 1}) == [(1, 0), (0, CELL_MS), (1, CELL_MS)]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.integers(0, 9).map(lambda n: n * CELL_MS)),
        st.integers(0, 5).map(lambda n: Fingerprint(n, 0)),
    ),
    st.integers(1, 12),
)
def test_groups_have_room(cells: dict[tuple[int, int], Fingerprint], rows_max: int) -> None:
    """Groups have all cells once, in order of time, and no more rows than there is room for, but
    for one start that has more itself; no group could have been joined to the next one's first.
    """
    ordered = sorted(cells, key=lambda cell: (cell[1], cell[0]))
    rows = rows_by_start(cells)
    groups = list(grouped(ordered, rows, rows_max))
    assert [at for group in groups for found in group.values() for at in found] == ordered
    held = [sum(rows[start] for start in group) for group in groups]
    assert all(n <= rows_max or len(group) == 1 for n, group in zip(held, groups, strict=True))
    nexts = [rows[min(group)] for group in groups[1:]]
    assert all(n + first > rows_max for n, first in zip(held, nexts, strict=False))


def test_a_span_ends_behind_its_last_cell() -> None:
    """What is read back for some cells has all of the last one."""
    assert span([CELL_MS, 5 * CELL_MS]) == Window(CELL_MS, 6 * CELL_MS)
