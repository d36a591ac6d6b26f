"""Keyspaces of either kind for tests of the source, written to with the driver itself."""

import asyncio
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.cluster import Session as DriverSession
from cassandra.policies import RoundRobinPolicy

from cdcd.config.settings import ScyllaSettings, SourceSettings
from cdcd.model.change import ChangeEvent
from cdcd.model.lane import LaneSet
from cdcd.model.position import Window
from cdcd.ops.board import wall_clock_ms
from cdcd.source.catalog import SourceTable, find, read_schema
from cdcd.source.generations import Generations
from cdcd.source.lanes import streams_of
from cdcd.source.log_reader import LogReader
from cdcd.source.session import Session
from cdcd.source.windows import generation_at, generation_end
from tests.stack import Stack

_number = itertools.count()
KINDS = ("vnodes", "tablets")
CDC = "cdc = {'enabled': true}"
ALL_LANES = LaneSet(frozenset(range(16)), 16)


@dataclass(frozen=True)
class Keyspace:
    """A keyspace and the driver's session; `$ks` in statements is its name."""

    driver: DriverSession
    name: str
    begun_ms: int

    def execute(self, statement: str, *params: object) -> list[Any]:
        """Run a statement and give its rows."""
        return list(self.driver.execute(statement.replace("$ks", self.name), params or None))


@contextmanager
def driver(stack: Stack, **more: Any) -> Iterator[DriverSession]:
    """The driver's own session, with its own decoding."""
    profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=60)
    cluster = Cluster(
        [stack.scylla_host],
        port=stack.scylla_port,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=4,
        **more,
    )
    try:
        yield cluster.connect()
    finally:
        cluster.shutdown()


@contextmanager
def keyspace(session: DriverSession, kind: str) -> Iterator[Keyspace]:
    """A keyspace of a kind, dropped at the end."""
    name = f"source_{kind}_{os.getpid()}_{next(_number)}"
    tablets = str(kind == "tablets").lower()
    session.execute(
        f"CREATE KEYSPACE {name} WITH replication ="
        " {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
        f" AND tablets = {{'enabled': {tablets}}}"
    )
    try:
        yield Keyspace(session, name, wall_clock_ms())
    finally:
        session.execute(f"DROP KEYSPACE {name}")


def settings_of(stack: Stack, **changes: Any) -> ScyllaSettings:
    """How cdcd reaches the database."""
    return ScyllaSettings(hosts=(stack.scylla_host,), port=stack.scylla_port, **changes)


async def table_of(session: Session, name: str) -> SourceTable:
    """The table as cdcd's catalog has it."""
    found = find(await read_schema(session), [name])
    found.require([name])
    return found.tables[name]


def reader_of(session: Session, table: SourceTable, **settings: Any) -> LogReader:
    """A reader of the table's log."""
    return LogReader(session, table.spec, SourceSettings(**settings), asyncio.Semaphore(4))


async def read_log(
    session: Session, table: SourceTable, reader: LogReader, start_ms: int, lanes: LaneSet
) -> list[ChangeEvent]:
    """All changes from a time until now, through every generation between."""
    known = await Generations(session).of(table)
    events: list[ChangeEvent] = []
    frontier = max(start_ms - 1000, known[0].start_ms)
    end_ms = wall_clock_ms() + 1
    while frontier < end_ms:
        generation = generation_at(known, frontier)
        assert generation is not None
        until = min(generation_end(known, generation) or end_ms, end_ms)
        streams = streams_of(generation, lanes)
        events += (await reader.read(streams, lanes, Window(frontier, until))).events
        frontier = until
    return events
