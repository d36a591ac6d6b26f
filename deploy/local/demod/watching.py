"""Jaeger, Prometheus and Alertmanager beside the demo's daemon: `OBSERVE=1 make demo`.

Standard library only: `make down` stops what was kept, whatever became of `.venv`.
"""

from __future__ import annotations

import json
import os
import time
import urllib.request
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGTERM
from typing import Any

from stackd import observers, procs
from stackd.errors import StackError
from stackd.jaeger import Jaeger, Trace
from stackd.observers import Observer
from stackd.state import write_private

from demod.errors import DemoError
from demod.places import LOCAL

_NOTE = LOCAL / "observers.json"
_STOP_SECONDS = 10.0
_WAIT_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What a trace of one change has, whatever table it is of.
_WAY = ("SELECT", "transaction", "send", "process", "prepare", "COMMIT")


def is_wanted() -> bool:
    """Whether the demo is to be watched."""
    return (os.environ.get("OBSERVE") or "0") != "0"


@dataclass(slots=True)
class Watch:
    """What watches a daemon."""

    jaeger: Jaeger
    running: list[Observer]
    folder: Path

    @classmethod
    def begin(cls) -> Watch:
        """Start Jaeger, which the daemon is told of, and Alertmanager."""
        folder = LOCAL / "logs" / "observers"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            server, jaeger = observers.start_jaeger(folder)
            made = cls(jaeger, [server], folder)
            made.note()
            made.running.append(observers.start_alertmanager(folder))
        except StackError as error:
            raise DemoError(str(error)) from error
        made.note()
        return made

    @property
    def environment(self) -> dict[str, str]:
        """What the daemon is told: every change is traced, and soon sent."""
        return {
            "CDCD_TRACING__ENDPOINT": self.jaeger.collector,
            "CDCD_TRACING__RATIO": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }

    def scrape(self, daemon: str) -> str:
        """Start Prometheus on a daemon's address; says what it scrapes, and whom it alerts."""
        alertmanager = self._url("Alertmanager")
        try:
            made = observers.start_prometheus(
                self.folder, *(url.removeprefix("http://") for url in (daemon, alertmanager))
            )
        except StackError as error:
            raise DemoError(str(error)) from error
        self.running.append(made)
        self.note()
        ends = time.monotonic() + _WAIT_SECONDS_MAX
        while not (self._scrapes() and self._alerts()):
            if time.monotonic() > ends:
                raise DemoError(f"Prometheus at {made.url} does not scrape the daemon")
            time.sleep(_POLL_SECONDS)
        rules = sum(len(group["rules"]) for group in self._asked("rules")["groups"])
        return f"{rules} alert rules"

    def _scrapes(self) -> bool:
        return any(target["health"] == "up" for target in self._asked("targets")["activeTargets"])

    def _alerts(self) -> bool:
        return bool(self._asked("alertmanagers")["activeAlertmanagers"])

    def _asked(self, what: str) -> dict[str, Any]:
        url = f"{self._url('Prometheus')}/api/v1/{what}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)["data"]
        return found

    def _url(self, name: str) -> str:
        return next(each.url for each in self.running if each.name == name)

    def note(self) -> None:
        """Write down what runs, for who stops it."""
        noted = [{"name": o.name, "url": o.url, **asdict(o.proc)} for o in self.running]
        write_private(_NOTE, json.dumps(noted) + "\n")

    def find(self, table: str, written_us: int) -> Trace:
        """The trace of the change of a table that was written then, as far as PostgreSQL."""
        ends = time.monotonic() + _WAIT_SECONDS_MAX
        while True:
            for trace in self.jaeger.traces("publish"):
                if is_whole(trace) and holds(trace, table, written_us):
                    return self.jaeger.trace(trace.id)
            if time.monotonic() > ends:
                raise DemoError(f"Jaeger at {self.jaeger.url} has no whole trace of the change")
            time.sleep(_POLL_SECONDS)


def is_whole(trace: Trace) -> bool:
    """Whether each part of the way is there, within what made it necessary."""
    return {span.name.split()[0] for span in trace.spans} >= set(_WAY)


def holds(trace: Trace, table: str, written_us: int) -> bool:
    """Whether a window of the table's log that was read for it has a time in it."""
    return any(
        _us(span.tags["cdcd.window.start"]) <= written_us < _us(span.tags["cdcd.window.end"])
        for span in trace.spans
        if span.tags.get("db.collection.name") == f"{table}_scylla_cdc_log"
    )


def _us(time_text: str) -> int:
    return (datetime.fromisoformat(time_text) - _EPOCH) // timedelta(microseconds=1)


def stop() -> None:
    """Stop what a demo has started, or kept."""
    try:
        noted = json.loads(_NOTE.read_text())
    except (FileNotFoundError, ValueError):
        return
    for each in noted:
        procs.stop(procs.Proc(each["pid"], each["start_ticks"]), SIGTERM, _STOP_SECONDS)
    _NOTE.unlink(missing_ok=True)


def kept() -> list[tuple[str, str]]:
    """Names and addresses of what runs."""
    try:
        return [(each["name"], each["url"]) for each in json.loads(_NOTE.read_text())]
    except (FileNotFoundError, ValueError):
        return []
