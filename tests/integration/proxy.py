"""A TCP proxy that a test can cut, to be the network between a client and a server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Proxy:
    """Forwards a port to a server until `cut`; then connections die and new ones are refused."""

    def __init__(self, host: str, port: int) -> None:
        self._server_address = host, port
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self.port = 0

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
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pump(near, on))
                tasks.create_task(_pump(far, back))
        finally:
            for writer in (back, on):
                self._writers.discard(writer)
                writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
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
