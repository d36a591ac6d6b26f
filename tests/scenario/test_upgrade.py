"""Stored forms of other releases: an older one's are taken over, a newer one's refused."""

import asyncio
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import requests
from confluent_kafka import Consumer, Producer, TopicPartition

from cdcd.sink.state import SCRIPTS, STATE_VERSION, script
from cdcd.transport.lane_records import VERSION as LANES_VERSION
from cdcd.transport.schema import ENVELOPE_VERSION
from tests.scenario.conftest import Place
from tests.scenario.daemon import Daemon, wait_until

MakeTable = Callable[[str], None]
NEWER = 99


def _sql(dsn: str, *statements: str) -> Any:
    """Run statements; gives the first value of the last one."""

    async def run() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def alone(place: Place) -> Iterator[Place]:
    """The place with a database of its own: the state's version is one for the whole of it."""
    given, name = place.stack, f"{place.name}_state"
    owner = urlsplit(given.postgres).username
    _sql(given.postgres_admin, f'CREATE DATABASE {name} OWNER "{owner}"')
    place.stack = replace(given, postgres=urlsplit(given.postgres)._replace(path=name).geturl())
    yield place
    for daemon in place.daemons:
        daemon.end()
    _sql(given.postgres_admin, f"DROP DATABASE {name} WITH (FORCE)")


def _count(place: Place) -> int:
    try:
        found: int = _sql(place.stack.postgres, f'SELECT count(*) FROM "{place.schema}".t')
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return -1
    return found


def _subject(place: Place) -> str:
    return f"{place.stack.registry}/subjects/{place.name}.{place.name}.t-value/versions"


def _register(place: Place, schema: dict[str, Any]) -> int:
    """Register a value schema; gives its id."""
    answer = requests.post(_subject(place), json={"schema": json.dumps(schema)}, timeout=30)
    answer.raise_for_status()
    found: int = answer.json()["id"]
    return found


def _schema(place: Place) -> dict[str, Any]:
    """The newest value schema."""
    answer = requests.get(f"{_subject(place)}/latest", timeout=30)
    answer.raise_for_status()
    found: dict[str, Any] = json.loads(answer.json()["schema"])
    return found


def _produce(place: Place, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
    producer = Producer({"bootstrap.servers": place.stack.kafka})
    producer.produce(topic, value, key, partition)
    assert producer.flush(30) == 0


def _record(place: Place, topic: str) -> tuple[int, bytes, bytes]:
    """Partition, key and value of a record of the topic."""
    consumer = Consumer({"bootstrap.servers": place.stack.kafka, "group.id": f"{topic}.look"})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, n, 0) for n in partitions])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        key, value, partition = message.key(), message.value(), message.partition()
        assert key is not None
        assert value is not None
        assert partition is not None
        return partition, bytes(key), bytes(value)
    finally:
        consumer.close()


def _expect_refusal(daemon: Daemon, before: Callable[[], None] = lambda: None) -> None:
    """The daemon, started again, ends with exit code 2 and says which version it met."""
    daemon.start()
    before()
    assert daemon.exit_code == 2, daemon.output[-2000:]
    assert f"version {NEWER}" in daemon.output.splitlines()[-1]


def _applied(daemon: Daemon) -> int:
    _, body = daemon.get("/status")
    return sum(table["applied"] for table in (body or {}).get("tables", []))


def _command(place: Place, *words: str) -> subprocess.CompletedProcess[str]:
    config = str(place.folder / "cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", config, *words, "--name", place.name]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)


@pytest.mark.timeout(300)
def test_a_newer_state_is_refused(alone: Place, make_table: MakeTable) -> None:
    """A newer state in PostgreSQL, newer records, and newer lanes each end the daemon with exit
    code 2, so that its supervisor does not start it again; commands refuse, too. With what it
    knows it goes on.
    """
    place = alone
    make_table("t (id int PRIMARY KEY, v int)")
    place.execute("INSERT INTO $ks.t (id, v) VALUES (1, 1)")
    table = f"{place.name}.t"
    daemon = place.daemon("--table", table)
    daemon.start()
    wait_until(lambda: _count(place) == 1, "the row arrived")
    assert daemon.stop() == 0

    _sql(place.stack.postgres, f"UPDATE cdcd.meta SET state_version = {NEWER} RETURNING 1")
    _expect_refusal(daemon)
    for command in (["offsets", "show"], ["dlq", "list"], ["reconcile", "verify", "--all-tables"]):
        done = _command(place, *command)
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"version {NEWER}" in done.stderr
    _sql(place.stack.postgres, f"UPDATE cdcd.meta SET state_version = {STATE_VERSION} RETURNING 1")

    place.execute("INSERT INTO $ks.t (id, v) VALUES (2, 2)")
    daemon.start()
    wait_until(lambda: _count(place) == 2, "it goes on")
    assert daemon.stop() == 0

    newer_id = _register(place, _schema(place) | {"cdcd.version": NEWER})
    source = place.daemon("--table", table, "--stage", "source")
    _expect_refusal(source, lambda: place.execute("INSERT INTO $ks.t (id, v) VALUES (3, 3)"))
    topic = f"{place.name}.{table}"
    partition, key, value = _record(place, topic)
    _produce(place, topic, partition, key, b"\0" + struct.pack(">I", newer_id) + value[5:])
    _expect_refusal(place.daemon("--table", table, "--stage", "sink"))

    lanes, other = f"{place.name}.cdcd.lanes", f"position/{place.name}.other".encode()
    _produce(place, lanes, 3, other, json.dumps({"v": NEWER}).encode())
    _expect_refusal(daemon)


@pytest.mark.timeout(300)
def test_an_older_state_is_taken_over(alone: Place, make_table: MakeTable) -> None:
    """The state that the first version left in PostgreSQL is brought up, and records whose schema
    says no version are applied with those that say one.
    """
    place = alone
    make_table("t (id int PRIMARY KEY, v int)")
    daemon = place.daemon("--table", f"{place.name}.t")
    place.execute("INSERT INTO $ks.t (id, v) VALUES (1, 1)")
    _sql(place.stack.postgres, "CREATE SCHEMA cdcd", script(SCRIPTS[0]), "SELECT 1")
    assert _sql(place.stack.postgres, "SELECT state_version FROM cdcd.meta") == 1
    done = _command(place, "reconcile", "status")
    assert done.returncode == 2
    assert f"this cdcd needs {STATE_VERSION}" in done.stderr
    daemon.start()
    wait_until(lambda: _count(place) == 1, "the row arrived")
    assert daemon.stop() == 0
    dsn = place.stack.postgres
    assert _sql(dsn, "SELECT state_version FROM cdcd.meta") == STATE_VERSION
    assert _sql(dsn, "SELECT count(*) FROM cdcd.dead_letters") == 0

    schema = _schema(place)
    assert schema.pop("cdcd.version") == ENVELOPE_VERSION == LANES_VERSION
    older_id = _register(place, schema)
    topic = f"{place.name}.{place.name}.t"
    partition, key, value = _record(place, topic)
    _produce(place, topic, partition, key, b"\0" + struct.pack(">I", older_id) + value[5:])
    daemon.start()
    wait_until(lambda: _applied(daemon) == 1, "the older record was applied")
