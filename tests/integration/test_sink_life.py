"""Rows live and die in PostgreSQL as their changes say; what they do not say is asked for."""

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from cdcd.config.settings import PostgresSettings
from cdcd.model.change import Bounds, Elements
from cdcd.model.cqlencode import encoder
from cdcd.model.cqlorder import order_key
from cdcd.model.cqltype import parse
from cdcd.model.lane import lane_of
from cdcd.model.refresh import Partition, Row
from cdcd.ops.status import TableState
from cdcd.sink.expiry import Sweeper
from cdcd.sink.pool import Pool
from cdcd.sink.target import targets_of
from cdcd.transport.requests import Requests
from tests.integration.feeding import LANES, Feed, change, eventually, sinking, status, table
from tests.integration.letters import letters

PLAIN = table("plain", "p:p int; c:c int; r:a int; r:b text")
KEYS = "SELECT p, c FROM {s}.plain ORDER BY p, c"


def number(value: int) -> bytes:
    return encoder(parse("int"))(value)


async def rows_of(feed: Feed, query: str = KEYS) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in await feed.rows(query)]


def span(start: tuple[Any, ...], end: tuple[Any, ...], inclusive: str = "[]") -> Bounds:
    return Bounds(start, inclusive[0] == "[", end, inclusive[1] == "]")


async def asked(feed: Feed) -> list[Any]:
    """The scopes that the sink has asked for."""
    return [request.scope for _, request in await feed.requests()]


@pytest.mark.parametrize("apart", [False, True], ids=["one batch", "many batches"])
async def test_ranges_follow_the_clustering_order(feed: Feed, *, apart: bool) -> None:
    """Bounds, prefixes and open ends, over columns that rise and fall, take away the rows between
    them in one partition, and no other; a later row in the range stays.
    """
    spec = table("mixed", {"p": "p:int", "c": "c:int", "t": "c:text", "v": "r:int"})
    falling = spec.columns[1]
    columns = tuple(
        type(c)(c.name, c.type, c.kind, descending=True) if c == falling else c
        for c in spec.columns
    )
    spec = type(spec)(spec.keyspace, spec.name, columns)
    texts = ["", "B", "a", "ä"]
    rows = [(p, c, t) for p in (1, 2) for c in (1, 2, 3, 4) for t in texts]
    events = [change(spec, "c", key, {"v": 1}) for key in rows]
    ranges = [
        span((4,), (3, "B"), "(]"),  # all below 4, down to 3 and "B"
        span((2, "a"), (2,)),
        span((1, "B"), (1, "ä"), "()"),
    ]
    events += [change(spec, "g", (1,), bounds=b) for b in ranges]
    events.append(change(spec, "u", (1, 3, ""), {"v": 2}))
    left = [
        *((1, 4, t, 1) for t in texts),
        (1, 3, "", 2),
        (1, 3, "a", 1),
        (1, 3, "ä", 1),
        *((1, 2, t, 1) for t in ("", "B")),
        *((1, 1, t, 1) for t in ("", "B", "ä")),
        *((2, c, t, 1) for c in (1, 2, 3, 4) for t in texts),
    ]
    select = "SELECT p, c, t, v FROM {s}.mixed"
    async with sinking(feed.plan()):
        for batch in [[e] for e in events] if apart else [events]:
            await feed.publish(spec, batch)
        await eventually(lambda: _sorted(feed, select), sorted(left))
        await feed.publish(spec, [change(spec, "g", (1,), bounds=span((), ()))])
        await eventually(lambda: _sorted(feed, select), sorted(left[len(left) - 16 :]))


async def _sorted(feed: Feed, query: str) -> list[tuple[Any, ...]]:
    return sorted(await rows_of(feed, query))


TIMES = [
    "ffffffff-0000-1000-8000-000000000000",
    "00000000-0001-1000-8080-000000000000",
    "00000000-0001-1000-80ff-000000000000",
    "00000000-0001-1000-8000-000000000000",
    "00000000-0001-1000-807f-000000000001",
    "00000000-0000-1001-8000-000000000000",
]


@pytest.mark.parametrize("at", range(len(TIMES)))
async def test_timeuuids_are_ordered_as_the_servers_do(feed: Feed, at: int) -> None:
    """By ticks and then by signed bytes, which is not PostgreSQL's own order of uuids."""
    spec = table("times", "p:p int; c:c timeuuid")
    order = order_key(parse("timeuuid"))
    events = [change(spec, "c", (1, t)) for t in TIMES]
    await feed.publish(spec, events)
    bounds = span((), (TIMES[at],), "[)")
    left = {UUID(t) for t in TIMES if order(t) >= order(TIMES[at])}

    async def found() -> set[Any]:
        return {row[0] for row in await rows_of(feed, "SELECT c FROM {s}.times")}

    async with sinking(feed.plan()):
        await eventually(found, {UUID(t) for t in TIMES})
        await feed.publish(spec, [change(spec, "g", (1,), bounds=bounds)])
        await eventually(found, left)


