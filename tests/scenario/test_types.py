"""Values of every type, nested and frozen ones too, from CQL to PostgreSQL."""

import os
from typing import Any

import pytest
from cassandra.query import BoundStatement
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st

from tests.independent import postgres, source
from tests.independent.cql import encode
from tests.independent.source import Table
from tests.independent.strategies import ATOMIC, UDTS, multicell, nested, parsed, values
from tests.independent.topic import Follower, Replica
from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until
from tests.scenario.test_random import differences

EXAMPLES = int(os.environ.get("CDCD_TYPES_EXAMPLES", "3"))
ROWS = 12


def make_types(place: Place) -> None:
    """The user-defined types."""
    for name, fields in UDTS.items():
        listed = ", ".join(f'"{field}" {cql}' for field, cql in fields)
        place.execute(f"CREATE TYPE $ks.{name} ({listed})")


def make_table(place: Place, name: str, types: list[str]) -> Table:
    """A table with a column of each type."""
    columns = ", ".join(f"v{n:02d} {cql}" for n, cql in enumerate(types))
    place.execute(
        f"CREATE TABLE $ks.{name} (id int PRIMARY KEY, {columns}) WITH cdc = {{'enabled': true}}"
    )
    return source.table_of(place.session, place.name, name)


def write(place: Place, table: Table, rows: list[list[Any]]) -> None:
    """Insert the rows, each value as its bytes."""
    columns = table.of("regular")
    names, places = ", ".join(c.name for c in columns), ", ?" * len(columns)
    text = f"INSERT INTO {place.name}.{table.name} (id, {names}) VALUES (?{places})"
    prepared = place.session.prepare(text)
    for number, row in enumerate(rows):
        bound = BoundStatement(prepared)
        found = [
            None if v is None else encode(c.type, v) for c, v in zip(columns, row, strict=True)
        ]
        bound.values = [number.to_bytes(4, "big"), *found]
        place.session.execute(bound)


def loose(value: Any) -> Any:
    """A value without the order of sets and maps, which the servers give them."""
    if isinstance(value, tuple):
        return tuple(sorted((loose(v) for v in value), key=repr))
    return value


def expect_everywhere(place: Place, table: Table, rows: list[list[Any]]) -> None:
    """The rows are in the source as written, and in topic and target as in the source."""
    state = source.read(place.session, table)
    names = [c.name for c in table.of("regular")]
    for number, row in enumerate(rows):
        found = state.rows[number,]
        written = dict(zip(names, row, strict=True))
        is_null = [None, ()]
        assert {n: loose(v) for n, v in found.items()} == {
            c.name: loose(written[c.name])
            for c in table.of("regular")
            if written[c.name] not in is_null[: 1 + c.type.has_cells]
            and not (c.type.name == "udt" and c.type.has_cells and _hollow(written[c.name]))
        }
    with Follower(place.stack, f"{place.name}.{place.name}.{table.name}") as follower:
        replica = Replica()

        def published() -> bool:
            nonlocal replica
            replica = follower.catch_up()
            return len(replica.state.rows) == len(rows)

        wait_until(published, "all rows in the topic")
        assert differences("row", state.rows, replica.state.rows) == []
    expected, _ = postgres.must_show(table, state)

    def applied() -> bool:
        return len(postgres.read(place.stack, place.schema, table)[0]) == len(rows)

    log = place.daemons[0]
    wait_until(applied, f"all rows in PostgreSQL; its log: {log.output[-2000:]}")
    shown, _ = postgres.read(place.stack, place.schema, table)
    assert differences("row", expected, shown) == []


def _hollow(value: Any) -> bool:
    """A user-defined type of cells without one that is set is null."""
    return all(v is None for _, v in value)


@pytest.mark.timeout(600)
def test_values_of_every_type(place: Place) -> None:
    """A value of any type, alone and nested to any depth, is the same in the source, in the topic
    and in PostgreSQL, by a reading of each that shares nothing with the product.
    """
    make_types(place)
    daemon = place.daemon("--table", f"{place.name}.*")
    daemon.start()
    daemon.wait_ready()
    numbers = iter(range(EXAMPLES * 10))

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data: st.DataObject) -> None:
        types = [*ATOMIC]
        types += data.draw(st.lists(nested, min_size=6, max_size=6))
        types += data.draw(st.lists(multicell, min_size=4, max_size=4))
        table = make_table(place, f"t{next(numbers)}", types)
        row = st.tuples(*(st.none() | values(parsed(t), top=True) for t in types)).map(list)
        rows = data.draw(st.lists(row, min_size=ROWS, max_size=ROWS))
        write(place, table, rows)
        expect_everywhere(place, table, rows)

    check()
    assert daemon.stop() == 0
