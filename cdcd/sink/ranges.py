"""Range deletes: which rows of a partition lie in a range of its clustering order. Pure.

Clustering order is compared column by column, the other way round where a column is descending. A
bound is a prefix: a row that begins with it lies inside if the bound is inclusive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdcd.model.change import Bounds
from cdcd.model.cqlorder import order_key
from cdcd.model.typemap import UnstorableValue
from cdcd.sink.target import TargetColumn


@dataclass(frozen=True, slots=True)
class RangeShape:
    """Range deletes that one statement serves: how many columns of the clustering key are given,
    how many more each bound has, and whether the bounds are inclusive.
    """

    equal: int
    start: int
    start_inclusive: bool
    end: int
    end_inclusive: bool


class Ranges:
    """What range deletes of one table mean, by the columns of its clustering key."""

    def __init__(self, clustering_key: Sequence[TargetColumn]) -> None:
        self._columns = clustering_key
        self._orders = [order_key(c.source.type) for c in clustering_key]

    def covers(self, bounds: Bounds, clustering: Sequence[Any]) -> bool:
        """Whether a row lies in the range; an empty bound is open."""
        after_start = self._compare(clustering, bounds.start)
        before_end = -self._compare(clustering, bounds.end)
        return (after_start > 0 or (after_start == 0 and _inclusive(bounds, "start"))) and (
            before_end > 0 or (before_end == 0 and _inclusive(bounds, "end"))
        )

    def _compare(self, clustering: Sequence[Any], prefix: Sequence[Any]) -> int:
        """Where the row lies: before what begins with the prefix, among it, or behind it."""
        for column, order, value, bound in zip(
            self._columns, self._orders, clustering, prefix, strict=False
        ):
            left, right = order(value), order(bound)
            if left != right:
                return -1 if (left < right) is not column.source.descending else 1
        return 0

    def shape(self, bounds: Bounds) -> RangeShape | None:
        """The statement that deletes the range; None where PostgreSQL cannot tell its rows."""
        equal = self._equal(bounds)
        start, end = len(bounds.start) - equal, len(bounds.end) - equal
        compared = self._columns[equal : equal + max(start, end)]
        if any(c.order is None for c in compared):
            return None
        return RangeShape(equal, start, _inclusive(bounds, "start"), end, _inclusive(bounds, "end"))

    def row(self, bounds: Bounds) -> tuple[Any, ...] | None:
        """The values of `range_columns`; None where PostgreSQL cannot hold one of them."""
        equal = self._equal(bounds)
        try:
            start, end = self._forms(bounds.start), self._forms(bounds.end)
        except UnstorableValue:
            return None
        return (*start[:equal], *start[equal:], *end[equal:])

    def _equal(self, bounds: Bounds) -> int:
        """How many columns both bounds give the same value."""
        same = 0
        for order, start, end in zip(self._orders, bounds.start, bounds.end, strict=False):
            if order(start) != order(end):
                break
            same += 1
        return same

    def _forms(self, prefix: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(c.convert(v) for c, v in zip(self._columns, prefix, strict=False))


def _inclusive(bounds: Bounds, side: str) -> bool:
    if side == "start":
        return bounds.start_inclusive or not bounds.start
    return bounds.end_inclusive or not bounds.end
