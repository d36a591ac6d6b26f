"""The race's reading half: the same closed range of one log, to decoded changes.

cdcd's reader and decoder against the official Rust client, each as a process of its own that hands
on nothing. A run takes seconds, so there are more of them than of other parts; the first one of
each arm is warm-up, of the server above all, and is dropped.
"""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.connect_worker import NotHad
from tests.contract import official_client
from tests.stack import ROOT, Stack

READING_SECONDS_MAX = 900
# For each round of the race.
RUNS_PER_ROUND = 3
_PAST_END_MS = 1000


@dataclass(frozen=True, slots=True)
class Range:
    """What is read: `start_ms <= cdc$time < end_ms` of one table's log, so many changes."""

    table: str
    start_ms: int
    end_ms: int
    changes: int


def program() -> Path:
    """The counting program of the official client, compiled first if need be. Raises NotHad."""
    if shutil.which("cargo") is None:
        raise NotHad("it is compiled with cargo (Rust), which is not installed")
    try:
        return official_client.build(_say, "cdc-count", "race")
    except AssertionError as error:
        raise NotHad(f"it was not compiled: {str(error).splitlines()[-1]}") from error


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def commands(stack: Stack, rust: Path | None, given: Range) -> dict[str, list[str]]:
    """How each arm is run, when its end is far enough back for both; without `rust` cdcd's."""
    node = f"{stack.scylla_host}:{stack.scylla_port}"
    told = [node, given.table, str(given.start_ms), str(given.end_ms)]
    # The official client reads no further than a moment before its clock.
    time.sleep(max(given.end_ms + _PAST_END_MS - time.time_ns() // 1_000_000, 0) / 1000)
    found = {"cdcd": [sys.executable, "-m", "tests.bench.reading", *told]}
    return found | ({"rust": [str(rust), *told]} if rust else {})


async def read(command: list[str], changes: int, _number: int) -> dict[str, Any]:
    """One run."""
    return figures_of(_run(command), changes)


def _run(command: list[str]) -> dict[str, float]:
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=READING_SECONDS_MAX,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def figures_of(found: dict[str, float], changes: int) -> dict[str, Any]:
    """A run's figures; both arms have to find every change that was written."""
    read = int(found["changes"])
    assert read == changes, f"read {read} changes of {changes}"
    return {
        "changes": read,
        "changes_per_second": round(read / found["seconds"]),
        "cpu_us_per_change": round(found["cpu_seconds"] / read * 1e6, 2),
        "start_up_cpu_seconds": round(found["start_up_cpu_seconds"], 2),
        "peak_mb": found["peak_mb"],
    }
