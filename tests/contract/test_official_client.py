"""The official client, which knows nothing of this project, reads what was written.

It finds generations and streams, cuts time into windows and decodes rows with code of its own; so
where it agrees with the cases, the server speaks the protocol and not just our reading of it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cassandra.cluster import Session

from tests.contract.case import INSERT, TABLES, UPDATE, Case, row
from tests.contract.cases import CASES
from tests.contract.conftest import KINDS, Keyspace, new_keyspace
from tests.contract.generations import (
    tablet_generations,
    vnode_generations,
    wait_for_clock,
    wait_until,
)
from tests.contract.log import Entry, checked_groups, micros, read
from tests.contract.official_client import OfficialClient, build, now_millis
from tests.contract.type_values import TABLE as TYPES_TABLE
from tests.contract.type_values import VALUES, column
from tests.stack import Stack

# The first run compiles the client.
pytestmark = [pytest.mark.timeout(1500), pytest.mark.builds("official client")]


@pytest.fixture(scope="session")
def program(pytestconfig: pytest.Config) -> Path:
    """The client, compiled; on a terminal one sees that this is what takes its time."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    reporter = pytestconfig.pluginmanager.getplugin("terminalreporter")
    assert capture
    with capture.global_and_fixture_disabled():
        # One of several processes has no terminal.
        return build(lambda line: reporter and reporter.write_line("\n" + line))


@dataclass(frozen=True, slots=True)
class Seen:
    """What was written, by case, and what the client and the driver then saw, by table."""

    keyspace: Keyspace
    keys: dict[str, int]
    by_client: dict[str, list[Entry]]
    by_driver: dict[str, list[Entry]]


@pytest.fixture(scope="module", params=KINDS)
def seen(
    program: Path, services: Stack, session: Session, request: pytest.FixtureRequest
) -> Iterator[Seen]:
    """All cases and all types, written while the client reads."""
    with new_keyspace(session, request.param) as keyspace:
        keyspace.tables["types"] = keyspace.create(TYPES_TABLE.create)
        tables = [keyspace.tables["types"], *(keyspace.table(name) for name in TABLES)]
        with OfficialClient(program, services, tables, now_millis()) as client:
            keys = {case.name: keyspace.write(case) for case in CASES}
            for cql_type, (literal, _) in VALUES.items():
                keyspace.execute(
                    f"UPDATE $t SET {column(cql_type)} = {literal} WHERE pk = 1 AND ck = 1",
                    t=keyspace.tables["types"],
                )
            by_client = client.read_to(now_millis() + 100)
        yield Seen(keyspace, keys, by_client, {t: read(session, t) for t in tables})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_client_sees_the_rows_of_the_case(seen: Seen, case: Case) -> None:
    """The client's rows are those that the statements must leave, each once."""
    found = seen.by_client.get(seen.keyspace.table(case.table), [])
    own = [e for e in found if e.columns["pk"] == seen.keys[case.name]]
    assert checked_groups(own, "pk")[len(case.before) :] == case.groups


def test_client_sees_every_log_row_once_and_alike(seen: Seen) -> None:
    """Stream by stream, the client's rows are the log's: none missing, none twice, none other."""
    for table, entries in seen.by_driver.items():
        by_client = sorted(seen.by_client.get(table, []), key=lambda e: e.place)
        assert [e.place for e in by_client] == sorted(e.place for e in entries)
        assert by_client == sorted(entries, key=lambda e: e.place)


def test_client_takes_each_stream_in_its_order(seen: Seen) -> None:
    """Within a stream the client hands on rows in the order of the log."""
    for table, entries in seen.by_client.items():
        for stream in {e.stream for e in entries}:
            handed_on = [e.place for e in entries if e.stream == stream]
            logged = [e.place for e in seen.by_driver[table] if e.stream == stream]
            assert handed_on == logged


@pytest.mark.usefixtures("standin")
def test_client_passes_from_one_generation_to_the_next(
    program: Path, services: Stack, keyspace: Keyspace
) -> None:
    """Rows written all through a change of generation arrive once each and in order."""
    table, partitions, begin = keyspace.table("plain"), range(8), now_millis()
    with OfficialClient(program, services, [table], begin) as client:
        start, count = order_generation(keyspace, table), 0
        while now_millis() < start + 700:
            for pk in partitions:
                keyspace.execute(
                    "UPDATE $t SET v = $v WHERE pk = $pk AND ck = 1", t=table, pk=pk, v=count
                )
            count += 1
            time.sleep(0.02)
        rows = client.read_to(now_millis() + 100).get(table, [])
    for pk in partitions:
        own = [e for e in rows if e.columns["pk"] == pk]
        assert [e.columns["v"] for e in own] == list(range(count)), "each once and in order"
        old = {e.stream for e in own if micros(e.time) < start * 1000}
        new = {e.stream for e in own if micros(e.time) >= start * 1000}
        assert (len(old), len(new), old & new) == (1, 1, set())


@pytest.mark.parametrize("generations", [1, 2])
@pytest.mark.usefixtures("standin")
def test_client_reads_history_across_generations(
    program: Path, services: Stack, keyspace: Keyspace, generations: int
) -> None:
    """A client that comes late reads old generations too, but none after its end."""
    table, begin = keyspace.table("plain"), now_millis()
    keyspace.execute("INSERT INTO $t (pk, ck, v) VALUES (1, 1, 1)", t=table)
    start = order_generation(keyspace, table)
    wait_for_clock(start)
    keyspace.execute("UPDATE $t SET v = 2 WHERE pk = 1 AND ck = 1", t=table)
    end = start - 1 if generations == 1 else now_millis() + 1
    with OfficialClient(program, services, [table], begin, end) as client:
        found = checked_groups(client.seen().get(table, []), "pk")
    assert found == [[row(INSERT, ck=1, v=1)], [row(UPDATE, ck=1, v=2)]][:generations]


def test_client_says_so_when_there_is_no_log(
    program: Path, services: Stack, vnodes_keyspace: Keyspace
) -> None:
    """The client fails on a table without a log, so that its silence elsewhere means something."""
    table = vnodes_keyspace.create(lambda name: f"CREATE TABLE {name} (pk int PRIMARY KEY)")
    now = now_millis()
    with (
        OfficialClient(program, services, [table], now - 1000, now) as client,
        pytest.raises(AssertionError, match="the client failed"),
    ):
        client.seen()


def order_generation(keyspace: Keyspace, table: str) -> int:
    """Orders a generation in a second and returns its announced start."""

    def starts() -> set[int]:
        if keyspace.kind == "tablets":
            return {g.start_ms for g in tablet_generations(keyspace.session, table)}
        return {g.start_ms for g in vnode_generations(keyspace.session)}

    known = starts()
    what = f"tablets {table} 6" if keyspace.kind == "tablets" else "generation"
    keyspace.session.execute(f"/* stand-in: {what} in 1000 ms */ SELECT key FROM system.local")
    wait_until(lambda: starts() != known, "a new generation is listed")
    (start,) = starts() - known
    return start
