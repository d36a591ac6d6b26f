"""How log rows are grouped, timed and ordered."""

import time
from collections.abc import Callable
from uuid import UUID

import pytest
from cassandra.query import UNSET_VALUE, SimpleStatement

from tests.contract.case import INSERT, PLAIN, TABLES, UPDATE, Table, row
from tests.contract.conftest import Keyspace
from tests.contract.log import checked_groups, groups, micros, read, time_order

pytestmark = pytest.mark.contract

WINDOW = (
    'SELECT "cdc$stream_id", "cdc$time", "cdc$batch_seq_no" FROM {log}'
    ' WHERE "cdc$stream_id" IN ? AND "cdc$time" >= minTimeuuid(?) AND "cdc$time" < minTimeuuid(?)'
    " BYPASS CACHE"
)


def now_micros() -> int:
    return time.time_ns() // 1000


def test_time_of_a_log_row_is_known_for_a_published_uuid() -> None:
    """The vector of the manual: this cdc$time is this write time in microseconds."""
    assert micros(UUID("b223c55e-6d07-11ea-7654-24e4fb3f20b9")) == 1584969040910883


def test_write_timestamp_is_the_time_of_the_log_row(shared: Keyspace, new_key: int) -> None:
    """USING TIMESTAMP decides cdc$time, to the microsecond."""
    stamp = now_micros() - 1_001
    table = shared.table("plain")
    insert = "INSERT INTO $t (pk, ck) VALUES ($pk, 1) USING TIMESTAMP $now"
    shared.execute(insert, t=table, pk=new_key, now=stamp)
    (entry,) = read(shared.session, table, {"pk": new_key})
    assert micros(entry.time) == stamp
    assert (entry.time.version, entry.time.variant) == (1, "specified in RFC 4122")


def test_conditional_write_is_timed_by_the_server(shared: Keyspace, new_key: int) -> None:
    """The time of a conditional write is that of its ballot: near now."""
    table, begin = shared.table("plain"), now_micros()
    insert = "INSERT INTO $t (pk, ck) VALUES ($pk, 1) IF NOT EXISTS"
    shared.execute(insert, t=table, pk=new_key)
    (entry,) = read(shared.session, table, {"pk": new_key})
    assert begin - 1_000_000 <= micros(entry.time) <= now_micros() + 1_000_000


def test_same_write_again_is_a_second_group(shared: Keyspace, new_key: int) -> None:
    """A repeated write leaves a group of the same microsecond under another timeuuid."""
    table, stamp = shared.table("plain"), now_micros()
    insert = "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) USING TIMESTAMP $now"
    for _ in range(2):
        shared.execute(insert, t=table, pk=new_key, now=stamp)
    entries = read(shared.session, table, {"pk": new_key})
    assert [micros(e.time) for e in entries] == [stamp, stamp]
    assert len({e.time for e in entries}) == 2
    assert checked_groups(entries, "pk") == [[row(INSERT, ck=1, v=1)]] * 2


def test_partitions_of_one_batch_share_no_group(shared: Keyspace, new_key: int) -> None:
    """Each partition of a batch has a time of its own, though the microsecond is the same."""
    table, stamp, other = shared.table("plain"), now_micros(), new_key + 1_000_000_000
    shared.execute(
        "BEGIN BATCH USING TIMESTAMP $now INSERT INTO $t (pk, ck) VALUES ($pk, 1);"
        " INSERT INTO $t (pk, ck) VALUES ($other, 1); APPLY BATCH",
        t=table,
        pk=new_key,
        other=other,
        now=stamp,
    )
    entries = [e for pk in (new_key, other) for e in read(shared.session, table, {"pk": pk})]
    assert [micros(e.time) for e in entries] == [stamp, stamp]
    assert len({e.time for e in entries}) == 2
    assert [(e.seq, e.end_of_batch) for e in entries] == [(0, True), (0, True)]


def test_unset_value_is_absent(shared: Keyspace, new_key: int) -> None:
    """A bound value left unset is not in the log at all, unlike a bound null."""
    table = shared.table("plain")
    insert = shared.session.prepare(f"INSERT INTO {table} (pk, ck, v, w) VALUES (?, ?, ?, ?)")
    shared.session.execute(insert, (new_key, 1, UNSET_VALUE, None))
    found = checked_groups(read(shared.session, table, {"pk": new_key}), "pk")
    assert found == [[row(INSERT, ck=1, deleted=("w",))]]


def test_prepended_element_has_an_earlier_key(shared: Keyspace, new_key: int) -> None:
    """Order of the hidden keys is order of the list, also for prepended elements."""
    table = shared.table("collections")
    for change in ("l = [5]", "l = l + [6]", "l = [4] + l"):
        update = f"UPDATE $t SET {change} WHERE pk = $pk AND ck = 1"
        shared.execute(update, t=table, pk=new_key)
    cells = {
        k: v
        for e in read(shared.session, table, {"pk": new_key})
        for k, v in e.columns["l"].items()
    }
    assert [cells[k] for k in sorted(cells, key=time_order)] == [4, 5, 6]


