"""Reads of the base in parts: together they bring what one read brings, and nothing that is gone
stays behind.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import Session as DriverSession

from cdcd.model.change import ChangeEvent, Operation
from cdcd.model.position import RING_MAX, RING_MIN, TokenRange
from cdcd.model.refresh import Partition, Scope, Tokens
from cdcd.model.table import TableSpec
from cdcd.reconcile.part import parts_of
from cdcd.reconcile.source_side import SourceSide
from cdcd.sink.ranges import Ranges
from cdcd.sink.target import targets_of
from cdcd.source.catalog import find, read_schema
from cdcd.source.refresh import BaseReader
from cdcd.source.session import Session, Statement
from tests.integration.keyspaces import CDC, Keyspace, keyspace, settings_of
from tests.stack import Stack

RING = Tokens(TokenRange(RING_MIN - 1, RING_MAX))
Rows = dict[tuple[object, ...], dict[str, object]]


@pytest.fixture(scope="module")
def ks(plain: DriverSession) -> Iterator[Keyspace]:
    """A keyspace."""
    with keyspace(plain, "vnodes") as made:
        yield made


async def reader_of(session: Session, name: str) -> BaseReader:
    """A reader of a table."""
    spec = find(await read_schema(session), [name]).tables[name].spec
    return BaseReader(session, spec, 5, asyncio.Semaphore(4))


async def read_all(reader: BaseReader, scope: Scope, rows_max: int) -> list[list[ChangeEvent]]:
    """All parts of a scope."""
    parts = []
    left: Scope | None = scope
    while left is not None:
        found = await reader.read(left, 1_000_000, rows_max)
        parts.append(list(found.events))
        left = found.left
    return parts


def applied(table: TableSpec, rows: Rows, events: Sequence[ChangeEvent]) -> None:
    """Change rows as a sink does."""
    covers = Ranges(targets_of(table, "s").clustering_key).covers
    size = len(table.partition_key)
    for event in events:
        if event.op is Operation.READ:
            rows[event.partition + event.clustering] = dict(event.values)
            continue
        for key in [k for k in rows if k[:size] == event.partition]:
            is_static = key[size] is None
            if event.bounds is None or (not is_static and covers(event.bounds, key[size:])):
                del rows[key]


MIXED = "p int, a int, b text, s int static, v int, PRIMARY KEY (p, a, b)"


@pytest.fixture(scope="module")
def mixed(ks: Keyspace) -> str:
    """A table whose clustering columns go up and down, with a large partition and small ones."""
    ks.execute(
        f"CREATE TABLE $ks.mixed ({MIXED}) WITH {CDC} AND CLUSTERING ORDER BY (a ASC, b DESC)"
    )
    for a in range(4):
        for b in "abc":
            ks.execute(f"INSERT INTO $ks.mixed (p, a, b, s, v) VALUES (1, {a}, '{b}', 7, {a})")
    for p in range(2, 9):
        ks.execute(f"INSERT INTO $ks.mixed (p, a, b, v) VALUES ({p}, 1, 'x', {p})")
    ks.execute("INSERT INTO $ks.mixed (p, s) VALUES (9, 1)")
    return f"{ks.name}.mixed"


@pytest.mark.parametrize("rows_max", [2, 3, 5, 12, 13])
async def test_a_partition_in_parts(mixed: str, session: Session, rows_max: int) -> None:
    """Parts of a partition, cut anywhere in its clustering order, put its rows in the place of
    those that were there before, and no part brings more rows than it may.
    """
    reader = await reader_of(session, mixed)
    scope = Partition(((1).to_bytes(4, "big"),))
    whole: Rows = {}
    applied(reader.table, whole, (await reader.read(scope, 1_000_000)).events)
    assert len(whole) == 13
    rows: Rows = {(1, a, b): {"v": 99} for a in range(-1, 6) for b in ("", "a", "bb", "z")}
    parts = await read_all(reader, scope, rows_max)
    for part in parts:
        applied(reader.table, rows, part)
        assert sum(e.op is Operation.READ and not e.is_static for e in part) <= rows_max
    assert rows == whole
    assert (len(parts) > 1) is (rows_max <= 12)


@pytest.mark.parametrize("rows_max", [2, 4, 7, 100])
async def test_a_token_range_in_parts(mixed: str, session: Session, rows_max: int) -> None:
    """Parts of a token range bring each row once, those of a large partition too."""
    reader = await reader_of(session, mixed)
    whole = await read_all(reader, RING, 1000)
    assert len(whole) == 1
    events = [e for part in await read_all(reader, RING, rows_max) for e in part]
    rows = [(e.partition, e.clustering) for e in events if e.op is Operation.READ]
    assert sorted(rows, key=repr) == sorted(
        ((e.partition, e.clustering) for e in whole[0]), key=repr
    )
    assert len(rows) == len(set(rows))


async def test_what_cannot_be_cut_is_read_whole(ks: Keyspace, session: Session) -> None:
    """A partition whose ranges PostgreSQL does not know comes at once, by itself or in a range."""
    ks.execute(f"CREATE TABLE $ks.whole (p int, c float, v int, PRIMARY KEY (p, c)) WITH {CDC}")
    for c in range(5):
        ks.execute(f"INSERT INTO $ks.whole (p, c, v) VALUES (1, {c}, 1)")
    reader = await reader_of(session, f"{ks.name}.whole")
    (part,) = await read_all(reader, Partition(((1).to_bytes(4, "big"),)), 2)
    assert [e.op for e in part] == [Operation.PARTITION_DELETE, *[Operation.READ] * 5]
    parts = await read_all(reader, RING, 2)
    assert max(map(len, parts)) == 5


async def test_rows_say_when_they_expire(ks: Keyspace, session: Session) -> None:
    """In a wide read a row with a TTL says how long it lives from its write time on."""
    ks.execute(f"CREATE TABLE $ks.ttl (p int PRIMARY KEY, v int, w int) WITH {CDC}")
    ks.execute("INSERT INTO $ks.ttl (p, v) VALUES (1, 1) USING TTL 500")
    ks.execute("UPDATE $ks.ttl USING TTL 1000 SET w = 1 WHERE p = 1")
    ks.execute("INSERT INTO $ks.ttl (p, v) VALUES (2, 1)")
    reader = await reader_of(session, f"{ks.name}.ttl")
    (newest,) = ks.execute("SELECT WRITETIME(w) AS at, TTL(v) AS left FROM $ks.ttl WHERE p = 1")
    found = await reader.read(RING, newest.at + 100_000_000)
    lives = {e.partition: e.ttl_seconds for e in found.events}
    assert lives[2,] is None
    assert lives[1,] is not None
    assert newest.left + 95 <= lives[1,] <= newest.left + 101
    assert found.expires_in_seconds is None


class Levels(Session):
    """A session that keeps the levels of what it prepared."""

    async def prepare(self, *args: Any, **kwargs: Any) -> Statement:
        """Prepare a read."""
        self.levels: set[int] = getattr(self, "levels", set())
        statement = await super().prepare(*args, **kwargs)
        self.levels.add(statement.prepared.consistency_level)
        return statement


async def test_bases_are_read_at_a_quorum(mixed: str, stack: Stack) -> None:
    """Where logs are read at ONE, refreshes and comparisons read base tables at QUORUM."""
    async with Levels.open(settings_of(stack, consistency="ONE")) as session:
        reader = await reader_of(session, mixed)
        await read_all(reader, RING, 10)
        assert session.levels == {ConsistencyLevel.QUORUM}
        session.levels.clear()
        (part, _) = parts_of(reader.table, targets_of(reader.table, "s"))
        side = SourceSide(session, part, 10, asyncio.Semaphore(1))
        assert [row async for page in side.scan(RING.range) for row in page] != []
        assert session.levels == {ConsistencyLevel.QUORUM}
