"""What a changed source does to an existing target, by the table's policy; and soft delete's
column, names and claims.
"""

from typing import Any

import pytest

from cdcd.config.settings import PostgresSettings
from cdcd.config.tables import TableSettings
from cdcd.model.errors import TableStopped
from cdcd.ops.status import TableState
from cdcd.sink.pool import Pool
from cdcd.sink.schema import Place, prepare_database, prepare_targets
from tests.integration.feeding import Feed, change, eventually, sinking, status, table

NARROW = table("t", "p:id int; r:v text")
WIDE = table("t", "p:id int; r:v text; r:w int")


async def prepare(feed: Feed, spec: Any, **settings: Any) -> tuple[str, ...]:
    """Prepare the targets as a sink does; gives what is to be said of them."""
    place = Place(feed.pipeline, feed.schema, TableSettings(**settings))
    async with Pool(PostgresSettings(dsn=feed.postgres), "test") as pool:
        await prepare_database(pool, feed.schema)
        return (await prepare_targets(pool, spec, place)).notes


async def columns(feed: Feed, name: str = "t") -> dict[str, str]:
    """The columns of a table in the target schema that are not cdcd's own, with their types."""
    found = await feed.rows(
        "SELECT attname::text, format_type(atttypid, atttypmod) AS kind FROM pg_attribute "
        f"WHERE attrelid = to_regclass('{{s}}.{name}') AND attnum > 0 AND NOT attisdropped"
    )
    return {r["attname"]: r["kind"] for r in found if not r["attname"].startswith("cdc_")}


async def test_ignored_columns_are_left_out_and_said(feed: Feed) -> None:
    """`ignore` replicates a new column from when its owner has added it to the target."""
    await prepare(feed, NARROW, policy="ignore")
    (note,) = await prepare(feed, WIDE, policy="ignore")
    assert 'column "w" is new in the source and is not replicated' in note
    assert await columns(feed) == {"id": "integer", "v": "text"}
    await feed.execute("ALTER TABLE {s}.t ADD COLUMN w integer")
    assert await prepare(feed, WIDE, policy="ignore") == ()


async def test_ignored_columns_while_running(feed: Feed) -> None:
    """A sink goes on with the columns that it has, and does not stumble over the new one."""
    tables = {"ks.*": TableSettings(policy="ignore")}
    select = "SELECT * FROM {s}.t ORDER BY id"
    async with sinking(feed.plan(tables=tables)):
        await feed.publish(NARROW, [change(NARROW, "c", (1,), {"v": "x"})])
        await eventually(lambda: feed.values(select, "id", "v"), [(1, "x")])
        await feed.publish(WIDE, [change(WIDE, "c", (2,), {"v": "y", "w": 7})])
        await feed.publish(WIDE, [change(WIDE, "u", (1,), {"w": 7})])
        await feed.publish(WIDE, [change(WIDE, "u", (1,), {"v": "z"})])
        await eventually(lambda: feed.values(select, "id", "v"), [(1, "z"), (2, "y")])
    assert "w" not in await columns(feed)


async def test_static_columns_that_are_new_are_ignored_too(feed: Feed) -> None:
    """`ignore` makes no table for them."""
    plain = table("t", "p:id int; c:k int; r:v text")
    static = table("t", "p:id int; c:k int; r:v text; s:w int")
    await prepare(feed, plain, policy="ignore")
    (note,) = await prepare(feed, static, policy="ignore")
    assert 'column "w"' in note
    assert await columns(feed, "t__static") == {}
    await prepare(feed, static, policy="add")
    assert await columns(feed, "t__static") == {"id": "integer", "w": "integer"}


@pytest.mark.parametrize(("before", "after"), [(NARROW, WIDE), (WIDE, NARROW)])
async def test_fail_stops_at_any_change(feed: Feed, before: Any, after: Any) -> None:
    """A new column and a dropped one stop the table, and the error names the setting."""
    await prepare(feed, before, policy="fail")
    assert await prepare(feed, before, policy="fail") == ()
    for _ in range(2):
        with pytest.raises(TableStopped, match=r'column "w" .* set `policy` to "add"'):
            await prepare(feed, after, policy="fail")
    assert ("w" in await columns(feed)) is (before is WIDE)
    await prepare(feed, after, policy="add")


async def test_a_stopped_table_has_applied_what_came_before(feed: Feed) -> None:
    """`fail` stops a running table before the first change of the new schema, and it alone."""
    tables = {"ks.t": TableSettings(policy="fail")}
    other = table("other", "p:id int")
    async with sinking(feed.plan(tables=tables)) as board:
        await feed.publish(NARROW, [change(NARROW, "c", (1,), {"v": "x"})])
        await eventually(lambda: feed.values("SELECT * FROM {s}.t", "id"), [(1,)])
        await feed.publish(WIDE, [change(WIDE, "c", (2,), {"w": 1})])

        async def state() -> TableState:
            return status(board, WIDE).state

        await eventually(state, TableState.STOPPED)
        await feed.publish(other, [change(other, "c", (1,))])
        await eventually(lambda: feed.values("SELECT * FROM {s}.other", "id"), [(1,)])
    assert 'column "w"' in status(board, WIDE).reason
    assert await feed.values("SELECT * FROM {s}.t", "id") == [(1,)]


