"""A small file system for PostgreSQL, to be filled; only root may mount it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from stackd import postgres, procs
from stackd.errors import StackError
from stackd.state import State

_SIZE_MEGABYTES = 48
_PIECE_BYTES = 4096


def space(state: State) -> Path | None:
    """The folder on it for a tablespace; None before PostgreSQL's first start."""
    home = state.postgres_home
    return None if home is None else home / "small" / "space"


def mount(state: State) -> None:
    """Mount it, with an empty folder that PostgreSQL may write to."""
    at = _root(state)
    at.mkdir(exist_ok=True)
    if not at.is_mount():
        options = f"size={_SIZE_MEGABYTES}m,mode=0755"
        done = procs.run(["mount", "-t", "tmpfs", "-o", options, "cdcd-small", str(at)])
        if done.returncode:
            raise StackError(f"a small file system could not be mounted: {done.stdout.strip()}")
    folder = at / "space"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = postgres.server_user()
    if owner is not None:
        os.chown(folder, owner.uid, owner.gid)


def fill(state: State) -> None:
    """Take all room that is left. Raises StackError where it is not mounted: the room would be that
    of the machine's own disk.
    """
    if not _root(state).is_mount():
        raise StackError("the small file system is not mounted")
    filler = os.open(_root(state) / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while True:
            os.write(filler, bytes(_PIECE_BYTES))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(filler)


def free(state: State) -> None:
    """Give the room back."""
    (_root(state) / "filler").unlink(missing_ok=True)


def unmount(state: State) -> None:
    """Take it away, with what is on it."""
    folder = space(state)
    if folder is not None and folder.parent.is_mount():
        done = procs.run(["umount", str(folder.parent)])
        if done.returncode:
            raise StackError(f"the small file system is in use: {done.stdout.strip()}")
        folder.parent.rmdir()


def _root(state: State) -> Path:
    folder = space(state)
    if folder is None:
        raise StackError("PostgreSQL was not started yet")
    return folder.parent
