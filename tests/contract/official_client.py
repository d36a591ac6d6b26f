"""The official client of the change log, built from rust_client/, and what it saw.

It is given a span of time and prints every log row of it; here the lines become the same entries
that log.py makes of what the Python driver reads.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import pytest
from cassandra.util import Date, Duration, Time

from tests.contract.log import Entry
from tests.stack import ROOT, Stack

SOURCE = Path(__file__).resolve().parent / "rust_client"
TARGET = ROOT / ".deps" / "rust_client"
BUILD_SECONDS_MAX = 1200


def build(say: Callable[[str], object], name: str = "cdc-rows", profile: str = "release") -> Path:
    """Compiles a program of the client's, if its source is newer, and returns the program."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo (Rust) is not installed")
    say(f"compiling {SOURCE.name} into {TARGET}, minutes the first time")
    done = subprocess.run(
        [cargo, "build", "--profile", profile, "--locked", "--bin", name],
        cwd=SOURCE,
        env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=BUILD_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"cargo build failed:\n{done.stderr}"
    return TARGET / profile / name


class OfficialClient:
    """Reads logs from a time on, to an end that is known at once or told later.

    A context, which the program never outlives.
    """

    def __init__(
        self,
        program: Path,
        stack: Stack,
        tables: Sequence[str],
        start_ms: int,
        end_ms: int | None = None,
    ) -> None:
        node = f"{stack.scylla_host}:{stack.scylla_port}"
        self._lines: list[str] = []
        self._errors: list[str] = []
        self._reading = threading.Event()
        self._process = subprocess.Popen(
            [program, node, str(start_ms), str(end_ms or "-"), *tables],
            env=os.environ | {"CDC_ROWS_LOGIN": ":".join(stack.scylla_login or ())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._threads = [
            threading.Thread(target=self._take, args=(self._process.stdout, self._lines.append)),
            threading.Thread(target=self._take, args=(self._process.stderr, self._complain)),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        assert self._reading.wait(30), f"the client does not read: {self._errors}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                pipe.close()

    def read_to(self, end_ms: int) -> dict[str, list[Entry]]:
        """Lets the client, which has begun to read, read up to that time; as `seen`."""
        assert self._process.stdin
        print(end_ms, file=self._process.stdin, flush=True)
        return self.seen()

    def seen(self, seconds_max: float = 40) -> dict[str, list[Entry]]:
        """What the client saw of each table, in its order, once it is at its end."""
        try:
            code = self._process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the client reads on after its end: {self._errors}") from None
        for thread in self._threads:
            thread.join()
        assert code == 0, f"the client failed ({code}): {self._errors}"
        seen: dict[str, list[Entry]] = {}
        for line in self._lines:
            found = json.loads(line)
            seen.setdefault(found["table"], []).append(_entry(found))
        return seen

    def _take(self, stream: Any, sink: Callable[[str], object]) -> None:
        for line in stream:
            sink(line)

    def _complain(self, line: str) -> None:
        self._errors.append(line.rstrip())
        if line.strip() == "reading":
            self._reading.set()


def now_millis() -> int:
    return time.time_ns() // 1_000_000


def _entry(found: dict[str, Any]) -> Entry:
    columns: dict[str, Any] = {"cdc$operation": found["operation"]}
    if found["ttl"] is not None:
        columns["cdc$ttl"] = found["ttl"]
    for name, column in found["columns"].items():
        if "value" in column:
            columns[name] = _value(column["value"])
        if "deleted" in column:
            columns[f"cdc$deleted_{name}"] = column["deleted"]
        if "deleted_elements" in column:
            elements = frozenset(map(_value, column["deleted_elements"]))
            columns[f"cdc$deleted_elements_{name}"] = elements
    return Entry(
        bytes.fromhex(found["stream"]),
        UUID(found["time"]),
        found["seq"],
        found["end_of_batch"] or None,
        columns,
    )


def _value(found: Any) -> Any:
    """A value as the Python driver returns it, from JSON with the type's name around it."""
    if not isinstance(found, dict):
        return found
    ((cql_type, inner),) = found.items()
    return DECODERS[cql_type](inner)


def _integer(text: str) -> int:
    return int.from_bytes(bytes.fromhex(text), "big", signed=True)


def _list(found: list[Any]) -> list[Any]:
    return [_value(v) for v in found]


DECODERS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "double": float,
    "varint": _integer,
    "decimal": lambda d: Decimal(_integer(d[0])).scaleb(-d[1]),
    "blob": bytes.fromhex,
    "uuid": UUID,
    "inet": str,
    "timestamp": lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms),
    "date": lambda days: Date(days - 2**31),
    "time": Time,
    "duration": lambda d: Duration(*d),
    "list": _list,
    "vector": _list,
    "set": lambda found: frozenset(_list(found)),
    "map": lambda pairs: {_value(k): _value(v) for k, v in pairs},
    "tuple": lambda found: tuple(_list(found)),
    "udt": lambda fields: {name: _value(v) for name, v in fields.items()},
}
