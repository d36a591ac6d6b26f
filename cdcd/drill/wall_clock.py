"""Rounds in which a worker's wall clock is set, by a library that is before its C library."""

import asyncio
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from cdcd.drill.ground import Ground
from cdcd.model.errors import ConfigurationError

STEP_SECONDS = 30
_ANSWER_SECONDS_MAX = 60.0
_SOURCE = Path(__file__).with_suffix(".c")
_FILE = "DRILL_CLOCK_FILE"
_NOW = (sys.executable, "-c", "import time; print(time.time_ns())")


@asynccontextmanager
async def own_clock(_: Ground) -> AsyncIterator[Mapping[str, str]]:
    """A clock that only the workers have; gives the environment that leads them to it. Raises
    ConfigurationError where it cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="cdcd-drill-clock-") as folder:
        yield await asyncio.to_thread(_made, Path(folder))


def _made(folder: Path) -> Mapping[str, str]:
    library, file = folder / "wall_clock.so", folder / "ahead"
    compiling = ("cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl")
    _said(compiling, os.environ)
    before = [text for text in (os.environ.get("LD_PRELOAD"),) if text]
    more = {"LD_PRELOAD": ":".join((str(library), *before)), _FILE: str(file)}
    step(more, STEP_SECONDS)
    ahead_seconds = (int(_said(_NOW, {**os.environ, **more})) - time.time_ns()) / 1e9
    # Where the library is not loaded all would be well, and nothing shown.
    if abs(ahead_seconds - STEP_SECONDS) > STEP_SECONDS / 2:
        raise ConfigurationError(
            "the drill clock cannot set a worker's clock here",
            "it takes a Python that is linked with glibc, and no LD_PRELOAD that is ignored",
        )
    step(more, 0)
    return more


def _said(command: tuple[str, ...], environment: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603  this very Python, and the compiler
            command,
            capture_output=True,
            check=True,
            text=True,
            env=environment,
            timeout=_ANSWER_SECONDS_MAX,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or ""
        raise ConfigurationError(
            f"the drill clock could not run {command[0]}: {error} {said}".strip()
        ) from None
    return done.stdout.strip()


def step(environment: Mapping[str, str], seconds: int) -> None:
    """Set the clock so many seconds ahead of this machine's. Who reads it finds no half of it."""
    file = os.open(environment[_FILE], os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(file, struct.pack("=q", seconds * 1_000_000_000), 0)
    finally:
        os.close(file)


async def clock(ground: Ground, number: int) -> float:
    """A step ahead or back, a start with the clock that is off, and the step to the right time."""
    (worker,) = ground.workers
    began = time.monotonic()
    step(worker.environment, -STEP_SECONDS if number % 2 else STEP_SECONDS)
    try:
        recovered = await ground.seen(await ground.beat())
        worker.kill()
        worker.start()
        await ground.seen(await ground.beat())
    finally:
        step(worker.environment, 0)
    await ground.seen(await ground.beat())
    return recovered - began
