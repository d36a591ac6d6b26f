"""The daemon as its users run it: a process of its own, started, killed and asked over HTTP."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

WAIT_SECONDS = 60


def wait_until(
    condition: Callable[[], bool],
    what: str,
    seconds: float = WAIT_SECONDS,
    every_seconds: float = 0.05,
) -> None:
    """Ask again until the condition holds; fail the test with `what` when it never does."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"waited {seconds} s and it did not happen: {what}"
        time.sleep(every_seconds)


class Daemon:
    """One worker; it can be started again after its end."""

    def __init__(self, config: Path, folder: Path, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "cdcd", "-c", str(config), *arguments]
        self._log = folder / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None
        # For a port that speaks TLS.
        self.tls: ssl.SSLContext | None = None

    def start(self) -> None:
        """Start it; what it logs is added to the same file."""
        self._log.touch()
        self._read_from = self._log.stat().st_size
        with self._log.open("ab") as log:
            # A group of its own: a signal to the test's terminal is not meant for it.
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True, env=os.environ
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal and, unless it only stops the process for a while, wait for its end."""
        assert self._process is not None
        self._process.send_signal(number)
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            self._process.wait(WAIT_SECONDS)

    def published(self) -> int:
        """How many changes it has published since its start, by its own account."""
        _, body = self.get("/status")
        return sum(table["published"] for table in body["tables"]) if body else 0

    def kill(self) -> None:
        """Kill -9."""
        self.signal(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.exit_code

    def end(self) -> None:
        """Whatever state it is in, it is gone afterwards."""
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
            self.kill()

    @property
    def exit_code(self) -> int:
        """The exit code, waited for."""
        assert self._process is not None
        return self._process.wait(WAIT_SECONDS)

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """All that it printed since its first start."""
        return self._log.read_text()

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of its port; status 0 while it does not listen."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=5, context=self.tls) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, None

    def settled_seconds(self) -> float:
        """Until when every settling pass has read the log again, in seconds since 1970; 0 while
        that is not known.
        """
        with suppress(OSError), urllib.request.urlopen(f"{self.url}/metrics") as answer:
            found = re.findall(
                r"^cdcd_settled_timestamp_seconds\{.*\} (.*)$", answer.read().decode(), re.MULTILINE
            )
            return min(map(float, found), default=0.0)
        return 0.0

    @property
    def url(self) -> str:
        """Where it listens; a port that nobody has while it does not."""
        with self._log.open() as log:
            log.seek(self._read_from)
            found = re.search(r"https?://127\.0\.0\.1:\d+", log.read())
        return found[0] if found else "http://127.0.0.1:9"

    def wait_ready(self) -> None:
        """Wait until /readyz answers 200."""
        wait_until(lambda: self.get("/readyz")[0] == 200, f"ready; its log: {self.output[-2000:]}")
