"""The clustering order of values, for the types that tests have in clustering keys."""

from collections.abc import Callable, Sequence
from functools import cmp_to_key
from typing import Any

from tests.independent.source import Column, Key

Order = Callable[[Any], Any]


def _timeuuid(digits: str) -> tuple[int, bytes]:
    """By ticks, then by the last eight bytes as signed ones."""
    ticks = int(digits[13:16] + digits[8:12] + digits[:8], 16)
    return ticks, bytes((b + 128) % 256 for b in bytes.fromhex(digits[16:]))


ORDERS: dict[str, Order] = {
    "text": str.encode,
    "timeuuid": _timeuuid,
    "decimal": lambda v: v[0] * 10 ** (40 - v[1]),
}


def compare(columns: Sequence[Column], left: Key, right: Key) -> int:
    """-1, 0 or 1, over as many columns as both have."""
    for column, a, b in zip(columns, left, right, strict=False):
        order = ORDERS.get(column.type.name, lambda v: v)
        if order(a) != order(b):
            return -1 if (order(a) < order(b)) != column.descends else 1
    return 0


def in_range(columns: Sequence[Column], key: Key, bounds: tuple[Key, bool, Key, bool]) -> bool:
    """Whether a clustering key is between two bounds; an empty one is open."""
    start, start_included, end, end_included = bounds
    after = compare(columns, key, start) if start else 1
    before = compare(columns, key, end) if end else -1
    return (after > 0 or (after == 0 and start_included)) and (
        before < 0 or (before == 0 and end_included)
    )


def sort_key(columns: Sequence[Column]) -> Callable[[Key], Any]:
    """The order as a key for `sorted`."""
    return cmp_to_key(lambda a, b: compare(columns, a, b))
