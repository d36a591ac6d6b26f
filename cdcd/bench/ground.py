"""Where a benchmark takes place: a table, a pipeline and a worker of its own."""

import asyncio
import os
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdcd.bench.work import COLUMNS
from cdcd.config.settings import Settings
from cdcd.drill.belongings import make, take_away
from cdcd.drill.place import Place
from cdcd.drill.worker import Worker
from cdcd.drill.writer import Writer
from cdcd.model.errors import CdcdError, Fatal
from cdcd.sink.pool import Pool
from cdcd.source.session import Session
from cdcd.transport.registry import Registry

NAME = "cdcd_bench"
LOOK_SECONDS = 0.01
READY_SECONDS_MAX = 120.0
# How long a word of the worker is waited for before it is looked whether it is there.
NOTICE_SECONDS = 0.2
# A worker that has brought nothing for so long will bring nothing.
STILL_SECONDS_MAX = 120.0

_NOTICES = "notices"
_READY = b"READY=1"

# Says what is going on, and how much of it is done where that is known.
Tell = Callable[[str, float | None], None]


def new_place() -> Place:
    """Names that no benchmark had before."""
    table = f"work_{secrets.token_hex(3)}"
    return Place(f"{NAME}_{table}", NAME, table, NAME)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a benchmark works with."""

    place: Place
    session: Session
    pool: Pool
    writer: Writer
    worker: Worker
    notices: socket.socket

    async def ready(self) -> float:
        """When the worker's stages run, in the loop's seconds. Raises Fatal when they never do."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + READY_SECONDS_MAX
        while loop.time() < ends:
            self.worker.require_running()
            with suppress(TimeoutError):
                async with asyncio.timeout(NOTICE_SECONDS):
                    if _READY in (await loop.sock_recv(self.notices, 4096)).splitlines():
                        return loop.time()
        raise Fatal(f"not ready within {READY_SECONDS_MAX:.0f} s", "see `cdcd check`")

    async def read(self, query: str, *parameters: object) -> list[Any]:
        """Rows of the target, `{t}` in the query; none while it is not there.

        Raises Fatal when the worker has ended.
        """
        self.worker.require_running()
        target = f'"{self.place.schema}"."{self.place.table}"'
        with suppress(CdcdError):
            async with self.pool.connection() as connection:
                return list(await connection.fetch(query.format(t=target), *parameters))
        return []

    async def until(self, query: str, enough: int, *parameters: object) -> float:
        """When the query's only number was enough, in the loop's seconds. Raises Fatal when it
        stands still.
        """
        loop = asyncio.get_running_loop()
        last, since = -1, loop.time()
        while last < enough:
            rows = await self.read(query, *parameters)
            count = int(rows[0][0]) if rows else 0
            if count != last:
                last, since = count, loop.time()
            if loop.time() - since > STILL_SECONDS_MAX:
                raise Fatal(f"nothing came for {STILL_SECONDS_MAX:.0f} s", "see `cdcd check`")
            await asyncio.sleep(LOOK_SECONDS)
        return loop.time()

    def cpu_seconds(self) -> float | None:
        """Processor time of the worker until now; None where the system does not tell."""
        with suppress(OSError):
            stat = Path(f"/proc/{self.worker.pid}/stat").read_text()
            fields = stat.rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return None

    def peak_memory(self) -> int | None:
        """The most memory that the worker had, in bytes; None where the system does not tell."""
        with suppress(OSError):
            for line in Path(f"/proc/{self.worker.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None


@asynccontextmanager
async def prepared(
    settings: Settings, place: Place, file: Path | None, tell: Tell, *, keep: bool
) -> AsyncIterator[Ground]:
    """Make the table, and take everything away at the end unless it is to be kept."""
    async with (
        Session.open(settings.scylla) as session,
        Pool(settings.postgres, "cdcd bench") as pool,
        Registry(settings.registry) as registry,
    ):
        made = await make(session, place, COLUMNS, tablets=False)
        try:
            with _worker(place, file) as (worker, notices):
                writer = Writer(session, place.full_name, 1)
                yield Ground(place, session, pool, writer, worker, notices)
        finally:
            if not keep:
                tell("taking away what was made", None)
                kafka = (settings.kafka, registry)
                await take_away(place, session, pool, kafka, keyspace_too=made)


@contextmanager
def _worker(place: Place, file: Path | None) -> Iterator[tuple[Worker, socket.socket]]:
    """A worker that is not started yet, and where it will say that it is ready, as to systemd."""
    with (
        tempfile.TemporaryDirectory(prefix="cdcd-bench-") as name,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices,
    ):
        folder = Path(name)
        notices.bind(str(folder / _NOTICES))
        notices.setblocking(False)
        worker = Worker(_arguments(place, file), _environment(place, folder), folder / "worker.log")
        try:
            yield worker, notices
        finally:
            worker.kill()


def _arguments(place: Place, file: Path | None) -> tuple[str, ...]:
    config = ("-c", str(file.resolve())) if file else ()
    run = ("run", "--name", place.pipeline, "--instance", "bench", "--http-port", "0")
    table = ("--table", place.full_name, "--start", "log")
    return (*config, *run, *table)


def _environment(place: Place, folder: Path) -> dict[str, str]:
    return {
        "CDCD_POSTGRES__TARGET_SCHEMA": place.schema,
        "TMPDIR": str(folder),
        "NOTIFY_SOCKET": str(folder / _NOTICES),
    }
