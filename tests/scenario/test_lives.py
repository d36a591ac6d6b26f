"""What may happen to a row, one case at a time, in the source, in the topic and in the target."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from string import Template
from typing import Any

import pytest
from cassandra.cluster import Session

from tests.independent import source
from tests.independent.source import State, Table
from tests.independent.topic import Follower
from tests.scenario.conftest import Place, connected
from tests.scenario.life_cases import (
    CASES,
    COLLECTIONS,
    LIVES,
    ORDERS,
    RANGES,
    STATICS,
    TABLES,
    TIES,
    Case,
    table_of,
)
from tests.scenario.test_random import compare
from tests.stack import Stack

NUMBERS = {name: number for number, name in enumerate(CASES)}
WAIT_SECONDS = 60


@dataclass
class World:
    """The tables after all cases, as the source has them, and what differs elsewhere."""

    states: dict[str, State]
    differing: dict[str, list[str]]


def write(place: Place, case: Case) -> None:
    """Run the statements of a case; where one has a time, all are of about now."""
    t = time.time_ns() // 1000
    values = {"p": NUMBERS[case.name], "t": t, "before": t - 1, "after": t + 1}
    for statement in case.statements:
        place.session.execute(Template(statement).substitute(values))


def settled(place: Place, tables: list[Table]) -> World:
    """The world once nothing differs any more, or when that takes too long."""
    followers = [Follower(place.stack, f"{place.name}.{place.name}.{t.name}") for t in tables]
    ends = time.monotonic() + WAIT_SECONDS
    differing: dict[str, list[str]] = {"": ["not compared"]}
    while any(differing.values()) and time.monotonic() < ends:
        differing = {t.name: compare(place, t, f) for t, f in zip(tables, followers, strict=True)}
    return World({t.name: source.read(place.session, t) for t in tables}, differing)


@pytest.fixture(scope="module")
def world(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All cases written, one worker replicating them."""
    # The connection is the module's own: its keyspace is set.
    with connected(stack) as (_, session):
        yield from _world(stack, session, tmp_path_factory)


def _world(
    stack: Stack, session: Session, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    place = Place(
        stack, session, tmp_path_factory.mktemp("lives"), f"lives{time.time_ns() % 10**8}"
    )
    place.begin()
    try:
        place.execute("CREATE TYPE $ks.point (x int, y int)")
        place.session.execute(f"USE {place.name}")
        for name, columns in TABLES.items():
            order = ORDERS.get(name, "")
            place.execute(
                f"CREATE TABLE $ks.{name} ({columns}) WITH {order}cdc = {{'enabled': true}}"
            )
        daemon = place.daemon("--table", f"{place.name}.*")
        daemon.start()
        daemon.wait_ready()
        for case in CASES.values():
            write(place, case)
        tables = [source.table_of(session, place.name, name) for name in TABLES]
        yield settled(place, tables)
        assert daemon.stop() == 0
    finally:
        place.end()


def expect(world: World, case: Case) -> None:
    """The case's rows are those that it states, and nothing of its partition differs anywhere."""
    state, number = world.states[table_of(case)], NUMBERS[case.name]
    rows = {key[1:]: values for key, values in state.rows.items() if key[0] == number}
    statics = state.statics.get((number,), {})
    stated: Any = case.left
    if stated is not None:
        assert rows == stated
    if case.statics is not None:
        assert statics == case.statics
    marks = (f"({number},", f" {number},")
    assert [d for d in world.differing[table_of(case)] if any(m in d for m in marks)] == []


def named(cases: list[Case]) -> pytest.MarkDecorator:
    """A test for each case."""
    return pytest.mark.parametrize("name", [c.name for c in cases])


@named(COLLECTIONS)
def test_collections(world: World, name: str) -> None:
    """An overwrite or a delete of a collection and an element that is added around it end as the
    servers have it, whichever came first, one microsecond apart or in the same.
    """
    expect(world, CASES[name])


@named(TIES)
def test_ties(world: World, name: str) -> None:
    """What two writes of one microsecond leave is what the servers make of it, and one that was
    tried twice has one effect.
    """
    expect(world, CASES[name])


@named(LIVES)
def test_rows(world: World, name: str) -> None:
    """A row is there exactly as long as it has a marker or a value in the source."""
    expect(world, CASES[name])


@named(STATICS)
def test_statics(world: World, name: str) -> None:
    """A partition's static row lives beside its rows, and dies with the partition."""
    expect(world, CASES[name])


@named(RANGES)
def test_ranges(world: World, name: str) -> None:
    """A range delete takes the rows that it takes in the source, in falling and mixed order."""
    expect(world, CASES[name])


def test_nothing_differs(world: World) -> None:
    """Source, topic and target are equal in the end, and each change is in its topic once."""
    assert {name: found for name, found in world.differing.items() if found} == {}
    assert all(world.states[name].rows for name in TABLES)


def test_ranges_leave_some(world: World) -> None:
    """Each range delete leaves rows of its partition, so it says something about its bounds."""
    for case in RANGES:
        rows = world.states[table_of(case)].rows
        assert any(key[0] == NUMBERS[case.name] for key in rows)
