"""What is downloaded and built once, into `.deps` of the clone.

Each item is a folder with a stamp: a hash of what it is made from. It is made beside its place and
renamed into it, so that an interrupted build leaves nothing that looks whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stackd.errors import StackError

HERE = Path(__file__).resolve().parents[1]
CLONE = HERE.parents[1]
DEPS = CLONE / ".deps"
JAVA_MIN = 17
_JAVA_PACKAGE = f"openjdk-{JAVA_MIN}-jdk-headless"


def made(
    name: str,
    sources: Iterable[Path],
    build: Callable[[Path], None],
    what: str,
    salt: str = "",
    *,
    beside: bool = False,
) -> Path:
    """The folder of an item, made first if it is missing or older than its sources.

    One item is made at a time, as they share Maven's folder; `beside` is for one that does not, and
    takes long.
    """
    folder = DEPS / name
    stamp = _stamp_of(name + salt, sources)
    if _stamp(folder) == stamp:
        return folder
    with _one_maker(f".{name}.lock" if beside else ".lock"):
        if _stamp(folder) == stamp:  # another command has made it meanwhile
            return folder
        print(f"    {what}", flush=True)
        part = Path(tempfile.mkdtemp(prefix=f".making-{name}-", dir=DEPS))
        part.chmod(0o755)  # PostgreSQL's programs are for another user too
        try:
            build(part)
            (part / ".stamp").write_text(stamp)
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def copy_jars(pom: Path, into: Path) -> None:
    """All run-time jars of a pom, by Maven."""
    _maven("-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime", into=into)


def copy_artifact(coordinates: str, into: Path) -> Path:
    """One artifact, by Maven; the file."""
    _maven("dependency:copy", f"-Dartifact={coordinates}", into=into)
    return next(p for p in into.iterdir() if p.is_file())


def java() -> str:
    """The java command."""
    return _java_tool("java")


def javac() -> str:
    """The Java compiler's command."""
    return _java_tool("javac")


@functools.cache
def java_version() -> str:
    """What java says of itself; StackError if there is none, or too old a one."""
    answer = subprocess.run([java(), "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < JAVA_MIN:
        msg = f"{java()} is older than Java {JAVA_MIN}. On Debian: apt-get install {_JAVA_PACKAGE}"
        raise StackError(msg)
    return answer.stderr


def _java_tool(name: str) -> str:
    home = os.environ.get("JAVA_HOME")
    command = shutil.which(name, path=f"{home}/bin") if home else None
    command = command or shutil.which(name)
    if command is None:
        raise StackError(
            f"{name} is missing: the stack needs a Java {JAVA_MIN} development kit. On Debian: "
            f"apt-get install {_JAVA_PACKAGE}"
        )
    return command


def _maven(*args: str, into: Path) -> None:
    command = shutil.which("mvn")
    if command is None:
        raise StackError(
            "mvn is missing: the stack downloads its servers with Maven. "
            "On Debian: apt-get install maven"
        )
    # In an empty folder: a pom in the current one must not be taken into account.
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [command, "-q", "-B", *args, f"-DoutputDirectory={into}"],
            cwd=empty,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        raise StackError(f"Maven failed:\n{done.stdout.strip()}")


def _stamp_of(name: str, sources: Iterable[Path]) -> str:
    digest = hashlib.sha256(name.encode())
    for path in sorted(sources):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _stamp(folder: Path) -> str | None:
    try:
        return (folder / ".stamp").read_text()
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _one_maker(name: str) -> Iterator[None]:
    DEPS.mkdir(exist_ok=True)
    with (DEPS / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
