"""The network between a worker and one server: a TCP proxy that can be disturbed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum

LATENCY_SECONDS = 0.1
_CHUNK_BYTES = 65_536


class Trouble(Enum):
    """What a cable may do; the values are for people."""

    CUT = "cut: connections break, and new ones are refused"
    BLACK_HOLE = "black hole: nothing passes, and nobody is told"
    HALF_OPEN = "half-open: the server's ends are gone, the worker's stay open and silent"
    LATENCY = "latency: 0.1 s each way"


@dataclass(eq=False)
class _Link:
    """One connection: both ends, and whether what comes in is thrown away."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    is_dead: bool = False


class Cable:
    """Forwards a port of its own to a server."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._links: set[_Link] = set()
        self._trouble: Trouble | None = None
        self._passes = asyncio.Event()
        self._passes.set()
        self.port = 0

    def disturb(self, trouble: Trouble) -> None:
        """Begin it."""
        self._trouble = trouble
        if trouble in (Trouble.BLACK_HOLE, Trouble.HALF_OPEN):
            self._passes.clear()
        for link in self._links:
            if trouble is Trouble.CUT:
                link.near.transport.abort()
                link.far.transport.abort()
            elif trouble is Trouble.HALF_OPEN:
                link.is_dead = True
                link.far.transport.abort()

    def heal(self) -> None:
        """End it. What a black hole held back arrives now; what is half-open stays so."""
        self._trouble = None
        self._passes.set()

    async def serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        if self._trouble is Trouble.CUT:
            back.transport.abort()
            return
        try:
            await self._passes.wait()
            far, on = await asyncio.open_connection(*self._to)
        except OSError:
            back.transport.abort()
            return
        link = _Link(back, on)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(near, on, link))
                tasks.create_task(self._pump(far, back, link))
        finally:
            self._links.discard(link)
            back.transport.abort()
            on.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._passes.wait()
                if self._trouble is Trouble.LATENCY:
                    await asyncio.sleep(LATENCY_SECONDS)
                if not link.is_dead:
                    writer.write(data)
                    await writer.drain()
        if not link.is_dead or writer is link.far:
            link.near.transport.abort()
            link.far.transport.abort()


@asynccontextmanager
async def cable(host: str, port: int, listen: int = 0) -> AsyncIterator[Cable]:
    """A cable to a server; it listens on a free port unless one is given."""
    made = Cable(host, port)
    listener = await asyncio.start_server(made.serve, "127.0.0.1", listen)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.heal()
        made.disturb(Trouble.CUT)
        listener.close()
