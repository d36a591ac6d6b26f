"""`cdcd plan` against the real services: it says what a run would make, and makes nothing."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from cassandra.cluster import Cluster, Session
from confluent_kafka.admin import AdminClient

from tests.integration.command import Command
from tests.stack import Stack


@pytest.fixture
def cdcd(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line."""
    return Command(stack, tmp_path, capsys)


@pytest.fixture(scope="module")
def session(stack: Stack) -> Iterator[Session]:
    """A connection to make tables with."""
    cluster = Cluster([stack.scylla_host], port=stack.scylla_port)
    yield cluster.connect()
    cluster.shutdown()


@pytest.fixture(params=["true", "false"], ids=["tablets", "vnodes"])
def keyspace(session: Session, request: pytest.FixtureRequest) -> Iterator[str]:
    """A keyspace of either kind."""
    name = f"plan{time.time_ns()}"
    session.execute(
        f"CREATE KEYSPACE {name} WITH replication ="
        " {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
        f" AND tablets = {{'enabled': {request.param}}}"
    )
    yield name
    session.execute(f"DROP KEYSPACE {name}")


def test_plan_says_what_is_to_be_made(cdcd: Command, session: Session, keyspace: str) -> None:
    """Types, DDL, topics, subjects and the size of the log are told for a table that was never
    replicated; a table that cannot be is refused with a reason, and one without CDC passed over.
    """
    cdc = "cdc = {'enabled': true}"
    session.execute(
        f"CREATE TABLE {keyspace}.t (p int, c timeuuid, v decimal, s text static, m map<int, text>,"
        f" PRIMARY KEY (p, c)) WITH {cdc}"
    )
    session.execute(f"CREATE TABLE {keyspace}.plain (p int PRIMARY KEY)")
    session.execute(
        f"CREATE TABLE {keyspace}.keys (p int PRIMARY KEY)"
        " WITH cdc = {'enabled': true, 'delta': 'keys'}"
    )
    for n in range(7):
        session.execute(f"INSERT INTO {keyspace}.t (p, c) VALUES ({n}, now())")
    answer = cdcd("plan", "--table", f"{keyspace}.*", "--name", cdcd.name, "--json")
    assert answer.code == 1, answer.err
    found = answer.json
    (table,) = found["tables"]
    assert found["is_new"]
    assert found["notes"] == [f"keyspace {keyspace}: writes at any level are read at once"]
    assert table["table"] == f"{keyspace}.t"
    assert {c["column"]: c["postgres"] for c in table["columns"]} == {
        "p": "integer",
        "c": "uuid",
        "v": "numeric",
        "s": "text",
        "m": "jsonb",
    }
    assert sum(ddl.startswith("CREATE TABLE") for ddl in table["ddl"]) == 2
    assert table["log"]["counted"] == 7
    assert table["log"]["oldest_ms"] <= time.time_ns() // 1_000_000
    topic = f"{cdcd.name}.{keyspace}.t"
    assert found["topics"].keys() == {topic, f"{cdcd.name}.cdcd.lanes"}
    assert found["subjects"] == [f"{topic}-key", f"{topic}-value"]
    assert [r["table"] for r in found["refused"]] == [f"{keyspace}.keys"]
    assert [r["table"] for r in found["passed_over"]] == [f"{keyspace}.plain"]


def test_plan_says_what_is_promised_less(cdcd: Command, session: Session, keyspace: str) -> None:
    """The notes of a table name the key columns of which values are refused, and an audit that
    comes earlier than wanted because the log forgets.
    """
    session.execute(
        f"CREATE TABLE {keyspace}.t (p time PRIMARY KEY)"
        " WITH cdc = {'enabled': true, 'ttl': 7200}"
    )
    answer = cdcd("plan", "--table", f"{keyspace}.t", "--name", cdcd.name, "--json")
    assert answer.code == 0, answer.err
    (table,) = answer.json["tables"]
    of_key, of_audit = table["notes"]
    assert 'key column "p"' in of_key
    assert "audited after 6000 s, not 14400 s" in of_audit


def test_plan_changes_nothing(cdcd: Command, session: Session, keyspace: str, stack: Stack) -> None:
    """After a plan for people there is no topic and no schema of the pipeline."""
    session.execute(f"CREATE TABLE {keyspace}.t (p int PRIMARY KEY) WITH cdc = {{'enabled': true}}")
    answer = cdcd("plan", "--table", f"{keyspace}.t", "--name", cdcd.name)
    assert answer.code == 0, answer.err
    assert "CREATE TABLE" in answer.out
    topics = AdminClient({"bootstrap.servers": stack.kafka}).list_topics(timeout=10).topics
    assert not [t for t in topics if t.startswith(cdcd.name)]

    async def schema() -> object:
        connection = await asyncpg.connect(stack.postgres)
        try:
            return await connection.fetchval("SELECT to_regnamespace($1)", f'"{cdcd.name}"')
        finally:
            await connection.close()

    assert asyncio.run(schema()) is None
