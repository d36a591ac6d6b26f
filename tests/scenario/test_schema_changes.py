"""The source's schema changes while its log is read, by a worker that goes on."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from cassandra import InvalidRequest
from cassandra.cluster import Session

from tests.independent import postgres, source
from tests.independent.topic import Follower
from tests.scenario.conftest import Place
from tests.scenario.daemon import Daemon, wait_until
from tests.scenario.test_random import compare
from tests.stack import Stack

_number = itertools.count()


@dataclass
class World:
    """A worker that takes in every table of the keyspace; tests make tables of their own."""

    place: Place
    daemon: Daemon

    def table(self, columns: str) -> str:
        """Make a table; gives its name."""
        name = f"t{next(_number)}"
        self.execute(f"CREATE TABLE {name} ({columns}) WITH cdc = {{'enabled': true}}")
        return name

    def execute(self, text: str) -> None:
        """Run a statement; the table is named without its keyspace."""
        for word in (" TABLE ", " INTO ", "UPDATE ", " TYPE "):
            text = text.replace(word, f"{word}{self.place.name}.", 1)
        self.place.session.execute(text)

    def state(self, name: str) -> dict[str, Any]:
        """What the worker says of a table."""
        _, body = self.daemon.get("/status")
        tables = body["tables"] if body else []
        return next((t for t in tables if t["table"] == f"{self.place.name}.{name}"), {})

    def expect_equal(self, name: str) -> None:
        """Source, topic and target are equal soon."""
        table = source.table_of(self.place.session, self.place.name, name)
        left = ["not compared"]
        with Follower(self.place.stack, f"{self.place.name}.{self.place.name}.{name}") as follower:
            ends = time.monotonic() + 60
            while left and time.monotonic() < ends:
                left = compare(self.place, table, follower)
        assert left == []

    def is_applied(self, name: str) -> bool:
        """Whether some row of the table is in the target."""
        table = source.table_of(self.place.session, self.place.name, name)
        try:
            rows, _ = postgres.read(self.place.stack, self.place.schema, table)
        except asyncpg.UndefinedTableError:
            return False
        return bool(rows)

    def expect_rows(self, name: str, rows: dict[int, dict[str, Any]]) -> None:
        """The target's rows are these soon, by their key p, in the columns that the source has."""
        table = source.table_of(self.place.session, self.place.name, name)
        wanted = {(p,): values for p, values in rows.items()}
        found: dict[Any, Any] = {}
        ends = time.monotonic() + 60
        while found != wanted and time.monotonic() < ends:
            found, _ = postgres.read(self.place.stack, self.place.schema, table)
        assert found == wanted

    def expect_stopped(self, name: str, *words: str) -> None:
        """The table has stopped, with a reason that has the words, and another one goes on."""
        wait_until(
            lambda: self.state(name).get("state") in ("stopped", "needs_snapshot"),
            f"{name} has stopped: {self.daemon.output[-1500:]}",
            30,
        )
        reason = str(self.state(name)["reason"])
        assert all(word in reason for word in words), reason
        other = self.table("p int PRIMARY KEY, v int")
        self.execute(f"INSERT INTO {other} (p, v) VALUES (1, 1)")
        self.expect_equal(other)
        assert name in self.daemon.output
        # The catalog has changed, so it was tried again, by the worker that saw it altered.
        assert "while nobody read it" not in self.daemon.output


