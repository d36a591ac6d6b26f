"""Operators pause, remove and mend tables while the sink runs; nothing is lost by it."""

from typing import Any

import asyncpg

from cdcd.config.settings import DlqSettings
from cdcd.model.control import Control, Pause
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.status import TableState
from tests.integration.feeding import Feed, change, eventually, sinking, status, table

ONE = table("one", "p:id int; r:v text")
TWO = table("two", "p:id int; r:v text")
ALL = Control(("ks.*",))


def inserts(spec: Any, *ids: int) -> list[Any]:
    """A row for each id."""
    return [change(spec, "c", (n,), {"v": "x"}) for n in ids]


async def ids_of(feed: Feed, name: str) -> list[int]:
    """The keys that are in the target."""
    return [r["id"] for r in await feed.rows(f"SELECT id FROM {{s}}.{name} ORDER BY id")]


async def expect(feed: Feed, name: str, *ids: int) -> None:
    """Return when the target has these keys."""
    await eventually(lambda: ids_of(feed, name), list(ids))


async def expect_state(board: Board, spec: Any, state: TableState) -> None:
    """Return when the board says so."""

    async def look() -> TableState:
        return status(board, spec).state

    await eventually(look, state)


async def test_a_paused_table_stands_still(feed: Feed) -> None:
    """While it is paused a table's target does not change and others' do; then it catches up."""
    directions = Directions(ALL)
    for spec in (ONE, TWO):
        await feed.publish(spec, inserts(spec, 1))
    async with sinking(feed.plan(directions=directions)) as board:
        await expect(feed, "one", 1)
        await expect(feed, "two", 1)
        directions.give(Control(("ks.*",), (Pause("ks.one", "sink", 0, "me@here"),)))
        await expect_state(board, ONE, TableState.PAUSED)
        assert "paused by me@here" in status(board, ONE).reason
        for spec in (ONE, TWO):
            await feed.publish(spec, inserts(spec, 2))
        await expect(feed, "two", 1, 2)
        assert await ids_of(feed, "one") == [1]
        directions.give(ALL)
        await expect(feed, "one", 1, 2)
        await expect_state(board, ONE, TableState.RUNNING)


async def test_a_table_that_begins_paused(feed: Feed) -> None:
    """A sink that starts while a table is paused writes nothing of it."""
    directions = Directions(Control(("ks.*",), (Pause("ks.one", "sink", 0, "me@here"),)))
    for spec in (ONE, TWO):
        await feed.publish(spec, inserts(spec, 1))
    async with sinking(feed.plan(directions=directions)) as board:
        await expect(feed, "two", 1)
        await expect_state(board, ONE, TableState.PAUSED)
        assert await ids_of(feed, "one") == []


async def test_a_removed_table_is_left_and_taken_up_again(feed: Feed) -> None:
    """A removed table keeps its rows and its offset; added again it goes on from there."""
    directions = Directions(ALL)
    for spec in (ONE, TWO):
        await feed.publish(spec, inserts(spec, 1))
    async with sinking(feed.plan(directions=directions)) as board:
        await expect(feed, "one", 1)
        directions.give(Control(("ks.two",)))

        async def tables() -> list[str]:
            return [t.table for t in board.snapshot().tables]

        await eventually(tables, ["ks.two"])
        for spec in (ONE, TWO):
            await feed.publish(spec, inserts(spec, 2))
        await expect(feed, "two", 1, 2)
        assert await ids_of(feed, "one") == [1]
        directions.give(ALL)
        await expect(feed, "one", 1, 2)


async def test_the_last_table_may_leave(feed: Feed) -> None:
    """A worker whose only table is removed waits for others."""
    directions = Directions(Control(("ks.one",)))
    await feed.publish(ONE, inserts(ONE, 1))
    async with sinking(feed.plan(directions=directions)):
        await expect(feed, "one", 1)
        directions.give(Control(("ks.two",)))
        await feed.publish(TWO, inserts(TWO, 1))
        await expect(feed, "two", 1)


async def test_a_mended_target_is_written_again(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """A table that its target's constraint stopped goes on once that is gone, without a restart."""
    await feed.publish(ONE, inserts(ONE, 1))
    # One refused change is a flood.
    async with sinking(feed.plan(dlq=DlqSettings(rejected_rows_max=0))) as board:
        await expect(feed, "one", 1)
        target = f'"{feed.schema}".one'
        await connection.execute(f"ALTER TABLE {target} ADD CONSTRAINT low CHECK (id < 2)")
        await feed.publish(ONE, inserts(ONE, 2))
        await expect_state(board, ONE, TableState.STOPPED)
        await connection.execute(f"ALTER TABLE {target} DROP CONSTRAINT low")
        await expect(feed, "one", 1, 2)
        await expect_state(board, ONE, TableState.RUNNING)


async def test_a_refused_target_is_looked_at_again(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """A target with a column of a wrong type is refused, and taken when it was mended."""
    await connection.execute(f'CREATE SCHEMA "{feed.schema}"')
    target = f'"{feed.schema}".one'
    await connection.execute(f"CREATE TABLE {target} (id int PRIMARY KEY, v bytea)")
    await feed.publish(ONE, inserts(ONE, 1))
    async with sinking(feed.plan()) as board:
        await expect_state(board, ONE, TableState.STOPPED)
        await connection.execute(f"ALTER TABLE {target} DROP COLUMN v")
        await expect(feed, "one", 1)
        await expect_state(board, ONE, TableState.RUNNING)


async def test_a_target_that_is_gone_is_not_made_again(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """However often it is looked at, a dropped target is not made anew: it would miss rows."""
    await feed.publish(ONE, inserts(ONE, 1))
    async with sinking(feed.plan()) as board:
        await expect(feed, "one", 1)
        await connection.execute(f'DROP TABLE "{feed.schema}".one')
        await feed.publish(ONE, inserts(ONE, 2))
        await expect_state(board, ONE, TableState.STOPPED)

        async def reason() -> bool:
            return "is gone" in status(board, ONE).reason

        await eventually(reason, expected=True)
        assert await connection.fetchval("SELECT to_regclass($1)", f"{feed.schema}.one") is None
