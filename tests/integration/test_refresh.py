"""Refreshes on a real database: what they read, when they are served, and in which order."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.model.change import Operation
from cdcd.model.lane import lane_range
from cdcd.model.refresh import Partition, Request, Row, Scope, StaticRow, Tokens
from cdcd.ops.board import wall_clock_ms
from cdcd.source.session import Session
from tests.integration.asking import ROW, TOKEN, WHOLE, key, running, shown, table_with_rows
from tests.integration.keyspaces import (
    CDC,
    Keyspace,
    keyspace,
)


@pytest.fixture
def ks(plain: DriverSession) -> Iterator[Keyspace]:
    """A keyspace."""
    with keyspace(plain, "vnodes") as made:
        yield made


@pytest.fixture
def table(ks: Keyspace) -> str:
    """The table with the rows `WHOLE`."""
    return table_with_rows(ks)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (ROW, [(Operation.READ, (2,), {"v": 20})]),
        (Row(key(1), key(9)), [(Operation.DELETE, (9,), {})]),
        (StaticRow(key(1)), [(Operation.READ, (None,), {"s": 7})]),
        (Partition(key(1)), [(Operation.PARTITION_DELETE, (None,), {}), *WHOLE]),
        (Partition(key(9)), [(Operation.PARTITION_DELETE, (None,), {})]),
        (Tokens(replace(lane_range(0, 16), start=TOKEN - 1, end=TOKEN)), WHOLE),
    ],
    ids=["row", "gone", "static", "partition", "gone-partition", "tokens"],
)
async def test_what_a_refresh_publishes(
    table: str, session: Session, scope: Scope, expected: list[object]
) -> None:
    """A refresh publishes what is there, a delete of a row that is gone, and before a partition's
    rows its delete; it is listed with its frontier.
    """
    async with running(session, table) as lanes:
        await lanes.until(lambda: len(lanes.events) >= 4)
        await lanes.served(lanes.ask(table, scope))
        assert shown(lanes.refreshed) == expected
        assert [e.scope for e in lanes.listed.values()] == [scope]


async def test_a_static_row_that_is_gone(table: str, session: Session, ks: Keyspace) -> None:
    """A refresh of a static row whose partition is gone takes its values away."""
    ks.execute("DELETE FROM $ks.t WHERE p = 1")
    async with running(session, table) as lanes:
        await lanes.served(lanes.ask(table, StaticRow(key(1))))
        assert shown(lanes.refreshed) == [(Operation.READ, (None,), {})]


async def test_a_partition_whose_rows_are_keys_alone(ks: Keyspace, session: Session) -> None:
    """A refresh of a partition keeps its rows, though only static columns are beside the key."""
    ks.execute(f"CREATE TABLE $ks.t (p int, c int, s int static, PRIMARY KEY (p, c)) WITH {CDC}")
    ks.execute("INSERT INTO $ks.t (p, c, s) VALUES (1, 2, 7)")
    name = f"{ks.name}.t"
    async with running(session, name) as lanes:
        await lanes.served(lanes.ask(name, Partition(key(1))))
        assert (Operation.READ, (2,), {}) in shown(lanes.refreshed)


async def test_a_request_that_is_not_due_waits(table: str, session: Session) -> None:
    """A request is served when it is due and not before."""
    async with running(session, table) as lanes:
        due_ms = wall_clock_ms() + 1500
        later = lanes.ask(table, ROW, due_ms=due_ms)
        await lanes.served(lanes.ask(table, Row(key(1), key(1))))
        assert later.id in lanes.pending
        await lanes.served(later)
        assert wall_clock_ms() >= due_ms - 50


async def test_restored_requests_are_served(table: str, session: Session) -> None:
    """A request that a former owner did not serve is served by the next one."""
    request = Request("left", table, ROW, TOKEN)
    async with running(session, table, [request]) as lanes:
        await lanes.served(request)
        assert shown(lanes.refreshed) == [(Operation.READ, (2,), {"v": 20})]


async def test_a_cell_that_expires_is_read_again(
    table: str, session: Session, ks: Keyspace
) -> None:
    """A refresh of a row with a TTL asks for the next one, which finds the row gone."""
    ks.execute("INSERT INTO $ks.t (p, c, v) VALUES (1, 5, 50) USING TTL 3")
    async with running(session, table) as lanes:
        first = lanes.ask(table, Row(key(1), key(5)))
        await lanes.served(first)
        # A lane that is still behind the clock asks once more for much later.
        again = min(lanes.pending.values(), key=lambda request: request.due_ms)
        assert again.scope == first.scope
        assert 0 < again.due_ms - wall_clock_ms() <= 3000
        assert lanes.refreshed[0].values == {"v": 50}
        await lanes.until(lambda: lanes.refreshed[-1].op is Operation.DELETE)


async def test_a_row_has_one_request_for_its_expiry(
    table: str, session: Session, ks: Keyspace
) -> None:
    """However often a row is refreshed, it waits for its expiry once, and for the end of settling
    once if its lane was behind.
    """
    ks.execute("INSERT INTO $ks.t (p, c, v) VALUES (1, 5, 50) USING TTL 600")
    async with running(session, table) as lanes:
        for _ in range(5):
            await lanes.served(lanes.ask(table, Row(key(1), key(5))))
        assert 1 <= len(lanes.pending) <= 2


async def test_refreshes_among_writes(table: str, session: Session, ks: Keyspace) -> None:
    """While a row is written and deleted, refreshes of it and of its partition leave it, after all
    events in their order, as the base has it.
    """

    async def write() -> None:
        for n in range(150):
            where = f"p = 1 AND c = {n % 3}"
            text = f"UPDATE $ks.t SET v = {n} WHERE {where}"
            await asyncio.to_thread(
                ks.execute, f"DELETE FROM $ks.t WHERE {where}" if n % 7 == 0 else text
            )

    scopes: list[Scope] = [Row(key(1), key(1)), Partition(key(1)), ROW]
    async with running(session, table) as lanes, asyncio.TaskGroup() as group:
        writing = group.create_task(write())
        for scope in itertools.cycle(scopes):
            await lanes.served(lanes.ask(table, scope))
            if writing.done():
                break
        await writing
        ks.execute("INSERT INTO $ks.t (p, c, v) VALUES (1, 99, 0)")
        await lanes.until(lambda: any(e.clustering == (99,) for e in lanes.events))
        assert len(lanes.refreshed) > 3
        rows: dict[object, object] = {}
        for event in lanes.events:
            if event.partition == (1,) and not event.is_static:
                if event.op is Operation.PARTITION_DELETE:
                    rows.clear()
                elif event.op is Operation.DELETE:
                    rows.pop(event.clustering[0], None)
                else:
                    rows[event.clustering[0]] = event.values["v"]
    assert rows == {r.c: r.v for r in ks.execute("SELECT c, v FROM $ks.t WHERE p = 1")}


async def test_refreshes_around_a_schema_change(table: str, session: Session, ks: Keyspace) -> None:
    """A refresh that is asked for right after a column was added shows it."""
    async with running(session, table) as lanes:
        await lanes.served(lanes.ask(table, ROW))
        ks.execute("ALTER TABLE $ks.t ADD w int")
        ks.execute("UPDATE $ks.t SET w = 1 WHERE p = 1 AND c = 2")
        await lanes.served(lanes.ask(table, ROW))
        assert lanes.refreshed[-1].values == {"v": 20, "w": 1}


# Only when the catalog is read between the statement and its refusal.
async def test_a_dropped_column(table: str, session: Session, ks: Keyspace) -> None:
    """A refresh goes on after a column was dropped."""
    async with running(session, table) as lanes:
        await lanes.served(lanes.ask(table, ROW))
        ks.execute("ALTER TABLE $ks.t DROP s")
        await lanes.served(lanes.ask(table, Partition(key(1))))
        assert all("s" not in e.values for e in lanes.refreshed)