async def test_a_range_that_postgres_cannot_find_is_asked_for(feed: Feed) -> None:
    """Nothing is deleted on a guess: the partition is to be read again, once."""
    spec = table("uuids", "p:p int; c:c uuid; r:v int")
    key = "00000000-0000-4000-8000-000000000000"
    ranges = [change(spec, "g", (7,), bounds=span((), (key,), e)) for e in ("[]", "[)")]
    await feed.publish(spec, [change(spec, "c", (7, key), {"v": 1})])
    select = "SELECT v FROM {s}.uuids"
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, select), [(1,)])
        await feed.publish(spec, [*ranges, change(spec, "c", (8, key), {"v": 2})])
        await eventually(lambda: rows_of(feed, select + " ORDER BY v"), [(1,), (2,)])
        assert await asked(feed) == [Partition((number(7),))]
        assert [request.whole for _, request in await feed.requests()] == [True]


async def test_rows_that_may_have_vanished_are_asked_for(feed: Feed) -> None:
    """A row that nulls alone have emptied is to be read again, in the lane of its token; one that
    still has a value, or was inserted, or is absent, is not.
    """
    token = -(2**61)
    more = {"token": token}
    await feed.publish(
        PLAIN,
        [
            change(PLAIN, "u", (1, 1), {"a": 1, "b": "x"}),
            change(PLAIN, "u", (1, 2), {"a": 1, "b": "x"}),
        ],
    )
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed), [(1, 1), (1, 2)])
        await feed.publish(
            PLAIN,
            [
                change(PLAIN, "u", (1, 1), {"a": None, "b": None}, **more),
                change(PLAIN, "u", (1, 2), {"a": None}, **more),
                change(PLAIN, "c", (1, 3), {"a": None}, **more),
                change(PLAIN, "u", (1, 4), {"a": None, "b": None}, **more),
                change(PLAIN, "u", (1, 5), {"a": 1}, **more),
                change(PLAIN, "u", (1, 5), {"a": None}, **more),
            ],
        )
        await eventually(lambda: rows_of(feed), [(1, 1), (1, 2), (1, 3), (1, 5)])
        found = await feed.requests()
    assert {request.scope for _, request in found} == {
        Row((number(1),), (number(c),)) for c in (1, 5)
    }
    assert {lane for lane, _ in found} == {lane_of(token, LANES)}
    assert all(request.table == "ks.plain" and request.due_ms == 0 for _, request in found)


async def test_requests_come_before_the_commit(feed: Feed) -> None:
    """While the request cannot be produced, the change that needs it is not committed."""
    spec = table("lists", "p:p int; r:l list<int>; r:a int")
    part = Elements([{"key": "00000000-0000-1000-8000-000000000000", "value": 5}], ())
    await feed.publish(spec, [change(spec, "u", (1,), {"l": part, "a": 1})])
    broken = feed.kafka.model_copy(update={"request_timeout_seconds": 1.0})
    plan = feed.plan(kafka=broken, lanes=1024)  # lanes that the topic does not have
    async with sinking(plan) as board:

        async def state() -> TableState:
            return status(board, spec).state

        await eventually(state, TableState.PAUSED)
        assert await rows_of(feed, "SELECT 1 FROM {s}.lists") == []
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, "SELECT p, l, a FROM {s}.lists"), [(1, None, 1)])
    assert await asked(feed) == [Row((number(1),), ())]


STATICS = table("st", "p:p int; c:c int; s:s int; s:m map<text, int>; r:v int")
FULL = "SELECT p, c, m, s, v FROM {s}.st__full ORDER BY p, c NULLS FIRST"


async def test_statics_have_a_table_and_a_view(feed: Feed) -> None:
    """Static rows come and go beside the rows; the view shows what the source's SELECT would."""
    steps: Sequence[tuple[Any, list[Any]]] = [
        (("u", (1,), {"s": 5}), [(1, None, None, 5, None)]),
        (("c", (1, 2), {"v": 7}), [(1, 2, None, 5, 7)]),
        (("u", (1,), {"m": Elements({"k": 1}, ())}), [(1, 2, '{"k": 1}', 5, 7)]),
        (("c", (2, 1), {"v": 8}), [(1, 2, '{"k": 1}', 5, 7), (2, 1, None, None, 8)]),
        (("d", (1, 2)), [(1, None, '{"k": 1}', 5, None), (2, 1, None, None, 8)]),
        (("u", (1,), {"s": None}), [(1, None, '{"k": 1}', None, None), (2, 1, None, None, 8)]),
        (("u", (1,), {"m": Elements(None, ("k",))}), [(2, 1, None, None, 8)]),
        (("r", (2,), {"s": 3}), [(2, 1, None, 3, 8)]),
        (("r", (2,)), [(2, 1, None, None, 8)]),
        (("u", (2,), {"s": 4}), [(2, 1, None, 4, 8)]),
        (("p", (2,)), []),
    ]
    async with sinking(feed.plan()):
        for step, expected in steps:
            await feed.publish(STATICS, [change(STATICS, *step)])
            await eventually(lambda: rows_of(feed, FULL), expected)
        for step, _ in steps[:-1]:
            await feed.publish(STATICS, [change(STATICS, *step)])
        await eventually(lambda: rows_of(feed, FULL), steps[-2][1])
    assert await asked(feed) == []


