"""Server processes that outlive the command that started them.

A process is known by its pid and its start time: a pid alone may be another's by now, and nothing
that is not ours may be stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that a server runs as."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Proc:
    """A process, and not another one that came to have its pid."""

    pid: int
    start_ticks: int


def start(
    argv: Sequence[str],
    log: Path,
    *,
    owner: Owner | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> Proc:
    """Start a server in a session of its own, so that a Ctrl-C does not reach it."""
    with log.open("ab") as out:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd or Path("/"),
            env={**os.environ, **(env or {})},
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
        )
    ticks = _start_ticks(child.pid)
    return Proc(child.pid, ticks if ticks is not None else -1)


def run(
    argv: Sequence[str],
    *,
    owner: Owner | None = None,
    stdin: str = "",
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end; its two outputs as one text in ``stdout``."""
    return subprocess.run(
        argv,
        input=stdin,
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd or Path("/"),
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
    )


def alive(proc: Proc | None) -> bool:
    """Whether it still runs; a zombie does not."""
    return proc is not None and _start_ticks(proc.pid) == proc.start_ticks


def stop(proc: Proc | None, stop_signal: signal.Signals, limit_seconds: float) -> None:
    """Ask, wait, and at the limit kill with all children."""
    if proc is None or not alive(proc):
        return
    _send(proc, stop_signal)
    if not _wait_gone(proc, limit_seconds):
        kill(proc)


def kill(proc: Proc | None) -> None:
    """SIGKILL the server and its children, as a crash of the machine would."""
    if proc is None or not alive(proc):
        return
    children = [Proc(pid, ticks) for pid, ticks in _children(proc.pid)]
    for p in [proc, *children]:
        _send(p, signal.SIGKILL)
    for p in [proc, *children]:
        _wait_gone(p, 10)


def is_zombie(pid: int) -> bool:
    """Dead, but not yet collected by its parent; in a container that may never happen."""
    fields = _stat(pid)
    return fields is not None and fields[0] == "Z"


def _send(proc: Proc, what: signal.Signals) -> None:
    if alive(proc):
        with contextlib.suppress(ProcessLookupError):
            os.kill(proc.pid, what)


def _wait_gone(proc: Proc, limit_seconds: float) -> bool:
    deadline = time.monotonic() + limit_seconds
    while alive(proc):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(proc.pid, os.WNOHANG)  # our own child would stay a zombie
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if it is gone or a zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] == "Z":
        return None
    return int(fields[19])


def _children(pid: int) -> list[tuple[int, int]]:
    found = []
    for entry in Path("/proc").iterdir():
        fields = _stat(int(entry.name)) if entry.name.isdigit() else None
        if fields is not None and int(fields[1]) == pid:
            found.append((int(entry.name), int(fields[19])))
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; the name before them may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
