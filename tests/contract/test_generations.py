"""Generations of streams: how they are announced, and how writes pass from one to the next."""

import time

import pytest
from cassandra import InvalidRequest
from cassandra.cluster import Session
from cassandra.query import SimpleStatement

from tests.contract.case import INSERT, TABLES, row
from tests.contract.conftest import Keyspace
from tests.contract.generations import (
    Generation,
    millis,
    tablet_generations,
    tablet_starts,
    tablet_streams,
    vnode_generations,
    vnode_starts,
    wait_for_clock,
    wait_until,
)
from tests.contract.log import Entry, checked_groups, micros, read

pytestmark = pytest.mark.contract

CURRENT, CLOSED, OPENED = 0, 1, 2

INSERT_AT = "INSERT INTO $t (pk, ck) VALUES ($pk, 1) USING TIMESTAMP $at"


def order(session: Session, command: str) -> None:
    """Orders the stand-in to do what one node cannot be made to do from outside."""
    session.execute(f"/* stand-in: {command} */ SELECT key FROM system.local")


def now_millis() -> int:
    return time.time_ns() // 1_000_000


def starts(keyspace: Keyspace, table: str) -> list[int]:
    if keyspace.kind == "tablets":
        return tablet_starts(keyspace.session, table)
    return vnode_starts(keyspace.session)


def generations(keyspace: Keyspace, table: str) -> list[Generation]:
    if keyspace.kind == "tablets":
        return tablet_generations(keyspace.session, table)
    return vnode_generations(keyspace.session)


def what(keyspace: Keyspace, table: str) -> str:
    """The stand-in's word for a new generation of the table's streams."""
    return f"tablets {table} 6" if keyspace.kind == "tablets" else "generation"


def next_generation(keyspace: Keyspace, table: str, after_ms: int) -> int:
    """Orders a generation and returns its start as the tables announce it."""
    known = set(starts(keyspace, table))
    order(keyspace.session, f"{what(keyspace, table)} in {after_ms} ms")
    wait_until(lambda: bool(set(starts(keyspace, table)) - known), "a new generation is listed")
    (start,) = set(starts(keyspace, table)) - known
    return start


def inserted(keyspace: Keyspace, table: str, pk: int, at: int) -> Entry:
    """Inserts a row at a time and returns what the log has of it."""
    keyspace.execute(INSERT_AT, t=table, pk=pk, at=at)
    (entry,) = (e for e in read(keyspace.session, table, {"pk": pk}) if micros(e.time) == at)
    return entry


def test_vnode_generations_are_listed_with_their_streams(session: Session) -> None:
    """Each listed generation has a description: ranges that do not repeat, each with streams."""
    listed = vnode_generations(session)
    assert listed
    for generation in listed:
        assert generation.ranges
        assert all(streams for _, streams in generation.ranges)
    assert len({s for g in listed for s in g.streams}) == sum(len(g.streams) for g in listed)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            "system_distributed.cdc_generation_timestamps",
            {"key": "varchar", "time": "timestamp", "expired": "timestamp"},
        ),
        (
            "system_distributed.cdc_streams_descriptions_v2",
            {"time": "timestamp", "range_end": "bigint", "streams": "set<blob>"},
        ),
        (
            "system.cdc_timestamps",
            {"keyspace_name": "varchar", "table_name": "varchar", "timestamp": "timestamp"},
        ),
        (
            "system.cdc_streams",
            {
                "keyspace_name": "varchar",
                "table_name": "varchar",
                "timestamp": "timestamp",
                "stream_state": "tinyint",
                "stream_id": "blob",
            },
        ),
    ],
)
def test_tables_of_generations_have_these_columns(
    session: Session, table: str, expected: dict[str, str]
) -> None:
    """The tables that announce generations have the columns that readers select (text: varchar)."""
    found = session.execute(f"SELECT {', '.join(expected)} FROM {table} LIMIT 1")
    types = [t.cql_parameterized_type() for t in found.column_types]
    assert dict(zip(found.column_names, types, strict=True)) == expected


def test_generation_at_a_time_and_the_next_are_found_by_query(session: Session) -> None:
    """The two queries of a reader: the generation at a time, and the first after it."""
    listed = vnode_starts(session)
    at = "SELECT time FROM system_distributed.cdc_generation_timestamps WHERE key = 'timestamps'"
    before = SimpleStatement(f"{at} AND time <= %s ORDER BY time DESC LIMIT 1")
    after = SimpleStatement(f"{at} AND time > %s ORDER BY time ASC LIMIT 1")
    for n, start in enumerate(listed):
        found = [[millis(r[0]) for r in session.execute(q, (start,))] for q in (before, after)]
        assert found == [[start], listed[n + 1 : n + 2]]


def test_first_tablet_set_is_a_little_older_than_its_table(tablets_keyspace: Keyspace) -> None:
    """A new table with tablets has one set, five seconds old, all of it opened, none closed."""
    before = now_millis()
    table = tablets_keyspace.create(TABLES["plain"].create)
    (start,) = tablet_starts(tablets_keyspace.session, table)
    assert before - 5_000 - 1_000 <= start <= now_millis() - 5_000 + 1_000
    streams = [tablet_streams(tablets_keyspace.session, table, start, s) for s in (0, 1, 2)]
    assert streams[CURRENT] == streams[OPENED] != set()
    assert streams[CLOSED] == set()