async def test_a_dropped_column_is_said_once_and_cleared_when_it_is_back(feed: Feed) -> None:
    """It stays as it is while it is gone; what comes back has none of its former values."""
    await prepare(feed, WIDE)
    await feed.execute("INSERT INTO {s}.t (id, v, w) VALUES (1, 'x', 7)")
    (note,) = await prepare(feed, NARROW)
    assert 'column "w" was dropped in the source; it stays' in note
    assert await prepare(feed, NARROW) == ()
    assert await feed.values("SELECT * FROM {s}.t", "id", "v", "w") == [(1, "x", 7)]
    assert await prepare(feed, WIDE) == ()
    assert await feed.values("SELECT * FROM {s}.t", "id", "v", "w") == [(1, "x", None)]


async def test_evolve_widens_what_postgres_can(feed: Feed) -> None:
    """Types grow, also of the key and below the view, and NOT NULL goes; values stay."""
    small = table("t", "p:id smallint; c:k int; r:a int; r:f float; s:s text")
    big = table("t", "p:id bigint; c:k int; r:a varint; r:f double; s:s text")
    await prepare(feed, small)
    await feed.execute(
        "INSERT INTO {s}.t (id, k, a, f) VALUES (1, 2, 3, 0.5)",
        "ALTER TABLE {s}.t ALTER COLUMN a SET NOT NULL",
        "ALTER TABLE {s}.t ADD COLUMN mine int NOT NULL DEFAULT 1",
        "ALTER TABLE {s}.t ALTER COLUMN mine DROP DEFAULT",
    )
    with pytest.raises(TableStopped) as caught:
        await prepare(feed, big)
    assert str(caught.value).count('`policy = "evolve"` widens it') == 4
    assert 't__static": column "id" is smallint' in str(caught.value)
    assert await columns(feed) | {"id": "smallint"} == await columns(feed)

    await prepare(feed, big, policy="evolve")
    assert await columns(feed) == {
        "id": "bigint",
        "k": "integer",
        "a": "numeric",
        "f": "double precision",
        "mine": "integer",
    }
    assert (await columns(feed, "t__static"))["id"] == "bigint"
    await feed.execute("INSERT INTO {s}.t (id, k) VALUES (1, 3)")
    shown = await feed.values(
        "SELECT id, k, a::text, f FROM {s}.t__full ORDER BY k", "id", "a", "f"
    )
    assert shown == [(1, "3", 0.5), (1, None, None)]


async def test_evolve_loses_nothing(feed: Feed) -> None:
    """What could change a value is refused with this policy as with any other."""
    await prepare(feed, table("t", "p:id int; r:v double"), policy="evolve")
    with pytest.raises(TableStopped, match='"v" is double precision and must be real'):
        await prepare(feed, table("t", "p:id int; r:v float"), policy="evolve")


async def test_names_keep_tables_of_two_keyspaces_apart(feed: Feed) -> None:
    """Two source tables with one target: the second is refused with both names and the setting."""
    other = type(NARROW)("other", "t", NARROW.columns)
    await prepare(feed, NARROW)
    with pytest.raises(TableStopped) as caught:
        await prepare(feed, other)
    said = str(caught.value)
    assert said.startswith("other.t: ")
    assert "writes ks.t to" in said
    assert 'set `target` in [tables."other.t"], "{keyspace}__{table}" for instance' in said
    await prepare(feed, other, target="{keyspace}__{table}")
    assert await columns(feed, "other__t") == {"id": "integer", "v": "text"}


async def test_wrong_settings_stop_their_table_before_it_is_made(feed: Feed) -> None:
    """A column that is not there is said with its entry, and the other tables go on."""
    tables = {"ks.t": TableSettings(exclude=("nmae",))}
    other = table("other", "p:id int")
    await feed.publish(NARROW, [change(NARROW, "c", (1,), {"v": "x"})])
    await feed.publish(other, [change(other, "c", (1,))])
    async with sinking(feed.plan(tables=tables)) as board:
        await eventually(lambda: feed.values("SELECT * FROM {s}.other", "id"), [(1,)])
    assert status(board, NARROW).state is TableState.STOPPED
    assert '[tables."ks.t"] names the column "nmae"' in status(board, NARROW).reason
    assert await columns(feed) == {}


async def test_soft_delete_is_not_switched_off_over_deleted_rows(feed: Feed) -> None:
    """They would come to life; without any the setting may change both ways."""
    await prepare(feed, NARROW)
    await prepare(feed, NARROW, soft_delete=True)
    await prepare(feed, NARROW)
    await feed.execute("INSERT INTO {s}.t (id, cdc_deleted) VALUES (1, true)")
    with pytest.raises(TableStopped, match="rows with cdc_deleted true, and `soft_delete` is off"):
        await prepare(feed, NARROW)
    await prepare(feed, NARROW, soft_delete=True)
