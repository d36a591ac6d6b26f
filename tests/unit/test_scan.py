"""How much a read of a window may bring before it is known to be too wide."""

import pytest

from cdcd.source.scan import rows_of_page


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
