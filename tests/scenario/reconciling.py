"""`cdcd reconcile` and other commands of a pipeline, and statements in its target."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import asyncpg

from tests.scenario.conftest import Place


def cdcd(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the pipeline."""
    config = str(place.folder / "cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", config, *arguments, "--name", place.name]
    return subprocess.run(command, capture_output=True, check=False, text=True)


def reconcile(place: Place, mode: str, *arguments: str) -> tuple[int, Any]:
    """Exit code and document of a reconciliation."""
    done = cdcd(place, "reconcile", mode, "--json", *arguments)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def in_target(place: Place, statements: list[str]) -> None:
    """Statements in the target, in one transaction; `$t` is the table, `$s` the schema."""

    async def run() -> None:
        connection = await asyncpg.connect(place.stack.postgres)
        try:
            async with connection.transaction():
                for statement in statements:
                    named = statement.replace("$t", f'"{place.schema}".t')
                    await connection.execute(named.replace("$s", f'"{place.schema}"'))
        finally:
            await connection.close()

    asyncio.run(run())
