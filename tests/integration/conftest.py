"""A pipeline with topics, subjects and a target schema of its own for each test."""

import itertools
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from cassandra.cluster import Session as DriverSession
from confluent_kafka.admin import AdminClient

from cdcd.config.settings import LogSettings
from cdcd.ops.logs import configure
from cdcd.source.session import Session
from tests import stack as local
from tests.integration.feeding import Feed
from tests.integration.keyspaces import driver, settings_of
from tests.stack import Stack

_number = itertools.count()


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The running stack."""
    return local.load()


@pytest.fixture(autouse=True)
def logs() -> None:
    """Logs as the daemon writes them, whatever the test before has set; structlog's own defaults
    render every local variable.
    """
    configure(LogSettings(format="json"))


@pytest.fixture(scope="module")
def plain(stack: Stack) -> Iterator[DriverSession]:
    """The driver's own session."""
    with driver(stack) as session:
        yield session


@pytest.fixture
async def session(stack: Stack) -> AsyncIterator[Session]:
    """A session of cdcd's."""
    async with Session.open(settings_of(stack)) as opened:
        yield opened


@pytest.fixture
async def feed(stack: Stack) -> AsyncIterator[Feed]:
    """A pipeline that nobody else uses; what it made is removed."""
    name = f"t{os.getpid()}x{next(_number)}"
    # Killed while it asks for TLS, the driver leaves a future whose exception nobody reads.
    made = Feed(name, stack.kafka, stack.registry, f"{stack.postgres}?sslmode=disable")
    made.make_lanes()
    async with made.registry:
        yield made
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    topics = [t for t in admin.list_topics(timeout=10).topics if t.startswith(f"{name}.")]
    if topics:
        admin.delete_topics(topics)
    connection = await made.connect()
    await connection.execute(f'DROP SCHEMA IF EXISTS "{made.schema}" CASCADE')
    for state in ("offsets", "topics", "targets", "reconcile_runs", "dead_letters"):
        if await connection.fetchval("SELECT to_regclass($1)", f"cdcd.{state}"):
            await connection.execute(f"DELETE FROM cdcd.{state} WHERE pipeline = $1", name)
    await connection.close()


@pytest.fixture
async def connection(stack: Stack) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """A connection of the driver's own."""
    made = await asyncpg.connect(stack.postgres)
    yield made
    await made.close()