async def test_the_view_gains_columns(feed: Feed) -> None:
    """Columns that the source gains are behind the view's others, and dropped ones stay."""
    wide = table("st", "p:p int; c:c int; s:s2 text; r:v int; r:w int")
    await feed.publish(STATICS, [change(STATICS, "u", (1,), {"s": 5})])
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, FULL), [(1, None, None, 5, None)])
        await feed.publish(wide, [change(wide, "u", (1,), {"s2": "x"})])
        select = "SELECT p, s, s2, w FROM {s}.st__full"
        await eventually(lambda: rows_of(feed, select), [(1, 5, "x", None)])


async def test_names_of_statics_have_one_owner(feed: Feed) -> None:
    """A source table whose name is that of another's statics or view is refused."""
    rival = table("st__static", "p:p int; r:v int")
    seen = table("st__full", "p:p int; r:v int")
    await feed.publish(STATICS, [change(STATICS, "u", (1,), {"s": 5})])
    async with sinking(feed.plan()) as board:
        await eventually(lambda: rows_of(feed, FULL), [(1, None, None, 5, None)])
        for spec in (rival, seen):
            await feed.publish(spec, [change(spec, "c", (1,), {"v": 5})])

        async def states() -> list[TableState]:
            return [status(board, spec).state for spec in (rival, seen)]

        await eventually(states, [TableState.STOPPED] * 2)
        assert "(static)" in status(board, rival).reason
        assert "not a table" in status(board, seen).reason


ELEMENTS = table(
    "el", "p:p int; r:n set<int>; r:m map<int, text>; r:t map<text, int>; r:u set<timeuuid>"
)


@pytest.mark.parametrize("count", [1, 300], ids=["arrays", "staged"])
async def test_elements_are_merged_with_what_is_there(feed: Feed, count: int) -> None:
    """Puts and removals change the stored value, in the order of the type; empty is NULL."""
    keys = range(count)
    times = [TIMES[3], TIMES[1], TIMES[0]]
    first = {
        "n": [2, 10],
        "m": [{"key": 5, "value": "five"}],
        "t": {"a": 1},
        "u": times[:1],
    }
    change_of = {
        "n": Elements([9, 100], (2,)),
        "m": Elements([{"key": -1, "value": "x"}, {"key": 5, "value": "y"}], ()),
        "t": Elements(None, ("a",)),
        "u": Elements(times[1:], ()),
    }
    await feed.publish(ELEMENTS, [change(ELEMENTS, "u", (k,), first) for k in keys])
    select = "SELECT p, n, m, t, u FROM {s}.el ORDER BY p"

    async def found() -> list[Any]:
        return [
            [row[0], *(v and json.loads(v) for v in row[1:])] for row in await rows_of(feed, select)
        ]

    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, "SELECT count(*)::int FROM {s}.el"), [(count,)])
        await feed.publish(ELEMENTS, [change(ELEMENTS, "u", (k,), change_of) for k in keys])
        ordered = sorted(times, key=order_key(parse("timeuuid")))
        after = [[9, 10, 100], [[-1, "x"], [5, "y"]], None, ordered]
        await eventually(found, [[k, *after] for k in keys])
        gone = {"n": Elements(None, (9, 10, 100)), "m": None, "u": None}
        await feed.publish(ELEMENTS, [change(ELEMENTS, "u", (k,), gone) for k in keys])
        await eventually(found, [[k, None, None, None, None] for k in keys])
        assert len(await asked(feed)) == count


async def test_an_element_that_cannot_be_stored_is_a_dead_letter(feed: Feed) -> None:
    """Found only when it is merged with the stored value, it says the column and not the value."""
    spec = table("bad", "p:p int; r:v set<text>")
    bad, fine = Elements(["secret\0"], ()), Elements(["x"], ())
    events = [change(spec, "u", (n,), {"v": bad if n == 1 else fine}) for n in range(3)]
    # A value and a change of it in one batch are merged before PostgreSQL is asked.
    events += [change(spec, "u", (4,), {"v": ["a"]}), change(spec, "u", (4,), {"v": bad})]
    await feed.publish(spec, events)
    rows = "SELECT p, v::text FROM {s}.bad ORDER BY p"
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, rows), [(0, '["x"]'), (2, '["x"]'), (4, '["a"]')])
    found = await letters(feed)
    assert [(r["column_name"], r["record_offset"]) for r in found] == [("v", 1), ("v", 4)]
    assert not any("secret" in r["condition"] for r in found)


