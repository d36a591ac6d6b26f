"""A real server of Vault's API for tests: OpenBao in development mode, on a free port."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hvac
import requests

from tests.http_server import Answering, served

BAO = shutil.which("bao", path=str(Path(sys.executable).parent)) or shutil.which("bao")
ROOT_TOKEN = "root"  # noqa: S105  of a server that lives for one test
POLICY = """
path "secret/data/*" { capabilities = ["read"] }
path "database/creds/*" { capabilities = ["read"] }
"""


class Server:
    """The server; it can be stopped and started, which makes it forget everything."""

    def __init__(self, folder: Path, certificates: Path | None = None) -> None:
        """With certificates it has a second port, for whoever has one by their authority."""
        self._folder = folder
        self._certificates = certificates
        self._port = _free_ports()
        self._tls_port = _free_ports()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def tls_url(self) -> str:
        """The address of the port for clients with certificates."""
        return f"https://127.0.0.1:{self._tls_port}"

    def _more(self) -> list[str]:
        if self._certificates is None:
            return []
        listener = {
            "address": f"127.0.0.1:{self._tls_port}",
            "tls_cert_file": str(self._certificates / "vault.pem"),
            "tls_key_file": str(self._certificates / "vault.key"),
            "tls_client_ca_file": str(self._certificates / "ca.pem"),
            "tls_require_and_verify_client_cert": True,
        }
        file = self._folder / "listener.json"
        file.write_text(json.dumps({"listener": [{"tcp": listener}]}))
        return [f"-config={file}"]

    def start(self) -> None:
        """Start it, and wait until it is unsealed and its KV engine answers.

        Development mode makes the engine behind the unsealing, which refuses for a moment.
        """
        assert BAO is not None
        with (self._folder / "bao.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    BAO,
                    *("server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}"),
                    f"-dev-listen-address=127.0.0.1:{self._port}",
                    *self._more(),
                ],
                stdout=log,
                stderr=log,
                env={"HOME": str(self._folder), "PATH": "/usr/bin:/bin"},
            )
        ends = time.monotonic() + 60
        while True:
            with suppress(requests.RequestException, hvac.exceptions.VaultError):
                # Refused while sealed, too.
                self.client().secrets.kv.v2.read_configuration(mount_point="secret")
                return
            assert time.monotonic() < ends, (self._folder / "bao.log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def client(self) -> Any:
        """A client that may do everything."""
        return hvac.Client(self.url, token=ROOT_TOKEN)

    def put(self, path: str, **fields: str) -> None:
        """Write a secret into the KV engine at `secret/`."""
        self.client().secrets.kv.v2.create_or_update_secret(path, fields, mount_point="secret")

    def make_policy(self) -> str:
        """A policy that may read what cdcd reads; gives its name."""
        self.client().sys.create_or_update_policy("cdcd", POLICY)
        return "cdcd"

    def make_approle(self, ttl: str = "1h") -> tuple[str, str]:
        """An AppRole; gives role id and secret id."""
        client = self.client()
        client.sys.enable_auth_method("approle")
        policy = self.make_policy()
        role = client.auth.approle
        role.create_or_update_approle("cdcd", token_policies=[policy], token_ttl=ttl)
        role_id = role.read_role_id("cdcd")["data"]["role_id"]
        return role_id, role.generate_secret_id("cdcd")["data"]["secret_id"]

    def make_database_role(self, admin_dsn: str, ttl: str, max_ttl: str, role: str) -> None:
        """Dynamic logins of PostgreSQL that act as a role, under `database/creds/cdcd`."""
        client, place = self.client(), urlsplit(admin_dsn)
        client.sys.enable_secrets_engine("database")
        client.secrets.database.configure(
            "warehouse",
            plugin_name="postgresql-database-plugin",
            allowed_roles="cdcd",
            connection_url=f"postgresql://{{{{username}}}}:{{{{password}}}}@{place.hostname}:"
            f"{place.port}{place.path}?sslmode=disable",
            username=place.username,
            password=place.password,
        )
        client.secrets.database.create_role(
            "cdcd",
            db_name="warehouse",
            creation_statements=[
                "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'",
                f'GRANT {role} TO "{{{{name}}}}"',
                # What a login makes is the role's: one that owns something cannot be dropped.
                f'ALTER ROLE "{{{{name}}}}" SET role = {role}',
            ],
            revocation_statements=[
                # As an operator would: whoever still uses it is thrown out.
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'",
                'DROP ROLE IF EXISTS "{{name}}"',
            ],
            default_ttl=ttl,
            max_ttl=max_ttl,
        )


def _free_ports() -> int:
    """A port that is free, and so is the one behind it, which the server takes too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                second.bind(("127.0.0.1", port + 1))
                return port


@contextmanager
def token_reviews(jwt: str, account: str) -> Iterator[str]:
    """A small server of Kubernetes' TokenReview API, which knows one service account's token."""

    class Reviews(Answering):
        def posted(self, body: bytes) -> None:
            review = json.loads(body)
            known = review["spec"]["token"] == jwt
            user = {"username": f"system:serviceaccount:{account}", "uid": "1"} if known else {}
            self.answer(201, {**review, "status": {"authenticated": known, "user": user}})

    with served(Reviews) as url:
        yield url
