"""Refreshes that take several stops, and copies of whole tables, on a real database."""

from collections.abc import Iterator

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.model.change import Operation
from cdcd.model.lane import lane_of
from cdcd.model.position import TokenRange
from cdcd.model.refresh import Partition, Request, Scope, Tokens
from cdcd.ops.board import wall_clock_ms
from cdcd.source import stops
from cdcd.source.copying import copy_of_lane
from cdcd.source.progress import Start
from cdcd.source.session import Session
from tests.integration.asking import ROW, TOKEN, WHOLE, Tight, key, running, shown, table_with_rows
from tests.integration.keyspaces import CDC, Keyspace, keyspace


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
    ("scope", "deletes"),
    [
        (Partition(key(1)), [Operation.RANGE_DELETE] * 2),
        (Tokens(TokenRange(TOKEN - 1, TOKEN)), [Operation.RANGE_DELETE] * 2),
    ],
    ids=["partition", "tokens"],
)
async def test_a_wide_refresh_takes_several_stops(
    table: str,
    session: Session,
    scope: Scope,
    deletes: list[Operation],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What does not fit in one stop is served at the next ones, under the same request."""
    monkeypatch.setattr(stops, "Allowance", Tight)
    async with running(session, table) as lanes:
        await lanes.until(lambda: len(lanes.events) >= 4)
        await lanes.served(lanes.ask(table, scope))
        found = shown(lanes.refreshed)
    assert [each for each in found if each[0] is Operation.READ] == WHOLE
    assert [op for op, *_ in found if op is not Operation.READ] == deletes


async def test_a_copy_at_the_start(
    ks: Keyspace, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table whose rows are older than its log is copied, each row once, under changes."""
    monkeypatch.setattr(stops, "Allowance", Tight)
    ks.execute("CREATE TABLE $ks.old (p int PRIMARY KEY, v int)")
    for p in range(40):
        ks.execute(f"INSERT INTO $ks.old (p, v) VALUES ({p}, {p})")
    ks.execute(f"ALTER TABLE $ks.old WITH {CDC}")
    async with running(session, f"{ks.name}.old", start=Start.SNAPSHOT) as lanes:
        await lanes.until(lambda: bool(lanes.pending))
        ks.execute("UPDATE $ks.old SET v = 100 WHERE p = 1")
        await lanes.until(lambda: len(lanes.copied) == 16, 60)
        copied = [e for e in lanes.refreshed if e.is_snapshot]
        rows = [e.partition for e in copied if e.op is Operation.READ]
        assert len(rows) == len(set(rows)) == 40
        assert sum(c.rows for c in lanes.copied) == 40


async def test_a_copy_is_cancelled(table: str, session: Session) -> None:
    """A request that cancels ends the copy that it names, which reads nothing more."""
    async with running(session, table) as lanes:
        far_ms = wall_clock_ms() + 600_000
        copy = copy_of_lane(table, "run", lane_of(TOKEN, 16), 16, far_ms)
        lanes.give(copy)
        await lanes.served(lanes.ask(table, ROW))
        assert copy.id in lanes.pending
        cancel = Request("cancel", table, copy.scope, TOKEN, cancels=copy.id)
        lanes.give(cancel)
        await lanes.served(copy)
        await lanes.served(cancel)
        assert [(c.run, c.cancelled) for c in lanes.copied] == [("run", True)]
        assert all(not e.is_snapshot for e in lanes.events)
