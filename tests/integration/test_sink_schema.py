"""Targets and cdcd's own tables: made once, compared before use, never bent to fit."""

import asyncio
import time
import uuid
from typing import Any

import asyncpg
import pytest

from cdcd.config.settings import PostgresSettings
from cdcd.config.tables import TableSettings
from cdcd.model.control import Control
from cdcd.model.errors import ConfigurationError, TableStopped
from cdcd.model.table import TableSpec
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.status import TableState
from cdcd.reconcile.ledger import Ledger
from cdcd.reconcile.part import parts_of
from cdcd.reconcile.result import TableResult
from cdcd.sink.comparisons import Comparisons
from cdcd.sink.pool import Pool
from cdcd.sink.schema import (
    Place,
    plan_targets,
    prepare_database,
    prepare_targets,
)
from cdcd.sink.state import STATE_VERSION, check_version
from tests.integration.feeding import Feed, change, eventually, sinking, status, table

PLAIN = table("plain", "p:id int; r:v text")


async def rows_of(feed: Feed, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in await feed.rows(query)]


async def prepare(
    feed: Feed, spec: Any = PLAIN, pipeline: str = "", **settings: Any
) -> tuple[str, ...]:
    """Prepare the targets as a sink does; gives what is to be said of them."""
    place = Place(pipeline or feed.pipeline, feed.schema, TableSettings(**settings))
    async with Pool(PostgresSettings(dsn=feed.postgres), "test") as pool:
        await prepare_database(pool, feed.schema)
        return (await prepare_targets(pool, spec, place)).notes


async def test_a_new_column_is_added_at_once(feed: Feed) -> None:
    """The first change of a wider schema arrives with its column, and older rows have null."""
    wide = table("plain", "p:id int; r:v text; r:w int")
    async with sinking(feed.plan()):
        await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
        await eventually(lambda: rows_of(feed, "SELECT id, v FROM {s}.plain"), [(1, "x")])
        await feed.publish(wide, [change(wide, "c", (2,), {"v": "y", "w": 7})])
        select = "SELECT id, v, w FROM {s}.plain ORDER BY id"
        await eventually(lambda: rows_of(feed, select), [(1, "x", None), (2, "y", 7)])


async def test_a_dropped_column_stays(feed: Feed) -> None:
    """Changes of before and after the drop are applied; the target's column is kept as it is."""
    wide = table("plain", "p:id int; r:v text; r:w int")
    async with sinking(feed.plan()):
        await feed.publish(wide, [change(wide, "c", (1,), {"v": "x", "w": 7})])
        select = "SELECT id, v, w FROM {s}.plain ORDER BY id"
        await eventually(lambda: rows_of(feed, select), [(1, "x", 7)])
        await feed.publish(PLAIN, [change(PLAIN, "u", (1,), {"v": "y"})])
        await eventually(lambda: rows_of(feed, select), [(1, "y", 7)])


async def test_old_and_new_records_in_one_batch(feed: Feed) -> None:
    """A backlog that spans a change of the schema is applied in order."""
    wide = table("plain", "p:id int; r:v text; r:w int")
    await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
    await feed.publish(wide, [change(wide, "u", (1,), {"w": 7})])
    await feed.publish(PLAIN, [change(PLAIN, "u", (1,), {"v": "z"})])
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, "SELECT v, w FROM {s}.plain"), [("z", 7)])


async def test_a_type_that_gains_a_field_in_one_batch(feed: Feed) -> None:
    """Values from before a user-defined type gained a field have null there."""
    of = "p:id int; r:f frozen<list<frozen<growing>>>; r:u growing"
    before = table("plain", of, {"growing": (("a", "int"),)})
    after = table("plain", of, {"growing": (("a", "int"), ("b", "text"))})
    old, new = {"a": 1}, {"a": 1, "b": "new"}
    await feed.publish(before, [change(before, "c", (1,), {"f": [old], "u": old})])
    await feed.publish(after, [change(after, "c", (2,), {"f": [new], "u": new})])
    select = "SELECT f->0->>'b' AS f, u->>'a' AS a, u->>'b' AS b FROM {s}.plain ORDER BY id"
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, select), [(None, "1", None), ("new", "1", "new")])


async def test_tables_are_made_before_their_first_change(feed: Feed) -> None:
    """A topic with a schema and no record has its target."""
    feed.make_topic(PLAIN)
    await feed.writer(PLAIN)
    query = "SELECT count(*)::int FROM {s}.plain"
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, query), [(0,)])


async def test_new_tables_join_a_running_sink(feed: Feed) -> None:
    """A topic that is made later is found, and the tables before it go on."""
    later = table("later", "p:id int")
    async with sinking(feed.plan()):
        await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
        await eventually(lambda: rows_of(feed, "SELECT id FROM {s}.plain"), [(1,)])
        await feed.publish(later, [change(later, "c", (1,))])
        await eventually(lambda: rows_of(feed, "SELECT id FROM {s}.later"), [(1,)])
        await feed.publish(PLAIN, [change(PLAIN, "c", (2,), {"v": "x"})])
        await eventually(lambda: rows_of(feed, "SELECT id FROM {s}.plain"), [(1,), (2,)])


