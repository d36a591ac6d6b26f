"""Rows that ScyllaDB tells apart stay apart in PostgreSQL, or one of them is a dead letter."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from cdcd.model.change import Bounds
from cdcd.model.jsonvalue import scaled
from tests.integration.feeding import Feed, change, eventually, sinking, table
from tests.integration.letters import letters


async def refused(feed: Feed) -> list[tuple[int, str]]:
    """The offsets of dead letters, and their columns."""
    return [(found["record_offset"], found["column_name"]) for found in await letters(feed)]


async def test_a_time_of_a_key_is_not_cut(feed: Feed) -> None:
    """Of two keys in one microsecond the one that PostgreSQL cannot hold is refused, whatever is
    done to it; the other's row is as it was written.
    """
    spec = table("keyed", "p:at time; r:v int")
    fine = [change(spec, op, (1001,), {"v": 2} if op == "c" else {}) for op in ("c", "d", "p")]

    async def look() -> tuple[list[Any], list[Any]]:
        return await feed.values("SELECT v FROM {s}.keyed", "v"), await refused(feed)

    async with sinking(feed.plan()):
        await feed.publish(spec, [change(spec, "c", (1000,), {"v": 1}), *fine])
        await eventually(look, ([(1,)], [(offset, "at") for offset in (1, 2, 3)]))


def price(text: str) -> dict[str, Any]:
    """A decimal as it is on the wire."""
    return scaled(Decimal(text))


@pytest.mark.parametrize("others", [0, 300], ids=["arrays", "staging"])
async def test_scale_tells_partitions_apart(feed: Feed, others: int) -> None:
    """Of partitions 1.0 and 1.00 the first has the row, whatever is done to the other, which is a
    dead letter as long as that row is there; usual numbers are written as ever.
    """
    spec = table("scaled", "p:price decimal; c:c int; r:v int; s:s int")
    rows = [change(spec, "c", (price(f"{n}.50"), 1), {"v": 0}) for n in range(10, 10 + others)]
    first = [
        change(spec, "c", (price("1.0"), 1), {"v": 1}),
        change(spec, "u", (price("1.0"), None), {"s": 1}),
        change(spec, "c", (price("1.00"), 1), {"v": 2}),
        change(spec, "u", (price("1.00"), 1), {"v": None}),
        change(spec, "d", (price("1.00"), 1)),
        change(spec, "p", (price("1.00"),)),
        change(spec, "u", (price("1.00"), None), {"s": 2}),
    ]
    # A range of one row, and of all of them.
    first += [
        replace(change(spec, "g", (price("1.00"),)), bounds=Bounds((1,), True, (1,), True)),
        replace(change(spec, "g", (price("1.00"),)), bounds=Bounds((), True, (), True)),
    ]
    select = 'SELECT price::text AS n, v, s FROM {s}."scaled__full" WHERE price < 10'

    async def look() -> tuple[list[Any], list[Any]]:
        letters = [column for _, column in await refused(feed)]
        return await feed.values(select, "n", "v", "s"), letters

    async with sinking(feed.plan()):
        for number, event in enumerate(first):
            await feed.publish(spec, [event, *rows] if number == 2 else [event])
        await eventually(look, ([("1.0", 1, 1)], ["price"] * 2))
        await feed.publish(spec, [change(spec, "p", (price("1.0"),)), first[2]])
        await eventually(look, ([("1.00", 2, None)], ["price"] * 2))
    assert len(await feed.rows("SELECT FROM {s}.scaled")) == others + 1
