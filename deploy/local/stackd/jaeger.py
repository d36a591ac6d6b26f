"""Jaeger, which keeps spans and shows them: built from its source, for there is no package of it.

The program is the one of the image in compose.yaml, with spans in memory. Its pages for browsers
are not in the source; what it tells is JSON.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackd import deps
from stackd.errors import StackError

VERSION = "1.76.0"
_MODULE = f"github.com/jaegertracing/jaeger@v{VERSION}"
_TRACES_MAX = 10_000


def program() -> Path:
    """The program, built first if it is not there."""
    note = f"building Jaeger {VERSION} (by Go, some minutes)"
    return deps.made("jaeger", [Path(__file__)], _build, note, beside=True) / "jaeger"


def _build(into: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise StackError("go is missing: Jaeger is built by it. On Debian: apt-get install golang")
    found = json.loads(_run([go, "mod", "download", "-json", _MODULE], into))
    source = into / "source"
    # Its go.mod has replacements, which Go takes from a main module only.
    shutil.copytree(found["Dir"], source, copy_function=shutil.copyfile)
    target = into / "jaeger"
    options = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
    _run([go, "build", *options, "-o", str(target), "./cmd/all-in-one"], source)
    shutil.rmtree(source)


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"{' '.join(command[:3])} failed:\n{done.stderr.strip()}")
    return done.stdout


def command(collector: int, query: int) -> list[str]:
    """What starts it: on a port for spans, by OTLP over HTTP, and one for questions."""
    listening = {
        "admin.http": 0,
        "collector.grpc-server": 0,
        "collector.http-server": 0,
        "collector.otlp.grpc": 0,
        "collector.otlp.http": collector,
        "query.grpc-server": 0,
        "query.http-server": query,
    }
    options = [f"--{name}.host-port=127.0.0.1:{port}" for name, port in listening.items()]
    limits = [f"--memory.max-traces={_TRACES_MAX}", "--log-level=warn"]
    return [str(program()), *options, *limits]


@dataclass(frozen=True, slots=True)
class Jaeger:
    """One that runs: `collector` takes spans, `url` answers questions."""

    collector: str
    url: str

    def link(self, trace_id: str) -> str:
        """Where a trace is shown."""
        return f"{self.url}/api/traces/{trace_id}?prettyPrint=true"

    def traces(self, operation: str, service: str = "cdcd") -> list[Trace]:
        """The newest traces with an operation of a service."""
        asked = {"service": service, "operation": operation, "limit": 100, "lookback": "1h"}
        return [Trace.of(t) for t in self._ask(f"/api/traces?{urllib.parse.urlencode(asked)}")]

    def trace(self, trace_id: str) -> Trace:
        """One trace, read back."""
        (found,) = self._ask(f"/api/traces/{trace_id}")
        return Trace.of(found)

    def _ask(self, path: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]
        return found


@dataclass(frozen=True, slots=True)
class SpanSeen:
    """One span as Jaeger tells it; `parent` is the name of the span that it is within."""

    name: str
    parent: str | None
    began_us: int
    duration_us: int
    tags: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace and its spans, in the order of their begin."""

    id: str
    spans: tuple[SpanSeen, ...]
    text: str

    @classmethod
    def of(cls, found: dict[str, Any]) -> Trace:
        """From Jaeger's JSON."""
        names = {span["spanID"]: span["operationName"] for span in found["spans"]}
        spans = sorted(
            (
                SpanSeen(
                    span["operationName"],
                    next(_parents(span, names), None),
                    span["startTime"],
                    span["duration"],
                    {tag["key"]: tag["value"] for tag in span["tags"]},
                )
                for span in found["spans"]
            ),
            key=lambda span: (span.began_us, span.parent is not None),
        )
        return cls(found["traceID"], tuple(spans), json.dumps(found))


def _parents(span: dict[str, Any], names: dict[str, str]) -> Iterator[str]:
    for reference in span["references"]:
        if reference["refType"] == "CHILD_OF":
            yield names.get(reference["spanID"], "a span that is not there")
