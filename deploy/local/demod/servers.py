"""The local stack as the demo sees it: started if need be, and stopped by who started it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from demod.errors import DemoError
from demod.places import LOCAL, STACK_COMMAND


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers listen."""

    scylla_host: str
    scylla_port: int
    scylla_login: tuple[str, str] | None
    kafka: str
    registry: str
    postgres: str
    config: Path


def is_there() -> bool:
    """Whether a stack was made already, by whomever."""
    return (LOCAL / "state.json").exists()


def up() -> Addresses:
    """Start what does not run; gives the addresses."""
    _stack("up")
    return addresses()


def addresses() -> Addresses:
    """Where the servers of the stack that is up listen."""
    try:
        found = json.loads((LOCAL / "stack.json").read_text())
    except FileNotFoundError:
        raise DemoError("there is no local stack: `make up` or `KEEP=1 make demo`") from None
    node = found["scylla"]
    login = (node["username"], node["password"]) if "username" in node else None
    return Addresses(
        node["host"],
        int(node["port"]),
        login,
        found["kafka"],
        found["registry"],
        found["postgres"],
        Path(found["config"]),
    )


def down() -> None:
    """Stop the stack and remove its data."""
    _stack("down")


def save_logs() -> Path:
    """Copy all logs to where they outlive the stack; gives the folder."""
    folder = Path(tempfile.mkdtemp(prefix="cdcd-demo-"))
    if (LOCAL / "logs").is_dir():
        shutil.copytree(LOCAL / "logs", folder, dirs_exist_ok=True)
    return folder


def _stack(verb: str) -> None:
    done = subprocess.run([sys.executable, str(STACK_COMMAND), verb], check=False)
    if done.returncode != 0:
        raise DemoError(f"the local stack: `{verb}` failed")
