"""Certificates of a stack with TLS: an authority of its own, made by `cdcd certs`."""

from __future__ import annotations

import sys
from pathlib import Path

from stackd import deps, procs
from stackd.errors import StackError
from stackd.state import State, write_private

# Those that read key and certificate from one file.
JOINED = ("scylla", "kafka")


def folder(state: State) -> Path:
    """NAME.pem and NAME.key of each server and of cdcd, some NAME.both.pem, and ca.pem."""
    return state.folder / "tls"


def make(state: State) -> None:
    """Make them, if they are not there."""
    place = folder(state)
    if (place / "ready").exists():
        return
    done = procs.run([sys.executable, "-m", "cdcd", "certs", str(place)], cwd=deps.CLONE)
    if done.returncode != 0:
        raise StackError(f"certificates could not be made:\n{done.stdout}")
    for name in JOINED:
        both = (place / f"{name}.key").read_text() + (place / f"{name}.pem").read_text()
        write_private(place / f"{name}.both.pem", both)
    (place / "ready").touch()