def test_vnode_table_is_not_listed_among_tablets(vnodes_keyspace: Keyspace) -> None:
    """Tables of vnode keyspaces have no stream sets of their own."""
    assert tablet_starts(vnodes_keyspace.session, vnodes_keyspace.table("plain")) == []


def test_tablet_sets_go_with_their_table(tablets_keyspace: Keyspace) -> None:
    """DROP TABLE takes the sets of streams with it."""
    table = tablets_keyspace.create(TABLES["plain"].create)
    tablets_keyspace.execute("DROP TABLE $t", t=table)
    assert tablet_starts(tablets_keyspace.session, table) == []


@pytest.mark.usefixtures("standin")
def test_writes_pass_to_the_new_streams_at_its_start(keyspace: Keyspace, new_key: int) -> None:
    """A row of the last microsecond before the start is in an old stream, of the first in a new."""
    table = keyspace.table("plain")
    start = next_generation(keyspace, table, 1500)
    assert start > now_millis(), "announced before it begins"
    old, new = (set(g.streams) for g in generations(keyspace, table)[-2:])
    assert not old & new
    early = inserted(keyspace, table, new_key, now_millis() * 1000)
    # The server takes writes of up to five seconds ahead, and knows their streams by then.
    last = inserted(keyspace, table, new_key, start * 1000 - 1)
    first = inserted(keyspace, table, new_key, start * 1000)
    assert [e.stream in old for e in (early, last, first)] == [True, True, False]
    wait_for_clock(start)
    after = inserted(keyspace, table, new_key, now_millis() * 1000)
    back = inserted(keyspace, table, new_key, start * 1000 - 2)
    assert [e.stream in new for e in (first, after, back)] == [True, True, False]
    assert after.stream == first.stream
    everything = read(keyspace.session, table, {"pk": new_key})
    assert checked_groups(everything, "pk") == [[row(INSERT, ck=1)]] * 5


@pytest.mark.usefixtures("standin")
def test_writes_of_long_before_the_start(keyspace: Keyspace, new_key: int) -> None:
    """Once a generation is in force, vnodes refuse what tablets still take into the old set."""
    table = keyspace.table("plain")
    wait_for_clock(starts(keyspace, table)[0] + 5_500)  # so that the old generation is old enough
    start = next_generation(keyspace, table, 300)
    (old,) = (g for g in generations(keyspace, table)[-2:] if g.start_ms < start)
    wait_for_clock(start)
    at = start * 1000 - 5_400_000
    if keyspace.kind == "vnodes":
        with pytest.raises(InvalidRequest, match=r"(?i)from the past"):
            keyspace.execute(INSERT_AT, t=table, pk=new_key, at=at)
        assert read(keyspace.session, table, {"pk": new_key}) == []
    else:
        assert inserted(keyspace, table, new_key, at).stream in old.streams


@pytest.mark.usefixtures("standin")
def test_generation_may_be_announced_after_its_start(keyspace: Keyspace, new_key: int) -> None:
    """Writes use a generation that readers cannot see yet."""
    table = keyspace.table("plain")
    before = now_millis()
    known = {s for g in generations(keyspace, table) for s in g.streams}
    listed = starts(keyspace, table)
    order(keyspace.session, f"{what(keyspace, table)} in 0 ms, published after 1000 ms")
    wait_for_clock(now_millis())
    unseen = inserted(keyspace, table, new_key, now_millis() * 1000)
    assert starts(keyspace, table) == listed
    assert unseen.stream not in known
    wait_until(lambda: starts(keyspace, table) != listed, "the generation is announced")
    (new,) = (g for g in generations(keyspace, table) if g.start_ms not in listed)
    assert before <= new.start_ms <= micros(unseen.time) // 1000
    assert unseen.stream in new.streams


@pytest.mark.usefixtures("standin")
def test_tablet_sets_tell_what_closed_and_what_opened(tablets_keyspace: Keyspace) -> None:
    """State 0 is the whole set, 1 what the one before had more, 2 what it had not."""
    keyspace, table = tablets_keyspace, tablets_keyspace.create(TABLES["plain"].create)
    other = keyspace.create(TABLES["plain"].create)
    untouched = tablet_generations(keyspace.session, other)
    (old,) = (set(g.streams) for g in tablet_generations(keyspace.session, table))
    start = next_generation(keyspace, table, 100)
    current, closed, opened = (
        tablet_streams(keyspace.session, table, start, s) for s in (CURRENT, CLOSED, OPENED)
    )
    assert len(current) == 6
    assert closed == old - current
    assert opened == current - old
    assert tablet_generations(keyspace.session, other) == untouched


@pytest.mark.usefixtures("standin")
@pytest.mark.parametrize(
    ("statement", "operation", "columns"),
    [
        ("DELETE FROM $t WHERE pk = $pk AND ck = 1", -3, {"ck": 1}),
        ("DELETE FROM $t WHERE pk = $pk", -4, {}),
    ],
    ids=["row", "partition"],
)
def test_delete_by_the_server_has_a_code_of_its_own(
    shared: Keyspace, new_key: int, statement: str, operation: int, columns: dict[str, object]
) -> None:
    """A row or partition that expired is told from one that a user deleted."""
    table = shared.table("plain")
    shared.execute(f"/* stand-in: expiry */ {statement}", t=table, pk=new_key)
    found = checked_groups(read(shared.session, table, {"pk": new_key}), "pk")
    assert found == [[row(operation) | columns]]
