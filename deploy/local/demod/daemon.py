"""The daemon as the demo runs it: one `cdcd run`, known to later commands by a note in `.local`.

Standard library only: `make down` stops a daemon that was kept, whatever became of `.venv`.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stackd import procs
from stackd.state import write_private

from demod.errors import DemoError
from demod.places import KEYSPACE, LOCAL, PIPELINE

LOG = LOCAL / "logs" / "daemon.log"
_NOTE = LOCAL / "demo.json"
_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.1


class Daemon:
    """A `cdcd run` that this demo, or one before it, has started."""

    def __init__(self, proc: procs.Proc, log_from: int) -> None:
        self._proc = proc
        self._log_from = log_from

    @classmethod
    def start(cls, config: Path, environment: dict[str, str]) -> Daemon:
        """Start it on every table of the sample's keyspace."""
        log_from = LOG.stat().st_size if LOG.exists() else 0
        command = [
            *(str(Path(sys.executable).with_name("cdcd")), "-c", str(config), "run"),
            *("--table", f"{KEYSPACE}.*", "--name", PIPELINE, "--instance", "demo"),
            *("--http-port", "0"),
        ]
        daemon = cls(procs.start(command, LOG, env=environment), log_from)
        write_private(_NOTE, json.dumps({"log_from": log_from, **asdict(daemon._proc)}) + "\n")
        return daemon

    @classmethod
    def kept(cls) -> Daemon | None:
        """The one that an earlier demo left running."""
        try:
            note = json.loads(_NOTE.read_text())
            daemon = cls(procs.Proc(note["pid"], note["start_ticks"]), note["log_from"])
        except (FileNotFoundError, ValueError, KeyError):
            return None
        return daemon if procs.alive(daemon._proc) else None

    def stop(self) -> None:
        """Let it finish what is in flight, and end."""
        procs.stop(self._proc, signal.SIGTERM, _STOP_SECONDS)
        _NOTE.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._proc.pid

    @property
    def url(self) -> str | None:
        """Where it listens; None while it does not."""
        found = re.search(r"http://127\.0\.0\.1:\d+", self._said())
        return found[0] if found else None

    def check_alive(self) -> None:
        """Raise DemoError with its last words when it has ended."""
        if not procs.alive(self._proc):
            words = "".join(f"\n    {line}" for line in self._said().splitlines()[-5:])
            raise DemoError(f"the daemon ended by itself; its last words:{words}")

    def wait_ready(self) -> float:
        """Wait until /readyz answers 200; gives the seconds that took."""
        began = time.monotonic()
        while not self._is_ready():
            self.check_alive()
            if time.monotonic() - began > _READY_SECONDS:
                raise DemoError(f"the daemon is not ready after {_READY_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - began

    def tables(self) -> dict[str, Any]:
        """What `/status` says of each table."""
        with urllib.request.urlopen(f"{self.url}/status", timeout=5) as answer:
            return {t["table"]: t for t in json.load(answer)["tables"]}

    def _is_ready(self) -> bool:
        url = self.url
        if url is None:
            return False
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def _said(self) -> str:
        with LOG.open(errors="replace") as log:
            log.seek(self._log_from)
            return log.read()
