"""How much a read of a window may bring before it is known to be too wide."""

import pytest

from cdcd.source.scan import ROW_BYTES, Budget, WindowTooWide, rows_of_page
from cdcd.source.session import Page


@pytest.mark.parametrize(
    ("queries", "rows_max", "expected"),
    [
        (1, 10_000, 5000),
        (8, 10_000, 2500),
        (16, 10_000, 1250),
        (16, 4, 1),
        (0, 10_000, 5000),
        (16, None, 5000),
    ],
)
def test_first_pages_bring_no_more_than_twice_the_limit(
    queries: int, rows_max: int | None, expected: int
) -> None:
    """Where there is a limit the queries share it; a page has at least one row, and no more than
    the settings say.
    """
    assert rows_of_page(5000, queries, rows_max) == expected


def _page(rows: int, row_bytes: int) -> Page:
    page = Page([(b"",)] * rows)
    page.size = rows * row_bytes
    return page


@pytest.mark.parametrize(("row_bytes", "weight"), [(10, 7), (ROW_BYTES, 7), (16 * ROW_BYTES, 112)])
def test_wide_rows_weigh_more(row_bytes: int, weight: int) -> None:
    """What is bounded is memory: a row of sixteen kilobytes is as much as sixteen of one."""
    budget = Budget(None)
    budget.spend(_page(3, row_bytes))
    budget.spend(_page(4, row_bytes))
    assert (budget.rows, budget.weight) == (7, weight)


def test_a_few_wide_rows_are_too_many() -> None:
    """A window is refused by what it weighs, and not before."""
    budget = Budget(100)
    budget.spend(_page(10, 10 * ROW_BYTES))
    with pytest.raises(WindowTooWide):
        budget.spend(_page(1, ROW_BYTES))
