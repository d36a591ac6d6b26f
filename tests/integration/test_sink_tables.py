"""Targets that differ from their source by the table's settings, from the topic to the rows."""

import random
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from cdcd.config.settings import PostgresSettings
from cdcd.config.tables import TableSettings
from cdcd.model.change import Bounds, ChangeEvent, Elements
from cdcd.model.refresh import Request, Row
from cdcd.model.table import TableSpec
from cdcd.ops.status import TableState
from cdcd.sink.batch import Batch, lay
from cdcd.sink.pool import Pool
from cdcd.sink.schema import Place, prepare_database, prepare_targets
from cdcd.sink.target import Targets
from cdcd.sink.writer import Write, write
from cdcd.transport.records import Partition, Record
from tests.integration.feeding import Feed, change, eventually, sinking, status, table
from tests.integration.letters import letters, states
from tests.unit.records import changes

KEY = "00000000-0000-1000-8000-000000000000"
MANY = 300  # more than travel as arrays


def settings(**given: Any) -> dict[str, TableSettings]:
    return {"ks.t": TableSettings(**given)}


@pytest.mark.parametrize("count", [1, MANY])
async def test_other_names_and_types(feed: Feed, count: int) -> None:
    """Columns are renamed, retyped and left out, the key too, in small batches and in big ones."""
    spec = table("t", "p:id int; c:k text; r:n bigint; r:doc text; r:secret text; r:wait duration")
    tables = settings(
        target="{keyspace}.{table}",
        exclude=["secret"],
        columns={
            "id": {"rename": "ID", "type": "bigint"},
            "k": {"rename": "n"},
            "n": {"rename": "k", "type": "numeric(20)"},
            "doc": {"type": "jsonb"},
            "wait": {"type": "interval"},
        },
    )
    values = {"n": 2**60, "doc": '{"a": 1}', "secret": "s"}
    values["wait"] = {"months": 1, "days": 0, "nanoseconds": 1000}
    events = [change(spec, "c", (1, f"k{n}"), values) for n in range(count)]
    events += [change(spec, "u", (1, "k0"), {"secret": "t", "doc": '{"a": 2}'})]
    await feed.publish(spec, events)
    select = (
        "SELECT \"ID\", n, k::text, doc->>'a' AS a, wait = '1 month 1 us' AS waits"
        ' FROM {s}."ks.t" ORDER BY length(n), n LIMIT 1'
    )
    async with sinking(feed.plan(tables=tables)):
        await eventually(
            lambda: feed.values(select, "ID", "n", "k", "a", "waits"),
            [(1, "k0", str(2**60), "2", True)],
        )
    (row,) = await feed.rows('SELECT * FROM {s}."ks.t" LIMIT 1')
    assert [n for n in row if not n.startswith("cdc_")] == ["ID", "n", "k", "doc", "wait"]
    found = await feed.rows('SELECT count(*)::int AS rows FROM {s}."ks.t"')
    assert found == [{"rows": count}]


async def test_elements_of_a_renamed_column(feed: Feed) -> None:
    """A part of a set is merged with what the renamed column of another type has."""
    spec = table("t", "p:id int; r:tags set<text>; r:hidden set<text>; r:list list<int>")
    tables = settings(
        columns={"tags": {"rename": "labels", "type": "text"}}, exclude=["hidden", "list"]
    )
    add = {"tags": Elements(["b"], ()), "hidden": Elements(["x"], ())}
    later = {"tags": Elements(["a"], ("c",)), "list": Elements([{"key": KEY, "value": 1}], ())}
    await feed.publish(spec, [change(spec, "c", (1,), {"tags": ["c"]})])
    async with sinking(feed.plan(tables=tables)):
        select = "SELECT labels FROM {s}.t"
        await eventually(lambda: feed.values(select, "labels"), [('["c"]',)])
        await feed.publish(spec, [change(spec, "u", (1,), add)])
        await eventually(lambda: feed.values(select, "labels"), [('["b","c"]',)])
        await feed.publish(spec, [change(spec, "u", (1,), later)])
        await eventually(lambda: feed.values(select, "labels"), [('["a","b"]',)])
    # A list that the target does not have is no reason to read a row again.
    assert await feed.requests() == []


