"""Which write timestamps the server takes, and what it does with those that it refuses."""

import time

import pytest
from cassandra import InvalidRequest

from tests.contract.case import TABLES
from tests.contract.conftest import Keyspace
from tests.contract.generations import (
    in_force,
    tablet_generations,
    vnode_generations,
    vnode_starts,
)
from tests.contract.log import micros, read

pytestmark = pytest.mark.contract

SECOND = 1_000_000
FUTURE = "(?i)from the future"
WRITES = {
    "insert": "INSERT INTO $t (pk, ck, v) VALUES ($pk, 1, 1) USING TIMESTAMP $at",
    "update": "UPDATE $t USING TIMESTAMP $at SET v = 1 WHERE pk = $pk AND ck = 1",
    "delete": "DELETE FROM $t USING TIMESTAMP $at WHERE pk = $pk AND ck = 1",
    "batch": "BEGIN BATCH USING TIMESTAMP $at INSERT INTO $t (pk, ck) VALUES ($pk, 1); APPLY BATCH",
    "one of a batch": "BEGIN BATCH INSERT INTO $t (pk, ck) VALUES ($pk, 2);"
    " INSERT INTO $t (pk, ck) VALUES ($pk, 1) USING TIMESTAMP $at; APPLY BATCH",
}


def now_micros() -> int:
    return time.time_ns() // 1000


def nothing_written(keyspace: Keyspace, table: str, pk: int) -> bool:
    base = keyspace.session.execute(f"SELECT pk FROM {table} WHERE pk = {pk}").one()
    return base is None and read(keyspace.session, table, {"pk": pk}) == []


@pytest.mark.parametrize("write", WRITES)
def test_far_future_is_refused(shared: Keyspace, new_key: int, write: str) -> None:
    """A write of more than five seconds ahead fails and leaves neither row nor log row."""
    table = shared.table("plain")
    with pytest.raises(InvalidRequest, match=FUTURE):
        shared.execute(WRITES[write], t=table, pk=new_key, at=now_micros() + 20 * SECOND)
    assert nothing_written(shared, table, new_key)


def test_far_future_is_refused_in_prepared_statements(shared: Keyspace, new_key: int) -> None:
    """A bound timestamp is judged as a written one."""
    table = shared.table("plain")
    insert = f"INSERT INTO {table} (pk, ck) VALUES (?, 1) USING TIMESTAMP ?"
    prepared = shared.session.prepare(insert)
    with pytest.raises(InvalidRequest, match=FUTURE):
        shared.session.execute(prepared, (new_key, now_micros() + 20 * SECOND))
    assert nothing_written(shared, table, new_key)


def test_near_future_is_taken(shared: Keyspace, new_key: int) -> None:
    """A clock that is three seconds ahead does no harm."""
    table, at = shared.table("plain"), now_micros() + 3 * SECOND
    shared.execute(WRITES["insert"], t=table, pk=new_key, at=at)
    assert [micros(e.time) for e in read(shared.session, table, {"pk": new_key})] == [at]


def test_tables_without_a_log_take_any_timestamp(shared: Keyspace, new_key: int) -> None:
    """Only tables with a log are bound to the generations of streams."""
    table = shared.create(
        lambda n: f"CREATE TABLE {n} (pk int, ck int, v int, PRIMARY KEY (pk, ck))"
    )
    for at in (1, now_micros() + 3600 * SECOND):
        shared.execute(WRITES["insert"], t=table, pk=new_key, at=at)
    assert shared.session.execute(f"SELECT v FROM {table}").one() == (1,)


def test_start_of_the_generation_in_force_is_taken(shared: Keyspace, new_key: int) -> None:
    """A write of the first instant of the generation is taken, however long ago that was."""
    table = shared.create(TABLES["plain"].create)
    if shared.kind == "tablets":
        generation = in_force(tablet_generations(shared.session, table))
    else:
        generation = in_force(vnode_generations(shared.session))
    at = generation.start_ms * 1000
    shared.execute(WRITES["insert"], t=table, pk=new_key, at=at)
    (entry,) = read(shared.session, table)
    assert micros(entry.time) == at
    assert entry.stream in generation.streams


def test_vnodes_refuse_what_is_older_than_all_generations(
    vnodes_keyspace: Keyspace, new_key: int
) -> None:
    """Vnodes: a write of before the generation in force is from the past."""
    table = vnodes_keyspace.table("plain")
    at = (vnode_starts(vnodes_keyspace.session)[0] - 60_000) * 1000
    with pytest.raises(InvalidRequest, match=r"(?i)from the past"):
        vnodes_keyspace.execute(WRITES["insert"], t=table, pk=new_key, at=at)
    assert nothing_written(vnodes_keyspace, table, new_key)


def test_tablets_refuse_what_is_older_than_the_first_set(
    tablets_keyspace: Keyspace, new_key: int
) -> None:
    """Tablets: there is no stream for a write of before the table's first set."""
    table = tablets_keyspace.create(TABLES["plain"].create)
    with pytest.raises(InvalidRequest, match=r"(?i)could not find any CDC stream"):
        tablets_keyspace.execute(
            WRITES["insert"], t=table, pk=new_key, at=now_micros() - 60 * SECOND
        )
    assert nothing_written(tablets_keyspace, table, new_key)