@pytest.fixture(scope="module")
def world(
    stack: Stack, session: Session, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """One worker for all tests of the module."""
    name = f"schema{time.time_ns() % 10**8}"
    place = Place(stack, session, tmp_path_factory.mktemp("schema"), name)
    place.settings["source"] = {"catalog_seconds": 0.5}
    place.begin()
    try:
        made = World(place, place.daemon("--table", f"{name}.*"))
        made.execute("CREATE TYPE thing (a int)")
        made.table("p int PRIMARY KEY, v int")
        made.daemon.start()
        made.daemon.wait_ready()
        yield made
        assert made.daemon.stop() == 0
    finally:
        place.end()


@contextmanager
def writing(place: Place, text: str) -> Iterator[None]:
    """Write on and on with one prepared statement, whose parameters are keys."""
    prepared, done = place.session.prepare(text), threading.Event()

    def write() -> None:
        for number in itertools.count():
            if done.is_set():
                return
            place.session.execute(prepared, (number,))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        done.set()
        writer.join()


def test_columns_come_and_go(world: World) -> None:
    """Columns that are added and dropped while rows are written do not stop their table."""
    name = world.table("p int PRIMARY KEY, v int, gone int")
    insert = f"INSERT INTO {world.place.name}.{name} (p, v) VALUES (?, 1)"
    with writing(world.place, insert):
        thing = f"frozen<{world.place.name}.thing>"
        for column, cql in (("a", "int"), ("b", "map<int, text>"), ("c", thing)):
            time.sleep(0.3)
            world.execute(f"ALTER TABLE {name} ADD {column} {cql}")
            world.execute(f"UPDATE {name} SET v = 2 WHERE p = 0")
        world.execute(f"UPDATE {name} SET a = 5, b = b + {{1: 'x'}}, c = {{a: 1}} WHERE p = 1")
        world.execute(f"ALTER TABLE {name} DROP gone")
        time.sleep(0.5)
    world.expect_equal(name)


def test_a_type_gains_a_field(world: World) -> None:
    """A field that a user-defined type gains arrives with its first value."""
    world.execute("CREATE TYPE growing (a int)")
    full = f"{world.place.name}.growing"
    name = world.table(f"p int PRIMARY KEY, f frozen<{full}>, u {full}")
    insert = f"INSERT INTO {world.place.name}.{name} (p, f, u) VALUES (?, {{a: 1}}, {{a: 2}})"
    with writing(world.place, insert):
        wait_until(lambda: world.is_applied(name), "rows of the type as it was are in the target")
        world.execute("ALTER TYPE growing ADD b text")
        world.execute(f"UPDATE {name} SET f = {{a: 1, b: 'new'}}, u.b = 'new' WHERE p = -1")
        time.sleep(0.5)
    world.expect_equal(name)


@pytest.mark.parametrize(
    ("columns", "old"),
    [("p int, c int, v int, PRIMARY KEY (p, c)", "c"), ("p int, c int, PRIMARY KEY (p, c)", "p")],
    ids=["clustering", "partition"],
)
def test_a_key_column_is_renamed(world: World, columns: str, old: str) -> None:
    """A table whose key column was renamed stops and says what to do next; what was written before
    is in its topic, and others go on.
    """
    name = world.table(columns)
    world.execute(f"INSERT INTO {name} (p, c) VALUES (1, 1)")
    world.expect_equal(name)
    world.execute(f"ALTER TABLE {name} RENAME {old} TO renamed")
    world.expect_stopped(name, f"{old} became renamed", f"cdcd tables remove {world.place.name}")


def test_a_column_comes_back_with_another_type(world: World) -> None:
    """A table whose column was dropped and made again with another type stops and says what to do
    next.
    """
    name = world.table("p int PRIMARY KEY, v text, w int")
    world.execute(f"INSERT INTO {name} (p, v, w) VALUES (1, 'x', 1)")
    world.expect_equal(name)
    world.execute(f"ALTER TABLE {name} DROP v")
    wait_until(lambda: _added_again(world, name, "blob"), "the column is made again")
    world.execute(f"INSERT INTO {name} (p, w) VALUES (2, 2)")
    world.expect_stopped(name, "column v was text and is blob", "cdcd tables remove")


def test_a_column_comes_back_as_it_was(world: World) -> None:
    """A column that was dropped and made again with its former type is written again, and shows
    nothing of before.
    """
    name = world.table("p int PRIMARY KEY, v int, w int")
    for p in (1, 2, 3):
        world.execute(f"INSERT INTO {name} (p, v, w) VALUES ({p}, {p}, {p})")
    world.expect_equal(name)
    world.execute(f"ALTER TABLE {name} DROP v")
    world.execute(f"UPDATE {name} SET w = 5 WHERE p = 2")
    world.expect_rows(name, {1: {"w": 1}, 2: {"w": 5}, 3: {"w": 3}})
    wait_until(lambda: _added_again(world, name, "int"), "the column is made again")
    world.execute(f"UPDATE {name} SET v = 6 WHERE p = 1")
    world.expect_rows(name, {1: {"v": 6, "w": 1}, 2: {"w": 5}, 3: {"w": 3}})


def _added_again(world: World, name: str, cql: str) -> bool:
    """Whether the server takes the column v again; ScyllaDB waits for some seconds."""
    try:
        world.execute(f"ALTER TABLE {name} ADD v {cql}")
    except InvalidRequest:
        return False
    return True


def test_the_base_table_is_dropped(world: World) -> None:
    """A dropped table stops, and its target stays as it is."""
    name = world.table("p int PRIMARY KEY, v int")
    world.execute(f"INSERT INTO {name} (p, v) VALUES (1, 1)")
    world.expect_equal(name)
    table = source.table_of(world.place.session, world.place.name, name)
    world.execute(f"DROP TABLE {name}")
    world.expect_stopped(name, "was dropped")

    rows, _ = postgres.read(world.place.stack, world.place.schema, table)
    assert rows == {(1,): {"v": 1}}