async def test_a_row_that_lives_by_a_column_that_is_left_out(feed: Feed) -> None:
    """It stays with nulls, and only the source can tell whether it is still there."""
    spec = table("t", "p:id int; r:a int; r:hidden int")
    tables = settings(exclude=["hidden"])
    select = "SELECT id, a FROM {s}.t ORDER BY id"
    async with sinking(feed.plan(tables=tables)):
        await feed.publish(spec, [change(spec, "u", (1,), {"hidden": 1})])
        await eventually(lambda: feed.values(select, "id", "a"), [(1, None)])
        assert await feed.requests() == []
        await feed.publish(spec, [change(spec, "u", (1,), {"hidden": None})])
        await feed.publish(spec, [change(spec, "r", (2,), {"hidden": 1})])
        await eventually(lambda: feed.values(select, "id", "a"), [(1, None), (2, None)])
    ((_, request),) = await feed.requests()
    assert request.scope == Row(((1).to_bytes(4, "big"),), ())


ODD = table("t", "p:id int; r:v text; r:d date; r:j list<double>; r:n double")
ODD_VALUES = {"v": "a\0", "d": 2**31 - 1, "j": [float("nan"), 1.0], "n": float("-inf")}


async def test_values_that_are_replaced(feed: Feed) -> None:
    """What PostgreSQL cannot hold has what the page of types says in its place."""
    tables = settings(
        nul_characters="replace",
        not_finite="replace",
        dates_out_of_range="replace",
        columns={"n": {"type": "numeric"}},
    )
    await feed.publish(ODD, [change(ODD, "c", (1,), ODD_VALUES)])
    select = "SELECT v, d, j, (j->>0)::float8 = 'NaN' AS nan, n FROM {s}.t"
    async with sinking(feed.plan(tables=tables)):
        await eventually(
            lambda: feed.values(select, "v", "d", "j", "nan", "n"),
            [("a\ufffd", date.max, '["NaN", 1.0]', True, None)],
        )


@pytest.mark.parametrize("name", ["v", "d", "j", "n"])
async def test_values_that_are_refused(feed: Feed, name: str) -> None:
    """Without being told to replace, nothing takes a value's place, and what was before stays."""
    tables = settings(columns={"n": {"type": "numeric"}})
    await feed.publish(ODD, [change(ODD, "c", (1,), {"v": "x"})])
    async with sinking(feed.plan(tables=tables)) as board:
        await eventually(lambda: feed.values("SELECT id FROM {s}.t", "id"), [(1,)])
        await feed.publish(ODD, [change(ODD, "c", (2,), {name: ODD_VALUES[name]})])
        await eventually(lambda: states(feed), ["open"])
        assert (await letters(feed))[0]["column_name"] == name
        assert await feed.values("SELECT id FROM {s}.t", "id") == [(1,)]
        assert status(board, ODD).state is TableState.RUNNING


LIFE = table("t", "p:id int; c:k int; r:a int; r:b int; r:n set<int>; s:s int")
SHOWN = ("id", "k", "a", "b", "n", "cdc_deleted")


async def test_the_life_of_a_row_that_is_deleted_softly(feed: Feed) -> None:
    """It keeps its last values and says when it was deleted; a new row of its key has none of
    them, and changes that make no row do not bring it back.
    """
    first, second = {"a": 1, "b": 2, "n": [1]}, {"b": None, "n": Elements(None, (1,))}
    select = "SELECT *, (extract(epoch FROM cdc_timestamp) * 1000000)::bigint AS us FROM {s}.t"

    async def row() -> list[tuple[Any, ...]]:
        return await feed.values(select, *SHOWN, "us")

    async with sinking(feed.plan(tables=settings(soft_delete=True))):
        await feed.publish(LIFE, [change(LIFE, "c", (1, 1), first, time_us=10)])
        await eventually(row, [(1, 1, 1, 2, "[1]", False, 10)])
        await feed.publish(LIFE, [change(LIFE, "d", (1, 1), time_us=20)])
        await eventually(row, [(1, 1, 1, 2, "[1]", True, 20)])
        await feed.publish(LIFE, [change(LIFE, "d", (1, 1), time_us=30)])
        await feed.publish(LIFE, [change(LIFE, "u", (1, 1), second, time_us=40)])
        await feed.publish(LIFE, [change(LIFE, "d", (9, 9), time_us=50)])
        await feed.publish(LIFE, [change(LIFE, "u", (1, 1), {"n": Elements([7], ())}, time_us=60)])
        await eventually(row, [(1, 1, None, None, "[7]", False, 60)])


