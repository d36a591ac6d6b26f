"""`cdcd check` against the real services: what is wrong is said, and how grave it is."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from cassandra.cluster import Cluster, Session

from tests.integration.command import Answer, Command
from tests.stack import Stack

NOTHING_LISTENS = "127.0.0.1:1"


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


@pytest.fixture
def keyspace(session: Session) -> Iterator[str]:
    """A keyspace of the test's own."""
    name = f"check{time.time_ns()}"
    session.execute(
        f"CREATE KEYSPACE {name} WITH replication ="
        " {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
    )
    yield name
    session.execute(f"DROP KEYSPACE {name}")


@pytest.fixture
def table(session: Session, keyspace: str) -> Callable[[str, str], str]:
    """Makes a table of some columns and CDC options; gives its name."""

    def make(columns: str, cdc: str) -> str:
        name = f"{keyspace}.t"
        session.execute(f"CREATE TABLE {name} ({columns}) WITH cdc = {cdc}")
        return name

    return make


def _results(answer: Answer) -> dict[str, str]:
    return {f"{c['service']} {c['check']}": c["result"] for c in answer.json["checks"]}


def _messages(answer: Answer) -> str:
    return "\n".join(f["message"] for c in answer.json["checks"] for f in c["findings"])


def test_all_is_good(cdcd: Command, table: Callable[[str, str], str]) -> None:
    """On a running stack every check of a replicable table is good, and the exit code is 0."""
    name = table("id int PRIMARY KEY, v text", "{'enabled': true}")
    answer = cdcd("check", "--table", name)
    assert answer.code == 0, answer.out
    assert "checks are good" in answer.out


def test_masks_that_cannot_be_are_found(cdcd: Command, table: Callable[[str, str], str]) -> None:
    """A masked key column is found before a worker refuses to start with it."""
    name = table("id int PRIMARY KEY, v text", "{'enabled': true}")
    cdcd.set(f'tables."{name}".columns.id', mask="drop")
    answer = cdcd("check", "--service", "scylla", "--table", name, "--json")
    assert answer.code == 1
    assert "a key cannot be masked" in _messages(answer)


def test_json_and_people_read_the_same_report(cdcd: Command) -> None:
    """--json has the checks that --verbose lists."""
    people, machine = cdcd("check", "--service", "kafka", "--verbose"), None
    machine = cdcd("check", "--service", "kafka", "--json")
    assert machine.json["passed"]
    for check in machine.json["checks"]:
        assert check["check"] in people.out


def test_one_service_is_checked_alone(cdcd: Command) -> None:
    """--service asks that service and no other."""
    cdcd.set("postgres", dsn=f"postgresql://me@{NOTHING_LISTENS}/x")
    answer = cdcd("check", "--service", "registry", "--json")
    assert answer.code == 0
    assert {c["service"] for c in answer.json["checks"]} == {"settings", "registry"}


@pytest.mark.parametrize(
    ("service", "section", "values"),
    [
        ("scylla", "scylla", {"hosts": ["127.0.0.1"], "port": 1}),
        ("kafka", "kafka", {"bootstrap_servers": NOTHING_LISTENS}),
        ("registry", "registry", {"url": f"http://{NOTHING_LISTENS}"}),
        ("postgres", "postgres", {"dsn": f"postgresql://me:hunter2@{NOTHING_LISTENS}/x"}),
    ],
)
def test_what_is_down_does_not_hide_the_others(
    cdcd: Command, service: str, section: str, values: dict[str, object]
) -> None:
    """A service that is down is named, its checks are skipped, the others finish; exit code 3."""
    cdcd.set(section, **values)
    answer = cdcd("check", "--json")
    results = _results(answer)
    assert answer.code == 3
    assert answer.err == ""
    assert results[f"{service} connection"] == "unfinished"
    others = {r for check, r in results.items() if not check.startswith(service)}
    assert others <= {"good", "found"}
    assert "hunter2" not in answer.out
    assert "bug" not in _messages(answer)


