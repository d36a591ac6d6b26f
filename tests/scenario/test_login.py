"""ScyllaDB with logins: the right password works, a wrong one is said to be wrong."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until
from tests.stack import ROOT, Stack

CONFIGURATION = 2


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, str, str]]:
    """A stack of its own whose ScyllaDB asks for a password; with user and password."""
    folder = tmp_path_factory.mktemp("guarded")
    command = [sys.executable, str(ROOT / "deploy" / "local" / "stack.py")]
    place = ["--dir", str(folder / "stack")]
    subprocess.run([*command, "up", "--auth", *place], check=True, stdout=sys.stderr)
    try:
        found = json.loads((folder / "stack" / "stack.json").read_text())
        scylla = found["scylla"]
        stack = Stack(
            scylla_host=scylla["host"],
            scylla_port=scylla["port"],
            scylla_login=(scylla["username"], scylla["password"]),
            kafka=found["kafka"],
            registry=found["registry"],
            postgres=found["postgres"],
            postgres_admin=found["postgres_admin"],
        )
        yield stack, scylla["username"], scylla["password"]
    finally:
        subprocess.run([*command, "down", *place], check=True, stdout=sys.stderr)


@pytest.fixture
def place(guarded: tuple[Stack, str, str], tmp_path: Path) -> Iterator[Place]:
    """A place on the guarded stack, with the right login."""
    stack, username, password = guarded
    cluster = Cluster(
        [stack.scylla_host],
        port=stack.scylla_port,
        protocol_version=4,
        auth_provider=PlainTextAuthProvider(username, password),
    )
    here = Place(stack, cluster.connect(), tmp_path, "guarded")
    here.settings["scylla"] = {"username": username, "password": password}
    here.begin()
    here.execute("CREATE TABLE $ks.t (id int PRIMARY KEY, v int) WITH cdc = {'enabled': true}")
    here.execute("INSERT INTO $ks.t (id, v) VALUES (1, 2)")
    yield here
    here.end()
    cluster.shutdown()


@pytest.mark.timeout(240)
def test_passwords(place: Place) -> None:
    """A wrong password ends the start with the code for settings and is not printed; with the
    right one the same table is replicated.
    """
    place.settings["scylla"]["password"] = "opensesame"  # noqa: S105  a wrong one
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    assert daemon.exit_code == CONFIGURATION
    assert "user or password is wrong" in daemon.output.strip().splitlines()[-1]
    assert "opensesame" not in daemon.output
    assert "Traceback" not in daemon.output
    assert place.stack.scylla_login is not None
    place.settings["scylla"]["password"] = place.stack.scylla_login[1]
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    wait_until(
        lambda: checker.target_rows(place.stack, place.schema, "t", ("id",)) != {}, "the row"
    )
