"""Rows that ScyllaDB tells apart stay apart in PostgreSQL, or one of them is a dead letter."""

from typing import Any

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