async def test_tables_that_no_pattern_names_are_left_alone(feed: Feed) -> None:
    """Only topics of the wanted tables are read."""
    other = table("other", "p:id int")
    await feed.publish(other, [change(other, "c", (1,))])
    await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
    async with sinking(feed.plan(directions=Directions(Control(("ks.pl*",))))):
        await eventually(lambda: rows_of(feed, "SELECT id FROM {s}.plain"), [(1,)])
        assert await rows_of(feed, "SELECT to_regclass('{s}.other')") == [(None,)]


async def test_a_fitting_table_is_taken_as_it_is(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """An existing table with more columns is used, and what is missing is added."""
    await connection.execute(f'CREATE SCHEMA "{feed.schema}"')
    await connection.execute(
        f'CREATE TABLE "{feed.schema}".plain (id int PRIMARY KEY, note text DEFAULT 1)'
    )
    await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
    async with sinking(feed.plan()):
        await eventually(
            lambda: rows_of(feed, "SELECT id, note, v FROM {s}.plain"), [(1, "1", "x")]
        )


async def test_every_difference_is_listed_at_once(
    feed: Feed, connection: "asyncpg.Connection[Any]"
) -> None:
    """An existing table that does not fit is not touched, and one error has all the reasons."""
    spec = table("plain", "p:id int; c:k text; r:v text; r:n decimal; r:g int")
    await connection.execute(f'CREATE SCHEMA "{feed.schema}"')
    made = (
        "id bigint PRIMARY KEY, v varchar(10), n numeric(10, 2), extra int NOT NULL, "
        "g int GENERATED ALWAYS AS (1) STORED"
    )
    await connection.execute(f'CREATE TABLE "{feed.schema}".plain ({made})')
    with pytest.raises(TableStopped) as caught:
        await prepare(feed, spec)
    said = str(caught.value)
    for words in (
        'column "id" is bigint and must be integer',
        'column "v" is character varying(10) and must be text',
        'column "n" is numeric(10,2) and must be numeric',
        'column "g" is generated',
        'column "extra" is not in the source',
        'key column "k" is missing',
        'its primary key is "id" and must be "id", "k"',
    ):
        assert words in said
    columns = (
        f"SELECT count(*) FROM information_schema.columns WHERE table_schema = '{feed.schema}'"
    )
    assert await connection.fetchval(columns + " AND table_name = 'plain'") == 5


async def test_a_view_is_no_target(feed: Feed, connection: "asyncpg.Connection[Any]") -> None:
    """What is not a table is refused by name."""
    await connection.execute(f'CREATE SCHEMA "{feed.schema}"')
    await connection.execute(f'CREATE VIEW "{feed.schema}".plain AS SELECT 1 AS id')
    with pytest.raises(TableStopped, match="is not a table"):
        await prepare(feed)


async def test_one_target_has_one_writer(feed: Feed) -> None:
    """Another pipeline, or another table, with the same target is refused by both names."""
    await prepare(feed)
    await prepare(feed)
    with pytest.raises(TableStopped, match=f"pipeline {feed.pipeline} writes ks.plain"):
        await prepare(feed, pipeline="somebody")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"id": "p:int", "cdc_mine": "r:int"}, 'column "cdc_mine"'),
        ({"id": "p:int", "ctid": "r:int"}, 'column "ctid"'),
        ({"id": "p:int", "ü" * 32: "r:int"}, "over 63 bytes"),
    ],
    ids=["own prefix", "system column", "long"],
)
async def test_impossible_names_are_refused_first(
    feed: Feed, columns: dict[str, str], words: str
) -> None:
    """Nothing is made for a table whose columns cannot be kept."""
    with pytest.raises(TableStopped, match=words):
        await prepare(feed, table("plain", columns))
    assert await rows_of(feed, "SELECT to_regclass('{s}.plain')") == [(None,)]


async def test_a_refused_table_does_not_stop_the_others(feed: Feed) -> None:
    """The refused one is shown with its reason."""
    bad = table("bad", {"id": "p:int", "cdc_x": "r:int"})
    await feed.publish(bad, [change(bad, "c", (1,), {"cdc_x": 1})])
    await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
    async with sinking(feed.plan()) as board:
        await eventually(lambda: rows_of(feed, "SELECT id FROM {s}.plain"), [(1,)])
    assert status(board, bad).state is TableState.STOPPED
    assert "cdc_x" in status(board, bad).reason


