"""A worker that a drill has started itself, and so may kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cdcd.model.errors import ExitCode, Fatal
from cdcd.ops.logs import redact_text

STOP_SECONDS_MAX = 60.0
_LAST_WORDS_LINES = 5


class Worker:
    """One `cdcd run`. What it logs is in a file."""

    def __init__(self, arguments: Sequence[str], more: Mapping[str, str], log: Path) -> None:
        """`more` is added to its environment."""
        self._command = [sys.executable, "-m", "cdcd", *arguments]
        self.environment = {**os.environ, **more}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._is_wanted = False

    def start(self) -> None:
        """Start it."""
        self._is_wanted = True
        with self._log.open("ab") as log:
            # A group of its own: a Ctrl-C is meant for the drill, which ends its workers itself.
            self._process = subprocess.Popen(  # noqa: S603  this program, with settings of its own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process's number. Raises Fatal before its start."""
        if self._process is None:
            raise Fatal("the worker was not started")
        return self._process.pid

    def supervise(self) -> None:
        """Start it again where it has ended with the code that asks for that, as its supervisor
        would. Raises Fatal when it has ended otherwise.
        """
        ended = self._process.poll() if self._process is not None and self._is_wanted else None
        if ended is None:
            return
        if ended != ExitCode.OUTSIDE:
            raise Fatal(f"a worker ended with exit code {ended}", self._last_words())
        self.start()

    def require_running(self) -> None:
        """Raise Fatal where it has ended, with whatever code."""
        ended = None if self._process is None else self._process.poll()
        if ended is not None:
            raise Fatal(f"a worker ended with exit code {ended}", self._last_words())

    def count(self, text: str) -> int:
        """How many lines of its log have a text."""
        lines = self._log.read_text("utf-8", "replace").splitlines() if self._log.exists() else []
        return sum(text in line for line in lines)

    def pause(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; it is gone afterwards."""
        self._is_wanted = False
        if self._process is not None:
            self._send(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended. Raises Fatal when it ends with an error."""
        self._is_wanted = False
        if self._process is None or self._process.poll() is not None:
            return
        self._send(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Fatal("a worker did not end after SIGTERM", self._last_words()) from None
        if code != ExitCode.DONE:
            raise Fatal(f"a worker ended with exit code {code}", self._last_words())

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()[-_LAST_WORDS_LINES:]
        return redact_text("its log ends with:\n" + "\n".join(lines))