def test_stream_is_read_in_the_order_of_its_timeuuids(shared: Keyspace, new_key: int) -> None:
    """The server returns groups of one microsecond by their low bytes, compared as signed."""
    table, stamp = shared.table("plain"), now_micros()
    insert = shared.session.prepare(
        f"INSERT INTO {table} (pk, ck) VALUES (?, ?) USING TIMESTAMP {stamp}"
    )
    for ck in range(40):
        shared.session.execute(insert, (new_key, ck))
    stream = read(shared.session, table, {"pk": new_key})[0].stream
    query = f'SELECT "cdc$time" FROM {table}_scylla_cdc_log WHERE "cdc$stream_id" = %s'
    times = [r[0] for r in shared.session.execute(query, (stream,)) if micros(r[0]) == stamp]
    assert len(times) == 40
    assert times == sorted(times, key=time_order)


def test_windows_of_milliseconds_are_half_open(shared: Keyspace, new_key: int) -> None:
    """A row at the first microsecond of a window is in it, one at its end is in the next."""
    table, begin = shared.create(TABLES["plain"].create), now_micros() // 1000 - 10
    stamps = [begin * 1000 - 1, begin * 1000, (begin + 1) * 1000 - 1, (begin + 1) * 1000]
    insert = "INSERT INTO $t (pk, ck) VALUES ($pk, 1) USING TIMESTAMP $now"
    for stamp in stamps:
        shared.execute(insert, t=table, pk=new_key, now=stamp)
    stream = read(shared.session, table, {"pk": new_key})[0].stream
    window = shared.session.prepare(WINDOW.format(log=f"{table}_scylla_cdc_log"))
    found = shared.session.execute(window, ([stream], begin, begin + 1))
    assert [micros(r[1]) for r in found] == stamps[1:3]


def test_group_larger_than_a_page_comes_whole_and_in_order(shared: Keyspace, new_key: int) -> None:
    """Paging may cut a group but loses, repeats and reorders nothing."""
    table = shared.table("plain")
    inserts = "".join(f" INSERT INTO {table} (pk, ck) VALUES ($pk, {n});" for n in range(7))
    shared.execute(f"BEGIN BATCH {inserts} APPLY BATCH", pk=new_key)
    first = read(shared.session, table, {"pk": new_key})[0]
    query = (
        f'SELECT "cdc$batch_seq_no", ck, "cdc$end_of_batch" FROM {table}_scylla_cdc_log'
        ' WHERE "cdc$stream_id" = %s AND "cdc$time" = %s BYPASS CACHE'
    )
    page_of_two = SimpleStatement(query, fetch_size=2)
    rows = list(shared.session.execute(page_of_two, (first.stream, first.time)))
    assert [tuple(r) for r in rows] == [(n, n, True if n == 6 else None) for n in range(7)]


def test_times_of_one_partition_rise_with_its_writes(shared: Keyspace, new_key: int) -> None:
    """Writes that follow each other stand in the log in that order."""
    table = shared.table("plain")
    for n in range(20):
        shared.execute("UPDATE $t SET v = $n WHERE pk = $pk AND ck = 1", t=table, pk=new_key, n=n)
    found = checked_groups(read(shared.session, table, {"pk": new_key}), "pk")
    assert found == [[row(UPDATE, ck=1, v=n)] for n in range(20)]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("'enabled': true", lambda ttl: 86_000 < ttl <= 86_400),
        ("'enabled': true, 'ttl': 600", lambda ttl: 540 < ttl <= 600),
        ("'enabled': true, 'ttl': 0", lambda ttl: ttl is None),
    ],
    ids=["a day by default", "as the option says", "never for 0"],
)
def test_log_rows_expire_by_the_ttl_of_the_log(
    shared: Keyspace, new_key: int, option: str, expected: Callable[[int | None], bool]
) -> None:
    """All cells of a log row have the TTL of the log, whatever TTL the write had."""
    table = shared.create(Table(PLAIN, cdc=option).create)
    insert = "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) USING TTL 50"
    shared.execute(insert, t=table, pk=new_key)
    query = (
        f'SELECT TTL("cdc$operation"), TTL("cdc$ttl"), TTL(v), TTL(pk) FROM {table}_scylla_cdc_log'
    )
    (ttls,) = shared.session.execute(query)
    assert all(expected(ttl) for ttl in ttls), f"TTLs {tuple(ttls)}"


def test_truncate_of_the_base_table_leaves_the_log(shared: Keyspace, new_key: int) -> None:
    """TRUNCATE writes nothing to the log and takes nothing from it."""
    table = shared.create(TABLES["plain"].create)
    shared.execute("INSERT INTO $t (pk, ck) VALUES ($pk, 1)", t=table, pk=new_key)
    shared.execute("TRUNCATE $t", t=table)
    assert len(groups(read(shared.session, table))) == 1