async def test_workers_may_start_at_once(feed: Feed) -> None:
    """Any number of workers that prepare the same tables do it once."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(6):
            tasks.create_task(prepare(feed))
    assert await rows_of(feed, "SELECT count(*)::int FROM {s}.plain") == [(0,)]


async def test_a_newer_state_is_refused(feed: Feed, connection: "asyncpg.Connection[Any]") -> None:
    """State of a later release is not touched by an older one."""
    await prepare(feed)
    settings = PostgresSettings(dsn=feed.postgres)
    async with Pool(settings, "test") as pool, pool.transaction() as held:
        await held.execute("UPDATE cdcd.meta SET state_version = 99")
        with pytest.raises(ConfigurationError, match="version 99"):
            await check_version(held)
        # Nobody else has seen it.
        await held.execute("UPDATE cdcd.meta SET state_version = $1", STATE_VERSION)


VALIDATION = "SELECT category, status, expected, actual FROM {s}.validation_summary ORDER BY 1"
COMPLETE = "SELECT {s}.is_replication_complete(), {s}.get_replication_completeness()::text"


async def _compared(feed: Feed, spec: TableSpec, result: TableResult, mode: str = "full") -> None:
    """Write down a comparison, as `cdcd reconcile` does."""
    async with Pool(PostgresSettings(dsn=feed.postgres), "test") as pool:
        planned = await plan_targets(pool, spec, Place(feed.pipeline, feed.schema, TableSettings()))
        assert planned.targets is not None
        (part,) = parts_of(spec, planned.targets)
        ledger = Ledger(pool, feed.pipeline, uuid.uuid4(), mode)
        await ledger.finish(await ledger.begin(part), result)


async def test_validation_is_unknown_until_compared(feed: Feed) -> None:
    """The view and the functions say what the latest comparison of each table found."""
    other = table("other", "p:id int")
    await prepare(feed)
    await prepare(feed, other)
    unknown = [(n, "unknown", None, None) for n in ("ks.other", "ks.plain", "total")]
    assert await rows_of(feed, VALIDATION) == unknown
    assert await rows_of(feed, COMPLETE) == [(False, None)]

    await _compared(feed, PLAIN, TableResult("ks.plain", 5, 5))
    assert (await rows_of(feed, VALIDATION))[1:] == [
        ("ks.plain", "equal", 5, 5),
        ("total", "unknown", 5, 5),
    ]
    assert await rows_of(feed, COMPLETE) == [(False, None)]

    await _compared(feed, other, TableResult("ks.other", 3, 2, left=(1, 0, 0)))
    assert await rows_of(feed, VALIDATION) == [
        ("ks.other", "different", 3, 2),
        ("ks.plain", "equal", 5, 5),
        ("total", "different", 8, 7),
    ]
    assert await rows_of(feed, COMPLETE) == [(False, "87.5000")]

    await _compared(feed, other, TableResult("ks.other", 3, 3))
    assert await rows_of(feed, COMPLETE) == [(True, "100.0000")]


async def test_a_comparison_that_was_cut_proves_nothing(feed: Feed) -> None:
    """Where all that a cut run found was repaired the target is neither equal nor different,
    whatever was known before; where something is left it is different.
    """
    await prepare(feed)
    await _compared(feed, PLAIN, TableResult("ks.plain", 5, 5))
    assert await rows_of(feed, COMPLETE) == [(True, "100.0000")]
    await _compared(feed, PLAIN, TableResult("ks.plain", 5, 5, repaired=2, is_cut=True))
    assert (await rows_of(feed, VALIDATION))[1] == ("total", "unknown", 5, 5)
    assert await rows_of(feed, COMPLETE) == [(False, None)]
    await _compared(feed, PLAIN, TableResult("ks.plain", 4, 5, left=(0, 1, 0), is_cut=True))
    assert (await rows_of(feed, VALIDATION))[1] == ("total", "different", 4, 5)
    assert await rows_of(feed, COMPLETE) == [(False, "80.0000")]


async def test_comparisons_are_metrics(feed: Feed) -> None:
    """A worker shows how many rows a table's latest comparison left different, and when that was;
    what was cut is no number, and nothing is said of a table that was never compared.
    """
    await prepare(feed)
    await prepare(feed, table("other", "p:id int"))
    for result, shown in (
        (TableResult("ks.plain", 5, 5, different=4, left=(1, 0, 2)), "3.0"),
        (TableResult("ks.plain", 5, 5, is_cut=True), "nan"),
    ):
        await _compared(feed, PLAIN, result)
        async with sinking(feed.plan()) as board:
            await eventually(lambda: _sample(board, "wrong_rows", "ks.plain"), shown)
            ended = float(await _sample(board, "timestamp_seconds", "ks.plain"))
            assert 0 <= time.time_ns() / 1e9 - ended < 600
            assert await _sample(board, "wrong_rows", "ks.other") == "None"


async def test_a_removed_table_is_not_compared_any_more(feed: Feed) -> None:
    """What was shown of it goes, so that its last comparison does not grow old for ever."""
    await prepare(feed)
    await _compared(feed, PLAIN, TableResult("ks.plain", 5, 5))
    directions, board = Directions(Control(("ks.*",))), Board(feed.pipeline, "one")
    async with Pool(PostgresSettings(dsn=feed.postgres), "test") as pool:
        shown = Comparisons(pool, feed.pipeline, directions, board)
        await shown.look()
        assert await _sample(board, "wrong_rows", "ks.plain") == "0.0"
        directions.give(Control(("ks.other",)))
        await shown.look()
        assert await _sample(board, "wrong_rows", "ks.plain") == "None"


async def _sample(board: Board, name: str, table: str) -> str:
    registry = board.metrics.registry
    return str(registry.get_sample_value(f"cdcd_reconcile_{name}", {"table": table}))
