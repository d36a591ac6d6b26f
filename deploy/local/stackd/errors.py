"""The one error that the commands show as a message."""

from __future__ import annotations

from pathlib import Path


class StackError(Exception):
    """The stack cannot do what was asked; the text says what to do about it."""


def log_tail(log: Path, lines_max: int = 15) -> str:
    """The end of a server's log, indented, for an error message."""
    if not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()[-lines_max:]
    return "".join(f"\n    {line}" for line in lines)