async def test_expired_rows_are_asked_for(feed: Feed) -> None:
    """When something of a row expires it is to be read again, in time and not before, and again
    when the last of it has expired; then nothing of it expires.
    """
    now_us = time.time_ns() // 1000
    events = [
        change(PLAIN, "c", (1, 1), {"a": 1}, ttl_seconds=8, time_us=now_us),
        change(PLAIN, "c", (1, 2), {"a": 1}, ttl_seconds=900, time_us=now_us),
        change(PLAIN, "c", (1, 3), {"a": 1}, time_us=now_us),
        # Written with a time of its own: by that it has expired, and by the clock it has not.
        change(PLAIN, "c", (1, 4), {"a": 1}, ttl_seconds=2, time_us=now_us - 60_000_000),
    ]
    await feed.publish(PLAIN, events[:3])
    pending = "SELECT c FROM {s}.plain WHERE cdc_expires_at IS NOT NULL ORDER BY c"
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, pending), [(1,), (2,)])
        assert await asked(feed) == []
        await feed.publish(PLAIN, events[3:])
        await eventually(lambda: rows_of(feed, pending), [(2,)])
    scopes = [scope.clustering for scope in await asked(feed)]
    assert set(scopes) == {(number(1),), (number(4),)}
    assert scopes.count((number(4),)) == 2
    assert scopes.count((number(1),)) <= 2


async def test_a_sink_that_was_away_finds_what_expired(feed: Feed) -> None:
    """What was due while no sink ran is asked for at its start, in bounded steps."""
    events = [
        change(PLAIN, "c", (1, c), {"a": 1}, ttl_seconds=1, time_us=time.time_ns() // 1000)
        for c in range(1200)
    ]
    async with sinking(feed.plan()):
        await feed.publish(PLAIN, events[:1])
        await eventually(lambda: rows_of(feed), [(1, 0)])
    await feed.publish(PLAIN, events[1:])
    async with sinking(feed.plan()):
        pending = "SELECT count(*)::int FROM {s}.plain WHERE cdc_expires_at IS NOT NULL"
        await eventually(lambda: rows_of(feed, "SELECT count(*)::int FROM {s}.plain"), [(1200,)])
        await eventually(lambda: rows_of(feed, pending), [(0,)])
    assert len(set(await asked(feed))) == 1200


async def test_a_sweep_waits_without_a_connection(feed: Feed) -> None:
    """While a batch is written, a sweep that waits for it leaves the connections to it."""
    now_ms = time.time_ns() // 1_000_000
    event = change(PLAIN, "c", (1, 1), {"a": 1}, ttl_seconds=600, time_us=now_ms * 1000)
    async with sinking(feed.plan()):
        await feed.publish(PLAIN, [event])
        await eventually(lambda: rows_of(feed), [(1, 1)])
    one = PostgresSettings(dsn=feed.postgres, pool_connections_max=1)
    writing = asyncio.Lock()
    async with (
        Pool(one, "test") as pool,
        Requests(feed.kafka, feed.pipeline, LANES) as requests,
        asyncio.TaskGroup() as tasks,
    ):
        sweeper, targets = Sweeper(pool, requests), targets_of(PLAIN, feed.schema)
        async with writing:
            tasks.create_task(sweeper.sweep(targets, now_ms + 601_000, writing))
            await asyncio.sleep(0.5)
            async with asyncio.timeout(5):
                await pool.ping()
    assert await asked(feed) == [Row((number(1),), (number(1),))]


async def test_a_newer_ttl_moves_nothing_back(feed: Feed) -> None:
    """Of two TTLs the earlier one is next, the later one last, whichever was written first."""
    now_us = time.time_ns() // 1000
    for first, second in itertools.permutations((100, 900)):
        key = (first, second)
        for ttl in key:
            event = change(PLAIN, "u", key, {"a": ttl}, ttl_seconds=ttl, time_us=now_us)
            await feed.publish(PLAIN, [event])
    seconds = now_us // 1_000_000 + 900
    select = (
        "SELECT (extract(epoch FROM cdc_expires_at) * 1000000)::bigint,"
        f" cdc_expires_last > to_timestamp({seconds}) FROM {{s}}.plain"
    )
    async with sinking(feed.plan()):
        await eventually(lambda: rows_of(feed, select), [(now_us + 100_000_000, True)] * 2)