def test_wrong_password_is_refused(cdcd: Command, stack: Stack) -> None:
    """A wrong password is said without showing it, and the exit code is 2: retrying is no use."""
    url = urlsplit(stack.postgres)
    wrong = f"{url.scheme}://{url.username}:hunter2@{url.hostname}:{url.port}{url.path}"
    cdcd.set("postgres", dsn=wrong)
    answer = cdcd("check", "--service", "postgres")
    assert answer.code == 2
    assert "password authentication failed" in answer.out
    assert "hunter2" not in answer.out + answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("columns", "cdc", "said"),
    [
        ("id int PRIMARY KEY, v int", "{'enabled': false}", "has no CDC"),
        ("id int PRIMARY KEY, v int", "{'enabled': true, 'delta': 'keys'}", "'delta': 'keys'"),
        ("id int PRIMARY KEY, v int", "{'enabled': true, 'ttl': 60}", "is kept for 60 s"),
    ],
)
def test_tables_that_cannot_be_replicated_are_found(
    cdcd: Command, table: Callable[[str, str], str], columns: str, cdc: str, said: str
) -> None:
    """What is wrong with a table named outright is a finding with exit code 1."""
    name = table(columns, cdc)
    answer = cdcd("check", "--service", "scylla", "--table", name, "--json")
    assert answer.code == 1, answer.out
    assert said in _messages(answer)
    assert name in _messages(answer)


def test_unknown_table_is_found(cdcd: Command, table: Callable[[str, str], str]) -> None:
    """A table that does not exist is a finding that names the nearest one."""
    name = table("id int PRIMARY KEY", "{'enabled': true}")
    answer = cdcd("check", "--service", "scylla", "--table", f"{name}t", "--json")
    assert answer.code == 1
    assert f"{name}t does not exist" in _messages(answer)
    assert name in answer.out


def test_pattern_without_a_table_is_found(cdcd: Command, keyspace: str) -> None:
    """A pattern that means no table is a finding."""
    answer = cdcd("check", "--service", "scylla", "--table", f"{keyspace}.*", "--json")
    assert answer.code == 1
    assert "no table with CDC" in _messages(answer)


def test_more_copies_than_brokers_are_found(cdcd: Command) -> None:
    """A replication factor that the brokers cannot give is a finding."""
    cdcd.set("kafka", topic_replication_factor=30, topic_min_insync_replicas=2)
    answer = cdcd("check", "--service", "kafka", "--json")
    assert answer.code == 1
    assert "topic_replication_factor is 30" in _messages(answer)


def test_missing_right_is_found(cdcd: Command, stack: Stack) -> None:
    """A target schema that this user may not write to is a finding with the GRANT to make."""
    cdcd.set("postgres", target_schema="pg_catalog", dsn=stack.postgres)
    answer = cdcd("check", "--service", "postgres", "--json")
    assert answer.code == 1
    assert "may not make tables in schema pg_catalog" in _messages(answer)


def test_misspelt_variable_is_found(cdcd: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that looks like a setting and is none is a finding."""
    monkeypatch.setenv("CDCD_SCYLA__PORT", "1")
    answer = cdcd("check", "--service", "registry", "--json")
    assert answer.code == 1
    assert "CDCD_SCYLA__PORT" in _messages(answer)


async def test_production_asks_for_more(
    cdcd: Command, table: Callable[[str, str], str], connection: "asyncpg.Connection[Any]"
) -> None:
    """--production finds what a local stack lacks and who else may write the target, finishes every
    check, and lists the rest.
    """
    name = table("id int PRIMARY KEY, v text", "{'enabled': true}")
    await connection.execute(f'CREATE SCHEMA "{cdcd.name}"')
    try:
        await connection.execute(f'CREATE TABLE "{cdcd.name}".t (id int)')
        await connection.execute(f'GRANT UPDATE ON "{cdcd.name}".t TO PUBLIC')
        answer = await asyncio.to_thread(cdcd, "check", "--production", "--table", name, "--json")
    finally:
        await connection.execute(f'DROP SCHEMA "{cdcd.name}" CASCADE')
    results = _results(answer)
    assert answer.code == 1
    assert set(results.values()) == {"good", "found"}
    for check in ("links", "passwords"):
        assert results[f"settings {check}"] == "found"
    found = _messages(answer)
    for said in (
        f"keyspace {name.partition('.')[0]} has 1 copies",
        "topic __transaction_state has 1 of 3 copies",
        "this connection to PostgreSQL is not encrypted",
        f"others may write tables of schema {cdcd.name}: PUBLIC",
    ):
        assert said in found
    assert answer.json["to_do"]
