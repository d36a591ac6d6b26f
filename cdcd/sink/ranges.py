"""Range deletes: which rows of a partition lie in a range of its clustering order. Pure.

Clustering order is compared column by column, the other way round where a column is descending. A
bound is a prefix: a row that begins with it lies inside if the bound is inclusive.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cdcd.model.change import Bounds
from cdcd.model.cqlorder import order_key
from cdcd.model.table import Column, TableSpec
from cdcd.model.typemap import UnstorableValue, to_postgres

# Types that PostgreSQL can be told to order as CQL does, and how. It has one zero where CQL's
# floats have two, keeps times to the microsecond, and orders inet, uuid and jsonb in its own way.
_TIMEUUID_TICKS = (
    "substring({0} from 7 for 2) || substring({0} from 5 for 2) || substring({0} from 1 for 4)"
)
_SIGN_BITS = "b'" + "0" * 64 + "10000000" * 8 + "'"
_PLAIN = "{}"
EXPRESSIONS = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint", "varint", "decimal"), _PLAIN),
    **dict.fromkeys(("boolean", "blob", "timestamp", "date"), _PLAIN),
    **dict.fromkeys(("ascii", "text"), '({} COLLATE "C")'),
    # Ticks, then the low bytes as signed bytes, as a string of bits.
    "timeuuid": (
        f"(('x' || encode({_TIMEUUID_TICKS.format('uuid_send({0})')}"
        f" || substring(uuid_send({{0}}) from 9), 'hex'))::bit(128) # {_SIGN_BITS})"
    ),
}


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
    """What range deletes of one table mean."""

    def __init__(self, table: TableSpec) -> None:
        self._columns = table.clustering_key
        self._orders = [order_key(c.type) for c in self._columns]

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
                return -1 if (left < right) is not column.descending else 1
        return 0

    def shape(self, bounds: Bounds) -> RangeShape | None:
        """The statement that deletes the range; None where PostgreSQL cannot tell its rows."""
        equal = self._equal(bounds)
        start, end = len(bounds.start) - equal, len(bounds.end) - equal
        compared = self._columns[equal : equal + max(start, end)]
        if any(c.type.name not in EXPRESSIONS for c in compared):
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
        columns: Sequence[Column] = self._columns
        return tuple(to_postgres(c.type)(v) for c, v in zip(columns, prefix, strict=False))


def _inclusive(bounds: Bounds, side: str) -> bool:
    if side == "start":
        return bounds.start_inclusive or not bounds.start
    return bounds.end_inclusive or not bounds.end
