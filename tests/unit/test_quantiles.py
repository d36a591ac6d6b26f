"""Quantiles of numbers and of exported histograms."""

import pytest

from cdcd.ops.board import Applied, Board
from cdcd.ops.quantiles import between, bucket_quantile, buckets_of, quantile, together

INFINITE = float("inf")


def test_quantiles_of_numbers_are_among_them() -> None:
    """The value at the rank is given, whatever the order; of none there is none."""
    assert quantile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0, 4.0], 0.95) == 4.0
    assert quantile([7.0], 0.5) == 7.0
    assert quantile([], 0.5) is None


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({0.1: 0, 0.2: 10, INFINITE: 10}, 0.5, 0.15),
        ({0.1: 10, 0.2: 10, INFINITE: 10}, 0.5, 0.05),
        ({0.1: 0, 0.2: 0, INFINITE: 10}, 0.5, 0.2),
        ({0.1: 5, 0.2: 10, INFINITE: 10}, 1.0, 0.2),
    ],
)
def test_histograms_are_read_as_prometheus_does(
    buckets: dict[float, float], share: float, expected: float
) -> None:
    """Within a bucket values are evenly spread; past the last bound that bound is given."""
    assert bucket_quantile(buckets, share) == pytest.approx(expected)


def test_an_empty_histogram_has_no_quantile() -> None:
    """Nothing came, so nothing is said."""
    assert bucket_quantile({}, 0.5) is None
    assert bucket_quantile({0.1: 0.0, INFINITE: 0.0}, 0.5) is None


def test_what_the_daemon_exports_is_understood() -> None:
    """A table's buckets are found in the real exposition, and other tables' are not."""
    board = Board("p", "i")
    for name, age in (("ks.t", 200), ("ks.u", 9000)):
        board.applied(Applied(name, [1_000_000], [1000], 1000 + age, 0.01))
    text = board.exposition().decode()
    buckets = buckets_of(text, "cdcd_end_to_end_seconds", "ks.t")
    assert buckets[0.1] == 0
    assert buckets[0.25] == buckets[INFINITE] == 1
    assert buckets_of(text, "cdcd_end_to_end_seconds", "ks.x") == {}


def test_two_looks_and_two_daemons() -> None:
    """The difference of two looks is what came between; two daemons' values add up."""
    assert between({0.1: 1, INFINITE: 2}, {0.1: 4, INFINITE: 6}) == {0.1: 3, INFINITE: 4}
    assert between({0.1: 5}, {0.1: 1}) == {0.1: 0}  # it was restarted meanwhile
    assert together({0.1: 1}, {0.1: 2, INFINITE: 2}) == {0.1: 3, INFINITE: 2}
