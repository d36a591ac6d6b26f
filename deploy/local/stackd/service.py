"""What all servers have in common."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stackd import deps
from stackd.procs import Proc
from stackd.state import State


@dataclass(frozen=True, slots=True)
class Archive:
    """A file of parsed classes, which saves a JVM a second or more of its start."""

    file: Path
    record: bool

    def option(self) -> list[str]:
        """For the JVM's command line."""
        if self.record:
            return [f"-XX:ArchiveClassesAtExit={self.file}"]
        return [f"-XX:SharedArchiveFile={self.file}"] if self.file.exists() else []


@dataclass(frozen=True, slots=True)
class Service:
    """One server of the stack."""

    name: str
    title: str
    # Downloads and builds what it needs; the folders.
    prepare: Callable[[], list[Path]]
    start: Callable[[State, Archive | None], Proc]
    # Returns once it really answers; else raises OSError or ValueError.
    probe: Callable[[State], None]
    address: Callable[[State], str]
    stop_signal: signal.Signals = signal.SIGTERM
    is_java: bool = True
    # What a server needs before it answers, each time; raises as the probe does.
    open: Callable[[State], None] | None = None


def java_command(
    state: State, heap_megabytes: int, options: list[str], archive: Archive | None
) -> list[str]:
    """Up to the class path. Small, and quick to start rather than quick at its peak."""
    return [
        deps.java(),
        "-Xms64m",
        f"-Xmx{heap_megabytes}m",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        "-Xshare:auto",
        f"-Djava.io.tmpdir={state.folder / 'tmp'}",
        *(archive.option() if archive else []),
        *options,
    ]


def class_path(*parts: Path) -> str:
    """Jars by name, sorted: an archive of classes is refused when their order changes."""
    jars: list[str] = []
    for part in parts:
        jars += [str(part)] if part.is_file() else [str(j) for j in sorted(part.glob("*.jar"))]
    return ":".join(jars)
