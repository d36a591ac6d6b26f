"""PgBouncer in transaction mode, as Debian brings it: few sessions for many connections."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

# Debian puts servers where only root looks for programs.
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

_SETTINGS = """
[databases]
{database} = host={host} port={port} dbname={database} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 200
server_login_retry = 1
logfile = {folder}/log
pidfile = {folder}/pid
"""


class Bouncer:
    """A running PgBouncer; `dsn` leads through it."""

    def __init__(self, postgres: str, folder: Path, sessions: int) -> None:
        server = urlsplit(postgres)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.database = server.path.lstrip("/")
        self.dsn = f"postgresql://{server.username}@127.0.0.1:{self.port}/{self.database}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "ini").write_text(
            _SETTINGS.format(
                database=self.database,
                host=server.hostname,
                port=server.port,
                user=server.username,
                password=server.password,
                listen=self.port,
                sessions=sessions,
                folder=folder,
            )
        )

    async def start(self) -> None:
        """Return when it listens."""
        process = self._process = self._spawn()
        async with asyncio.timeout(20):
            while not await self._answers():
                assert process.poll() is None, (self._folder / "log").read_text()
                await asyncio.sleep(0.05)

    def _spawn(self) -> subprocess.Popen[bytes]:
        assert PGBOUNCER is not None
        # It refuses to run as root.
        user = "nobody" if os.geteuid() == 0 else None
        return subprocess.Popen(
            [PGBOUNCER, "-q", str(self._folder / "ini")],
            user=user,
            extra_groups=[] if user else None,
            stdin=subprocess.DEVNULL,
        )

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def kill(self) -> None:
        """End it at once, with all its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@asynccontextmanager
async def bouncing(postgres: str, sessions: int = 2) -> AsyncIterator[Bouncer]:
    """A PgBouncer before the server, with so many sessions for all of its connections."""
    with tempfile.TemporaryDirectory(prefix="cdcd-pgbouncer-", dir="/tmp") as name:
        folder = Path(name)
        made = Bouncer(postgres, folder, sessions)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (folder, folder / "ini"):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        (folder / "ini").chmod(0o600)
        await made.start()
        try:
            yield made
        finally:
            made.kill()
