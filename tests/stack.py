"""Where the services are that the tests talk to.

CDCD_TEST_STACK names a file in the form of .local/stack.json; without it the local stack is meant,
and started if it is not running. Where tests run in several processes (pytest-xdist) each has a
stack of its own, so that one may stop servers; the first has the usual one. CDCD_TEST_SCYLLA,
`host` or `host:port`, names a real cluster in the place of the stand-in.
"""

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def _folder() -> Path:
    """The local stack's folder, for the programs that the tests start too."""
    folder = Path(os.environ.get("STACK_DIR") or ROOT / ".local")
    process = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    if process == "gw0" or folder.name.endswith(process):
        return folder
    folder = folder.with_name(f"{folder.name}-{process}")
    os.environ["STACK_DIR"] = str(folder)
    return folder


LOCAL = _folder() / "stack.json"


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses; `kafka` is host:port, the registry and PostgreSQL are URLs."""

    scylla_host: str
    scylla_port: int
    scylla_login: tuple[str, str] | None
    kafka: str
    registry: str
    postgres: str
    postgres_admin: str


def file() -> Path:
    """Where the stack is described."""
    return Path(os.environ.get("CDCD_TEST_STACK") or LOCAL)


def load() -> Stack:
    named = os.environ.get("CDCD_TEST_STACK")
    if not named:
        # Cheap when all is up: the command only starts what is missing.
        up = [sys.executable, str(ROOT / "deploy" / "local" / "stack.py"), "up"]
        # One after the other: what one has chosen as a free port, the next sees in use.
        with Path(__file__).open() as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            subprocess.run(up, check=True, stdout=sys.stderr)
    found = json.loads(file().read_text())
    node = found["scylla"]
    if real := os.environ.get("CDCD_TEST_SCYLLA"):
        host, _, port = real.partition(":")
        node = {"host": host, "port": port or 9042}
    return Stack(
        scylla_host=node["host"],
        scylla_port=int(node["port"]),
        scylla_login=(node["username"], node["password"]) if "username" in node else None,
        kafka=found["kafka"],
        registry=found["registry"],
        postgres=found["postgres"],
        postgres_admin=found.get("postgres_admin", found["postgres"]),
    )
