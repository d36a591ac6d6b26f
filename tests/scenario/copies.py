"""Commands from outside, as their users call them, and copies by them."""

import json
import subprocess
import sys
from typing import Any

from tests.scenario.conftest import Place


def command(place: Place, *arguments: str) -> tuple[int, Any, str]:
    """Exit code, JSON document and stderr of a command."""
    config = str(place.folder / "cdcd.toml")
    program = [sys.executable, "-m", "cdcd", "-c", config, *arguments]
    done = subprocess.run(
        [*program, "--name", place.name, "--json"], capture_output=True, check=False, text=True
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def backfill(place: Place, *arguments: str) -> tuple[int, Any, str]:
    """What `cdcd backfill` says."""
    return command(place, "backfill", *arguments)


def copy_of(place: Place, table: str) -> dict[str, Any]:
    """How far the copy of a table is."""
    _, document, _ = backfill(place, "--status")
    copies = {each["table"]: each for each in document["copies"]} if document else {}
    found: dict[str, Any] = copies.get(f"{place.name}.{table}", {})
    return found
