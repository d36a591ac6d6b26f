"""A stack whose servers speak TLS with client certificates, and what else a test of that needs."""

import asyncio
import base64
import json
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from tests.http_server import Answering, served
from tests.stack import ROOT, Stack

_STACK = [sys.executable, str(ROOT / "deploy" / "local" / "stack.py")]


class Front:
    """TLS with client certificates before a server that speaks plain HTTP."""

    def __init__(self, url: str, certificates: Path, name: str) -> None:
        self._to = urlsplit(url)
        self._files = certificates / f"{name}.pem", certificates / f"{name}.key"
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_verify_locations(certificates / "ca.pem")
        self._context.verify_mode = ssl.CERT_REQUIRED
        self.reload()
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._listening.wait(30)
        self.url = f"https://127.0.0.1:{self._port}{self._to.path}"

    def reload(self) -> None:
        """Show the certificate that is in the files now."""
        self._context.load_cert_chain(*self._files)

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, ssl=self._context)
        self._port: int = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._ended.wait()
        server.close()

    async def _pass_on(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        ends = [near_out]
        try:
            far_in, far_out = await asyncio.open_connection(self._to.hostname, self._to.port)
            ends.append(far_out)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(near_in, far_out))
                group.create_task(_pump(far_in, near_out))
        except OSError:
            pass  # either side may go whenever it likes
        finally:
            for end in ends:
                if not end.is_closing():
                    end.transport.abort()


async def _pump(one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await one.read(65536):
            other.write(data)
            await other.drain()
    other.close()


@dataclass(frozen=True)
class Secured:
    """The stack by its plain ports, and where its servers want certificates."""

    stack: Stack
    certificates: Path
    kafka: str
    kafka_login: str
    registry: Front

    def issue(self, *names: str) -> None:
        """Make certificates anew."""
        given = [argument for name in names for argument in ("--name", name)]
        command = [sys.executable, "-m", "cdcd", "certs", str(self.certificates), *given]
        subprocess.run(command, check=True, capture_output=True)

    def files(self, name: str = "cdcd") -> dict[str, Any]:
        """Settings of a link that shows the certificate of a name."""
        return {
            "enabled": True,
            "ca_file": str(self.certificates / "ca.pem"),
            "cert_file": str(self.certificates / f"{name}.pem"),
            "key_file": str(self.certificates / f"{name}.key"),
        }

    def client(self) -> ssl.SSLContext:
        """For asking the daemon's port."""
        context = ssl.create_default_context(cafile=self.certificates / "ca.pem")
        context.load_cert_chain(self.certificates / "cdcd.pem", self.certificates / "cdcd.key")
        return context

    def settings(self) -> dict[str, dict[str, object]]:
        """Every link with TLS and a client certificate."""
        address = urlsplit(self.stack.postgres)
        place = f"{address.hostname}:{address.port}{address.path}"
        user = f"{address.username}:{address.password}@"
        return {
            "scylla.tls": self.files(),
            "kafka": {"bootstrap_servers": self.kafka},
            "kafka.tls": self.files(),
            "registry": {"url": self.registry.url},
            "registry.tls": self.files(),
            "postgres": {"dsn": f"postgresql://{user}{place}"},
            "postgres.tls": self.files(),
        }

    async def execute(self, *statements: str) -> list[Any]:
        """Statements by PostgreSQL's administrator; gives the last one's rows."""
        connection = await asyncpg.connect(self.stack.postgres_admin, ssl=False)
        try:
            rows: list[Any] = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    async def renew_postgres(self) -> None:
        """Give PostgreSQL the certificate that is in the files now."""
        (row,) = await self.execute("SELECT current_setting('data_directory') AS folder")
        for name, copy in (("postgres.key", "server.key"), ("postgres.pem", "server.pem")):
            # In place: the file stays its owner's.
            (Path(row["folder"]) / copy).write_bytes((self.certificates / name).read_bytes())
        await self.execute("SELECT pg_reload_conf()")


@contextmanager
def secured_stack(folder: Path) -> Iterator[Secured]:
    """The stack, in a folder of its own, gone in the end."""
    place = ["--dir", str(folder)]
    subprocess.run([*_STACK, "up", "--tls", *place], check=True, stdout=sys.stderr)
    try:
        found = json.loads((folder / "stack.json").read_text())
        stack = Stack(
            scylla_host=found["scylla"]["host"],
            scylla_port=found["scylla"]["port"],
            scylla_login=None,
            kafka=found["kafka"],
            registry=found["registry"],
            postgres=found["postgres"],
            postgres_admin=found["postgres_admin"],
        )
        certificates = folder.parent / "certificates"
        # A copy, which tests make anew; Kafka and Cassandra read theirs at their start.
        shutil.copytree(found["tls"]["folder"], certificates)
        front = Front(stack.registry, certificates, "registry")
        try:
            tls = found["tls"]
            yield Secured(stack, certificates, tls["kafka"], tls["kafka_login"], front)
        finally:
            front.close()
    finally:
        subprocess.run([*_STACK, "down", *place], check=True, stdout=sys.stderr)


@contextmanager
def token_server(client_id: str, client_secret: str) -> Iterator[str]:
    """A small server of OpenID Connect's client credentials, for one client; gives its URL.

    Tokens have no signature, which is what the local stack's Kafka takes.
    """
    expected = "Basic " + base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()

    class Tokens(Answering):
        def posted(self, body: bytes) -> None:
            asked = urllib.parse.parse_qs(body.decode())
            assert asked["grant_type"] == ["client_credentials"]
            if self.headers["Authorization"] != expected:
                self.answer(401, {"error": "invalid_client"})
                return
            now = time.time_ns() // 10**9
            claims = {"sub": client_id, "iat": now, "exp": now + 300}
            token = ".".join([_part({"alg": "none"}), _part(claims), ""])
            self.answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 300})

    with served(Tokens) as url:
        yield f"{url}/token"


def _part(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
