"""A TCP proxy that a test can cut, to be the network between a client and a server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Forwards a port to a server until `cut`; then connections die and new ones are refused."""

    def __init__(self, host: str, port: int) -> None:
        self._server_address = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0
        # How many commits to come are lost, with their connections: on the way to the server, or
        # where `commits_arrive` on the way back.
        self.commits_to_lose = 0
        self.commits_arrive = True

    async def heal(self) -> None:
        """Let connections through."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Break all connections and take no more."""
        if self._listener is not None:
            self._listener.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.05)

    async def _serve(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            far, on = await asyncio.open_connection(*self._server_address)
        except OSError:
            back.transport.abort()
            return
        self._writers |= {back, on}
        lost = asyncio.Event()

        def asks(data: bytes) -> bool:
            if self.commits_to_lose and b"COMMIT" in data:
                self.commits_to_lose -= 1
                lost.set()
            return self.commits_arrive or not lost.is_set()

        async def ask() -> None:
            await _pump(near, on, asks)
            if lost.is_set():
                back.transport.abort()

        async def answer() -> None:
            await _pump(far, back, lambda _: not lost.is_set())
            if lost.is_set():
                back.transport.abort()

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(ask())
                tasks.create_task(answer())
        finally:
            for writer in (back, on):
                self._writers.discard(writer)
                writer.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passes: Callable[[bytes], bool]
) -> None:
    """Forward until the end, or until something may not pass."""
    with suppress(OSError):
        while (data := await reader.read(65_536)) and passes(data):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy_to(host: str, port: int) -> AsyncIterator[Proxy]:
    """A proxy that lets through."""
    made = Proxy(host, port)
    await made.heal()
    try:
        yield made
    finally:
        await made.cut()
