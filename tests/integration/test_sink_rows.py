"""Rows in PostgreSQL follow the changes, whatever they were."""

from dataclasses import replace
from typing import Any

from tests.integration.feeding import Feed, change, eventually, sinking, table

PLAIN = table("plain", "p:p int; c:c int; r:a text; r:b text")
SELECT = "SELECT p, c, a, b FROM {s}.plain ORDER BY p, c"


async def rows_of(feed: Feed, query: str = SELECT) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in await feed.rows(query)]


async def test_a_partial_update_leaves_other_columns(feed: Feed) -> None:
    """An update of one column changes that column, and no other becomes null."""
    await feed.publish(PLAIN, [change(PLAIN, "c", (1, 1), {"a": "x", "b": "y"})])
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed), [(1, 1, "x", "y")])
        await feed.publish(PLAIN, [change(PLAIN, "u", (1, 1), {"a": "z"})])
        await eventually(lambda: rows_of(feed), [(1, 1, "z", "y")])


async def test_null_empty_and_untouched_stay_apart(feed: Feed) -> None:
    """Null is NULL, empty text is empty, and what was not named stays."""
    events = [change(PLAIN, "c", (n, 1), {"a": "x", "b": "y"}) for n in range(3)]
    async with sinking(feed.plan()):
        await feed.publish(PLAIN, events)
        await eventually(lambda: rows_of(feed), [(n, 1, "x", "y") for n in range(3)])
        await feed.publish(
            PLAIN,
            [change(PLAIN, "u", (0, 1), {"a": None}), change(PLAIN, "u", (1, 1), {"a": ""})],
        )
        expected = [(0, 1, None, "y"), (1, 1, "", "y"), (2, 1, "x", "y")]
        await eventually(lambda: rows_of(feed), expected)


async def test_rows_come_and_go(feed: Feed) -> None:
    """Deletes, re-inserts, null-only updates and partition deletes, in one batch and in many."""
    events = [
        change(PLAIN, "c", (1, 1), {"a": "x", "b": "y"}),
        change(PLAIN, "d", (1, 1)),
        change(PLAIN, "c", (1, 1), {"a": "again"}),
        change(PLAIN, "u", (2, 1), {"a": "made by an update"}),
        change(PLAIN, "u", (3, 1), {"a": None}),
        change(PLAIN, "c", (4, 1), {"a": "gone"}),
        change(PLAIN, "c", (4, 2), {"a": "gone"}),
        change(PLAIN, "p", (4,)),
        change(PLAIN, "c", (4, 3), {"a": "stays"}),
        change(PLAIN, "c", (5, 1)),
    ]
    expected = [
        (1, 1, "again", None),
        (2, 1, "made by an update", None),
        (4, 3, "stays", None),
        (5, 1, None, None),
    ]
    async with sinking(feed.plan()):
        await feed.publish(PLAIN, events)
        await eventually(lambda: rows_of(feed), expected)
        await feed.publish(PLAIN, [change(PLAIN, "p", (n,)) for n in range(6)])
        await eventually(lambda: rows_of(feed), [])
        for event in events:
            await feed.publish(PLAIN, [event])
        await eventually(lambda: rows_of(feed), expected)


async def test_a_refresh_replaces_the_row(feed: Feed) -> None:
    """A full row sets to null what it does not have."""
    async with sinking(feed.plan()):
        await feed.publish(PLAIN, [change(PLAIN, "c", (1, 1), {"a": "x", "b": "y"})])
        await eventually(lambda: rows_of(feed), [(1, 1, "x", "y")])
        await feed.publish(PLAIN, [change(PLAIN, "r", (1, 1), {"b": "new"})])
        await eventually(lambda: rows_of(feed), [(1, 1, None, "new")])


async def test_late_changes_are_passed_over(feed: Feed) -> None:
    """A late change is older than what the row has: the refresh behind it is applied, not it."""
    late = replace(change(PLAIN, "c", (1, 1), {"a": "old", "b": "old"}), is_late=True)
    async with sinking(feed.plan()) as board:
        await feed.publish(PLAIN, [change(PLAIN, "c", (1, 1), {"a": "new"})])
        await eventually(lambda: rows_of(feed), [(1, 1, "new", None)])
        # The second change is the sign that the first was seen.
        await feed.publish(PLAIN, [late, change(PLAIN, "c", (2, 1), {"a": "next"})])
        await eventually(lambda: rows_of(feed), [(1, 1, "new", None), (2, 1, "next", None)])
        await feed.publish(PLAIN, [change(PLAIN, "r", (1, 1), {"a": "new", "b": "old"})])
        await eventually(lambda: rows_of(feed), [(1, 1, "new", "old"), (2, 1, "next", None)])
    labels = {"table": PLAIN.full_name, "reason": "late"}
    assert board.metrics.registry.get_sample_value("cdcd_dropped_changes_total", labels) == 1


async def test_big_batches_go_the_same_way(feed: Feed) -> None:
    """Thousands of mixed changes through the staging table end as one by one."""
    count = 3000
    events = [change(PLAIN, "c", (n, 1), {"a": f"a{n}", "b": f"b{n}"}) for n in range(count)]
    events += [change(PLAIN, "u", (n, 1), {"a": "new"}) for n in range(0, count, 2)]
    events += [change(PLAIN, "d", (n, 1)) for n in range(0, count, 3)]
    events += [change(PLAIN, "u", (n, 1), {"b": None}) for n in range(0, count, 5)]
    expected = [
        (n, 1, "new" if n % 2 == 0 else f"a{n}", None if n % 5 == 0 else f"b{n}")
        for n in range(count)
        if n % 3
    ]
    await feed.publish(PLAIN, events, partitions=3)
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed), expected)


async def test_the_write_time_is_on_the_row(feed: Feed) -> None:
    """`cdc_timestamp` is when the last applied change was written, to the microsecond."""
    event = change(PLAIN, "c", (1, 1), {"a": "x"}, time_us=1_700_000_000_123_456)
    await feed.publish(PLAIN, [event])
    query = "SELECT (extract(epoch FROM cdc_timestamp) * 1000000)::bigint FROM {s}.plain"
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, query), [(1_700_000_000_123_456,)])


async def test_hostile_names_are_only_names(feed: Feed) -> None:
    """Quotes and semicolons in names of columns and of the schema stay part of the name."""
    evil = 'a"; DROP SCHEMA cdcd CASCADE; --'
    key = "k'$1 \"%s"
    odd = table("odd", {key: "p:int", evil: "r:text", "ü {s}": "r:text"})
    feed.schema += "\"';--"
    await feed.publish(odd, [change(odd, "c", (1,), {evil: "x", "ü {s}": "y"})])
    select = f'SELECT * FROM "{feed.schema.replace(chr(34), chr(34) * 2)}".odd'
    async with sinking(feed.plan()):

        async def look() -> list[dict[str, Any]]:
            found = await feed.rows(select)
            return [{n: v for n, v in r.items() if not n.startswith("cdc_")} for r in found]

        await eventually(look, [{key: 1, evil: "x", "ü {s}": "y"}])
    feed.schema = feed.schema.replace('"', '""')
