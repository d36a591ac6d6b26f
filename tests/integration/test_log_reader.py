"""Windows of real logs: every change once, whole, in order, in its lane, of either kind of log."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from cassandra.cluster import Session as DriverSession

from cdcd.model.change import ChangeEvent, Operation
from cdcd.model.lane import LaneSet, lane_of
from cdcd.model.position import Window
from cdcd.ops.board import wall_clock_ms
from cdcd.source.catalog import SourceTable
from cdcd.source.generations import Generations
from cdcd.source.lanes import streams_of
from cdcd.source.scan import WindowTooWide
from cdcd.source.session import Session, StatementRefused
from tests.integration.keyspaces import (
    ALL_LANES,
    CDC,
    KINDS,
    Keyspace,
    keyspace,
    read_log,
    reader_of,
    table_of,
)

PARTITIONS, CHANGES = 40, 3


@pytest.fixture(scope="module", params=KINDS)
def ks(plain: DriverSession, request: pytest.FixtureRequest) -> Iterator[Keyspace]:
    """A keyspace of each kind, with a table of a few changes in each of many partitions."""
    with keyspace(plain, request.param) as made:
        made.execute(f"CREATE TABLE $ks.t (p int, c int, v text, PRIMARY KEY (p, c)) WITH {CDC}")
        for change in range(CHANGES):
            for p in range(PARTITIONS):
                made.execute("INSERT INTO $ks.t (p, c, v) VALUES (%s, %s, %s)", p, 1, f"{change}")
        yield made


async def changes_of(
    ks: Keyspace, session: Session, lanes: LaneSet = ALL_LANES, **settings: Any
) -> list[ChangeEvent]:
    """The changes of the keyspace's table."""
    table = await table_of(session, f"{ks.name}.t")
    return await read_log(session, table, reader_of(session, table, **settings), ks.begun_ms, lanes)


@pytest.mark.parametrize(
    ("page_rows", "streams"), [(1, 100), (2, 100), (5000, 100), (3, 1), (5000, 7)]
)
async def test_every_change_once_and_in_order(
    ks: Keyspace, session: Session, page_rows: int, streams: int
) -> None:
    """However pages and reads are cut, each change comes once, a partition's in their order."""
    events = await changes_of(ks, session, page_rows=page_rows, streams_per_read_max=streams)
    found = defaultdict(list)
    for event in events:
        assert event.op is Operation.CREATE
        found[event.partition].append(event.values["v"])
    assert found == {(p,): ["0", "1", "2"] for p in range(PARTITIONS)}
    assert len({e.identity for e in events}) == len(events)


async def test_changes_have_the_servers_tokens(ks: Keyspace, session: Session) -> None:
    """A change's token is the one that the server computes for its partition."""
    tokens = dict(ks.execute("SELECT DISTINCT p, token(p) FROM $ks.t"))
    events = await changes_of(ks, session)
    assert {e.partition[0]: e.token for e in events} == tokens


async def test_lanes_divide_the_changes(ks: Keyspace, session: Session) -> None:
    """Each lane read alone gives exactly the changes of its tokens; together they are all."""
    apart = []
    for lane in range(16):
        events = await changes_of(ks, session, LaneSet(frozenset({lane}), 16))
        assert all(lane_of(e.token, 16) == lane for e in events)
        apart += events
    whole = await changes_of(ks, session)
    assert {e.identity for e in apart} == {e.identity for e in whole}
    assert len(apart) == len(whole)


async def test_times_are_the_writes(ks: Keyspace, session: Session) -> None:
    """A change's time is the write time of its cell in the base table."""
    times = dict(ks.execute("SELECT p, WRITETIME(v) FROM $ks.t"))
    last = {e.partition[0]: e.time_us for e in await changes_of(ks, session)}
    assert last == times


@pytest.mark.parametrize("page_rows", [1, 2, 5000])
async def test_groups_are_whole(ks: Keyspace, session: Session, page_rows: int) -> None:
    """The rows of a batch come as one group in the order of their sequence, over any pages."""
    name = f"batch{page_rows}"
    ks.execute(f"CREATE TABLE $ks.{name} (p int, c int, v int, PRIMARY KEY (p, c)) WITH {CDC}")
    inserts = "; ".join(f"INSERT INTO $ks.{name} (p, c, v) VALUES (1, {c}, 0)" for c in range(5))
    ks.execute(
        f"BEGIN UNLOGGED BATCH {inserts}; DELETE FROM $ks.{name} WHERE p = 1 AND c = 9; APPLY BATCH"
    )
    table = await table_of(session, f"{ks.name}.{name}")
    reader = reader_of(session, table, page_rows=page_rows)
    events = await read_log(session, table, reader, ks.begun_ms, ALL_LANES)
    assert [e.identity.seq for e in events if e.identity] == list(range(6))
    assert [e.op for e in events] == [Operation.CREATE] * 5 + [Operation.DELETE]
    assert len({(e.identity.stream, e.identity.time) for e in events if e.identity}) == 1