async def test_deletes_of_many_rows_are_soft_too(feed: Feed) -> None:
    """Ranges, partitions, static rows and what expires stay; the view shows what is there."""
    rows = [change(LIFE, "c", (p, k), {"a": k}) for p in (1, 2) for k in (1, 2, 3)]
    statics = [change(LIFE, "u", (p,), {"s": p}) for p in (1, 2)]
    cut = change(LIFE, "g", (1,), bounds=Bounds((2,), True, (), True))
    gone = change(LIFE, "p", (2,))
    states = "SELECT id, k, cdc_deleted AS gone FROM {s}.t ORDER BY id, k"
    static = "SELECT id, s, cdc_deleted AS gone FROM {s}.t__static ORDER BY id"
    full = "SELECT id, k, s FROM {s}.t__full ORDER BY id, k"
    async with sinking(feed.plan(tables=settings(soft_delete=True))):
        await feed.publish(LIFE, [*rows, *statics])
        await eventually(lambda: feed.values(full, "s"), [(1,)] * 3 + [(2,)] * 3)
        await feed.publish(LIFE, [cut, gone])
        await eventually(
            lambda: feed.values(states, "id", "k", "gone"),
            [(p, k, p == 2 or k > 1) for p in (1, 2) for k in (1, 2, 3)],
        )
        assert await feed.values(static, "id", "s", "gone") == [(1, 1, False), (2, 2, True)]
        assert await feed.values(full, "id", "k", "s") == [(1, 1, 1)]
        await feed.publish(LIFE, [change(LIFE, "u", (1,), {"s": None})])
        await eventually(lambda: feed.values(full, "id", "k", "s"), [(1, 1, None)])


async def test_soft_deletes_are_deletes_but_for_the_rows_that_stay(feed: Feed) -> None:
    """After any changes, in any batches, the living rows are those of a target that deletes."""
    chance = random.Random(5)
    events = [_any_change(chance, at) for at in range(400)]
    hard_spec = TableSpec("ks", "hard", LIFE.columns)
    async with Pool(PostgresSettings(dsn=feed.postgres), "test") as pool:
        await prepare_database(pool, feed.schema)
        soft_place = Place(feed.pipeline, feed.schema, TableSettings(soft_delete=True))
        soft = (await prepare_targets(pool, LIFE, soft_place)).targets
        hard = (await prepare_targets(pool, hard_spec, Place(feed.pipeline, feed.schema))).targets
        while events:
            size = chance.choice((1, 3, 10, 250))
            batch, events = events[:size], events[size:]
            asked = [await _apply(pool, feed, targets, batch) for targets in (soft, hard)]
            assert asked[0] == asked[1]
            living = "SELECT id, k, a, b, n FROM {s}.%s ORDER BY id, k"
            statics = "SELECT id, s FROM {s}.%s ORDER BY id"
            for query, suffix in ((living, ""), (statics, "__static")):
                where = query.replace(" ORDER", " WHERE NOT cdc_deleted ORDER")
                assert await feed.rows(where % f"t{suffix}") == await feed.rows(
                    query % f"hard{suffix}"
                )
    assert await feed.rows("SELECT FROM {s}.t WHERE cdc_deleted LIMIT 1")


def _any_change(chance: random.Random, at: int) -> ChangeEvent:
    key = chance.randrange(2), chance.randrange(3)
    op = chance.choice("cuuuudrpgs")
    if op == "p":
        return change(LIFE, "p", key[:1], time_us=at)
    if op == "g":
        bounds = Bounds((key[1],), chance.random() < 0.5, (), True)
        return change(LIFE, "g", key[:1], bounds=bounds, time_us=at)
    if op == "s":
        values = {"s": chance.choice((None, 1, 2))}
        return change(LIFE, "u", key[:1], values, time_us=at)
    if op == "d":
        return change(LIFE, "d", key, time_us=at)
    given: dict[str, Any] = {}
    given |= {n: chance.choice((None, 1, 2)) for n in "ab" if chance.random() < 0.5}
    if op == "u" and chance.random() < 0.5:
        given["n"] = chance.choice((Elements([chance.randrange(4)], ()), Elements(None, (1, 2))))
    return change(LIFE, op, key, given, time_us=at)


async def _apply(
    pool: Pool, feed: Feed, targets: Targets, batch: Sequence[ChangeEvent]
) -> set[Any]:
    """What was asked for, by scope."""
    asked: set[Any] = set()

    async def ask(requests: Sequence[Request]) -> None:
        asked.update(r.scope for r in requests)

    place = Partition("topic", 0)
    records = [Record(place, n, e.time_us // 1000, b"", b"") for n, e in enumerate(batch)]
    made = Batch(targets, records, changes(batch))
    await write(pool, feed.pipeline, Write("topic", (), made, lay(made)), ask)
    return asked
