"""A real browser without a window, driven over its DevTools protocol."""

import base64
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium")
# It asks nobody but the page, and runs as root too.
FLAGS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
--disable-background-networking --disable-component-update --disable-sync --hide-scrollbars
--remote-debugging-port=0""".split()


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        # What the page wrote to its console, and what it was not allowed to do.
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """The answer to one DevTools call."""
        self._number += 1
        number = self._number
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def _next(self) -> Any:
        message = await self._socket.receive_json(timeout=60)
        if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
            self.complaints.append(str(message["params"]))
        return message

    async def open(self, url: str, width: int, height: int) -> None:
        """Show a page in a window of this size, and wait until it is loaded."""
        for domain in ("Log", "Runtime", "Page"):
            await self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Page.navigate", url=url)
        while (await self._next()).get("method") != "Page.loadEventFired":
            pass

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; it is waited for when it is a promise."""
        done = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        look = f"if ({condition}) {{ clearInterval(looking); resolve(); }}"
        await self.value(
            f"new Promise(resolve => {{const looking = setInterval(() => {{{look}}}, 50)}})"
        )

    async def picture(self) -> bytes:
        """What is to be seen, as PNG."""
        done = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(done["data"])


@asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Page]:
    """A browser with an empty profile, gone in the end."""
    process = _begin(profile)
    try:
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{_port(profile)}/json") as answer:
                pages = [p for p in await answer.json() if p["type"] == "page"]
            async with client.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as ws:
                yield Page(ws)
    finally:
        process.kill()
        process.wait()


def _begin(profile: Path) -> "subprocess.Popen[bytes]":
    assert CHROMIUM is not None
    profile.mkdir()
    with (profile / "log").open("wb") as out:
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        return subprocess.Popen(command, stdout=out, stderr=out)


def _port(profile: Path) -> int:
    """Where it listens, which it writes to a file when it does."""
    file = profile / "DevToolsActivePort"
    ends = time.monotonic() + 60
    while not file.exists() or "\n" not in file.read_text():
        assert time.monotonic() < ends, (profile / "log").read_text()
        time.sleep(0.05)
    return int(file.read_text().splitlines()[0])