async def _whole(session: Session, table: SourceTable, ks: Keyspace) -> tuple[list[bytes], Window]:
    """The streams in force when the keyspace was made, and a window until now."""
    known = await Generations(session).of(table)
    generation = max((g for g in known if g.start_ms <= wall_clock_ms()), key=lambda g: g.start_ms)
    start = max(ks.begun_ms - 1000, generation.start_ms)
    return streams_of(generation, ALL_LANES), Window(start, wall_clock_ms() + 1)


async def test_a_window_of_too_many_rows_is_refused(ks: Keyspace, session: Session) -> None:
    """A window with more rows than may be in memory is not read, and its parts are all of it."""
    table = await table_of(session, f"{ks.name}.t")
    streams, window = await _whole(session, table, ks)
    reader = reader_of(session, table, window_rows=50, page_rows=5)
    with pytest.raises(WindowTooWide):
        await reader.read(streams, ALL_LANES, window)
    pending, events = [window], []
    while pending:
        part = pending.pop()
        try:
            events += (await reader.read(streams, ALL_LANES, part)).events
        except WindowTooWide:
            middle = (part.start_ms + part.end_ms) // 2
            pending += [Window(part.start_ms, middle), Window(middle, part.end_ms)]
    assert len({e.identity for e in events}) == len(events)
    assert {e.identity for e in events} == {e.identity for e in await changes_of(ks, session)}


async def test_a_window_of_few_wide_rows_is_refused(ks: Keyspace, session: Session) -> None:
    """Three rows of 20 kB are as much as 58 of one, whatever the pages are."""
    ks.execute(f"CREATE TABLE IF NOT EXISTS $ks.wide (p int PRIMARY KEY, v text) WITH {CDC}")
    for p in range(3):
        ks.execute(f"INSERT INTO $ks.wide (p, v) VALUES ({p}, '{'x' * 20_000}')")
    table = await table_of(session, f"{ks.name}.wide")
    streams, window = await _whole(session, table, ks)
    with pytest.raises(WindowTooWide):
        await reader_of(session, table, window_rows=50).read(streams, ALL_LANES, window)
    read = await reader_of(session, table, window_rows=64).read(streams, ALL_LANES, window)
    assert read.rows == 3
    assert 58 <= read.weight <= 61


async def test_a_millisecond_is_read_however_many_rows_it_holds(
    ks: Keyspace, session: Session
) -> None:
    """A window that cannot be divided is read whole, past the limit."""
    ks.execute(f"CREATE TABLE IF NOT EXISTS $ks.dense (p int PRIMARY KEY, v int) WITH {CDC}")
    now_us = wall_clock_ms() * 1000
    for p in range(20):
        ks.execute(f"INSERT INTO $ks.dense (p, v) VALUES ({p}, 0) USING TIMESTAMP {now_us + p}")
    table = await table_of(session, f"{ks.name}.dense")
    streams, _ = await _whole(session, table, ks)
    reader = reader_of(session, table, window_rows=5)
    now_ms = now_us // 1000
    events = (await reader.read(streams, ALL_LANES, Window(now_ms, now_ms + 1))).events
    assert len(events) == 20


async def test_windows_share_no_change(ks: Keyspace, session: Session) -> None:
    """A change on the edge of two windows is in the later one only."""
    ks.execute(f"CREATE TABLE IF NOT EXISTS $ks.edge (p int PRIMARY KEY, v int) WITH {CDC}")
    edge_ms = wall_clock_ms() - 5
    for p, time_us in enumerate([edge_ms * 1000 - 1, edge_ms * 1000]):
        ks.execute(f"INSERT INTO $ks.edge (p, v) VALUES ({p}, 0) USING TIMESTAMP {time_us}")
    table = await table_of(session, f"{ks.name}.edge")
    streams, _ = await _whole(session, table, ks)
    reader = reader_of(session, table)
    windows = [Window(edge_ms - 10, edge_ms), Window(edge_ms, edge_ms + 10)]
    found = [(await reader.read(streams, ALL_LANES, window)).events for window in windows]
    assert [[e.partition for e in events] for events in found] == [[(0,)], [(1,)]]


async def test_the_log_of_a_dropped_table_is_refused(ks: Keyspace, session: Session) -> None:
    """Reading the log of a table that was dropped since raises StatementRefused."""
    ks.execute(f"CREATE TABLE $ks.gone (p int PRIMARY KEY, v int) WITH {CDC}")
    table = await table_of(session, f"{ks.name}.gone")
    streams, window = await _whole(session, table, ks)
    reader = reader_of(session, table)
    assert (await reader.read(streams, ALL_LANES, window)).events == []
    ks.execute("DROP TABLE $ks.gone")
    with pytest.raises(StatementRefused):
        await reader.read(streams, ALL_LANES, window)
