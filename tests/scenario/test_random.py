"""Writes of every kind by chance, from several clients, and two witnesses of what comes of them: a
consumer of the topics and PostgreSQL, each read by code that shares nothing with the product.

CDCD_RANDOM_SEED repeats a run, CDCD_RANDOM_RUNS is how many there are, CDCD_RANDOM_WRITES sets
their size, CDCD_RANDOM_KILLS how often the worker is killed meanwhile (`make random`). All tables
are copied in the middle of it. Odd seeds
write no lists and no TTLs: few rows are read again then, which would hide mistakes.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import asyncpg
import pytest
from cassandra import DriverException
from cassandra.cluster import NoHostAvailable, Session
from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement

from tests.independent import postgres, source
from tests.independent.forms import grown
from tests.independent.source import State, Table
from tests.independent.topic import Follower, Replica
from tests.scenario.conftest import Place, connected
from tests.scenario.copies import backfill
from tests.scenario.daemon import Daemon, wait_until
from tests.scenario.random_tables import SHAPES, TYPES, statements
from tests.scenario.random_writes import Choices, Generator, Write

RUNS = int(os.environ.get("CDCD_RANDOM_RUNS", "1"))
WRITES = int(os.environ.get("CDCD_RANDOM_WRITES", "2500"))
KILLS = int(os.environ.get("CDCD_RANDOM_KILLS", "1"))
SEED = int(os.environ.get("CDCD_RANDOM_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
CLIENTS = 3
# Late rows are found by these; no write is backdated by more than the first.
DELAYS = [4, 12]
WAIT_SECONDS = 120


@dataclass
class Client:
    """A writer with a connection, and so a clock, of its own."""

    session: Session
    refused: Counter[str]
    prepared: dict[str, PreparedStatement] = field(default_factory=dict)

    def write(self, write: Write) -> None:
        """Write, unless the server refuses it."""
        try:
            bound = [self._bound(s.text, s.bound) for s in write.statements]
            if not write.batch:
                self.session.execute(bound[0])
                return
            batch = BatchStatement(getattr(BatchType, write.batch))
            for statement in bound:
                batch.add(statement)
            self.session.execute(batch)
        except (DriverException, NoHostAvailable) as error:
            self.refused[f"{type(error).__name__}: {error}"[:200]] += 1

    def _bound(self, text: str, raw: tuple[object, ...]) -> BoundStatement:
        if text not in self.prepared:
            self.prepared[text] = self.session.prepare(text)
        bound = BoundStatement(self.prepared[text])
        bound.values = list(raw)
        return bound


@contextmanager
def keyspaces(place: Place) -> Iterator[dict[str, str]]:
    """A keyspace of each kind, with the types."""
    tablets = f"{place.name}_tablets"
    place.execute(
        f"CREATE KEYSPACE {tablets} WITH replication ="
        " {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
        " AND tablets = {'enabled': true}"
    )
    try:
        yield {"vnodes": place.name, "tablets": tablets}
    finally:
        place.session.execute(f"DROP KEYSPACE {tablets}")


def make_tables(place: Place, names: dict[str, str], *, lists: bool) -> list[Table]:
    """Two shapes in each keyspace, named apart because they share a target schema."""
    tables = []
    for at, shape in enumerate(SHAPES):
        keyspace = names["vnodes" if at % 2 else "tablets"]
        place.session.execute(statements(shape, lists=lists).replace("$ks", keyspace))
        tables.append(source.table_of(place.session, keyspace, shape))
    return tables


def copied(place: Place, names: list[str]) -> bool:
    """Ask for copies; false where there is no worker at the moment."""
    code, _, error = backfill(place, *names, "--no-wait")
    assert code == 0 or "no worker of pipeline" in error, error
    return code == 0


def write_all(
    place: Place, tables: list[Table], generator: Generator, daemon: Daemon
) -> Counter[str]:
    """Have the clients write, and the tables copied meanwhile; gives why writes were refused, and
    how often.
    """
    refused: Counter[str] = Counter()
    names = [f"{table.keyspace}.{table.name}" for table in tables]
    lock, kills = threading.Lock(), {WRITES * n // (KILLS + 1) for n in range(1, KILLS + 1)}
    numbers = iter(range(WRITES))

    def work(_number: int) -> None:
        with connected(place.stack) as (_stack, session):
            # A refused condition answers with the row, which may be past Python's calendar.
            session.client_protocol_handler = source.BlobProtocol
            client = Client(session, refused)
            while True:
                with lock:
                    number = next(numbers, None)
                    write = generator.next()
                if number is None:
                    return
                client.write(write)
                if number == WRITES // 3:
                    # The worker may have been killed just now.
                    wait_until(lambda: copied(place, names), "a worker takes the copy")
                if number in kills:
                    daemon.kill()
                    daemon.start()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(work, range(CLIENTS)))
    return refused


def copies(place: Place) -> list[tuple[str, float]]:
    """State and share of each copy."""
    _, document, _ = backfill(place, "--status")
    return [(each["state"], each["share"]) for each in document["copies"]] if document else []


def said(table: Table, state: State, replica: Replica) -> list[str]:
    """What the topic says otherwise than the source."""
    loose = {c.name for c in table.columns if c.type.name in ("set", "map") and c.type.has_cells}
    types = {c.name: c.type for c in table.columns}

    def same_order(rows: dict) -> dict:
        return {
            key: {n: frozenset(v) if n in loose else v for n, v in values.items()}
            for key, values in rows.items()
        }

    def as_of_now(rows: dict) -> dict:
        return {
            key: {n: grown(types[n], v) if n in types else v for n, v in values.items()}
            for key, values in rows.items()
        }

    told = replica.state
    return [
        *(f"in doubt: {key}" for key in replica.in_doubt),
        *differences("row", same_order(state.rows), same_order(as_of_now(told.rows))),
        *differences("static", same_order(state.statics), same_order(as_of_now(told.statics))),
    ]


def differences(what: str, left: dict, right: dict) -> list[str]:
    """Missing, extra and different, in words."""
    found = [f"{what} missing: {key}" for key in left.keys() - right.keys()]
    found += [f"{what} extra: {key}" for key in right.keys() - left.keys()]
    for key in left.keys() & right.keys():
        for name in left[key].keys() | right[key].keys():
            ours, theirs = left[key].get(name), right[key].get(name)
            if ours != theirs:
                found.append(f"{what} {key} {name}: {ours!r} became {theirs!r}")
    return found


def compare(place: Place, table: Table, follower: Follower) -> list[str]:
    """All that differs, of one table."""
    replica = follower.catch_up()
    state = source.read(place.session, table)
    rows, statics = postgres.must_show(table, state)
    try:
        shown_rows, shown_statics = postgres.read(place.stack, place.schema, table)
    except asyncpg.UndefinedColumnError as error:
        return [f"{table.name}: postgres: {error}"]
    lost = source.log_identities(place.session, table)
    lost.subtract(replica.identities)
    found = said(table, state, replica)
    found = [f"topic: {f}" for f in found]
    found += [f"postgres: {f}" for f in differences("row", rows, shown_rows)]
    found += [f"postgres: {f}" for f in differences("static", statics, shown_statics)]
    found += [f"{'lost' if n > 0 else 'doubled'}: {i}" for i, n in lost.items() if n]
    return [f"{table.name}: {f}" for f in found]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(RUNS))
def test_random_writes(place: Place, number: int) -> None:
    """A consumer of the topics that follows docs/WIRE.md reproduces every source table exactly,
    each delta row of the log is in its topic once, and PostgreSQL is equal to the source.
    """
    seed = SEED + number
    free = seed % 2 == 0
    print(f"CDCD_RANDOM_SEED={seed}")  # noqa: T201  it repeats a failure
    place.settings["source"] = {"settle_delays_seconds": DELAYS}
    with keyspaces(place) as names:
        for keyspace in names.values():
            for statement in TYPES:
                place.session.execute(statement.replace("$ks", keyspace))
        tables = make_tables(place, names, lists=free)
        daemon = place.daemon(*(f"--table={name}.*" for name in names.values()))
        daemon.start()
        daemon.wait_ready()
        generator = Generator(seed, tables, Choices(ttl=free, lists=free))
        refused = write_all(place, tables, generator, daemon)
        assert refused.total() < WRITES / 5, refused
        wait_until(lambda: copies(place) == [("done", 1.0)] * len(tables), "the copies end", 300)
        followers = [Follower(place.stack, f"{place.name}.{t.keyspace}.{t.name}") for t in tables]
        ends, left = time.monotonic() + WAIT_SECONDS, ["not compared"]
        while left and time.monotonic() < ends:
            left = [
                difference
                for table, follower in zip(tables, followers, strict=True)
                for difference in compare(place, table, follower)
            ]
        found = [f"seed {seed}: {len(left)} differences", *left[:30], daemon.output[-3000:]]
        assert not left, "\n".join(found)
        for table, follower in zip(tables, followers, strict=True):
            told = follower.replica
            assert told.identities, table.name
            assert told.state.rows, table.name
            print(table.name, len(told.state.rows), told.lates, told.operations)  # noqa: T201
        assert daemon.stop() == 0
