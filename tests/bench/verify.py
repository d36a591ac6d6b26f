"""How fast a verification is, beside the servers' own scans in the same run.

    python -m tests.bench.verify [ROWS]

Starts the local stack if need be and a daemon of its own, copies that many rows, and compares them.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from tests import stack as local
from tests.scenario.conftest import Place, connected
from tests.scenario.daemon import wait_until

ROWS = 100_000
FILL_TRIES = 10


@contextmanager
def place() -> Iterator[Place]:
    """A table of some columns, and a daemon that follows it."""
    with connected(local.load()) as (stack, session), tempfile.TemporaryDirectory() as folder:
        made = Place(stack, session, Path(folder), f"verify{os.getpid()}")
        made.settings["source"] = {"settle_delays_seconds": [1, 5], "position_seconds_max": 1}
        made.begin()
        try:
            made.execute(
                "CREATE TABLE $ks.t (id uuid PRIMARY KEY, name text, age int, score double,"
                " at timestamp, tags set<text>) WITH cdc = {'enabled': true}"
            )
            yield made
        finally:
            made.end()


def fill(session: Session, keyspace: str, rows: int) -> None:
    """Write the rows; what a busy server does not take is written again."""
    insert = session.prepare(
        f"INSERT INTO {keyspace}.t (id, name, age, score, at, tags)"
        " VALUES (?, ?, ?, ?, toTimestamp(now()), ?)"
    )
    left = [(uuid4(), f"name {n}", n, n / 7, {"a", str(n % 5)}) for n in range(rows)]
    for _ in range(FILL_TRIES):
        done = execute_concurrent_with_args(
            session, insert, left, concurrency=16, raise_on_first_error=False
        )
        left = [row for row, (ok, _) in zip(left, done, strict=True) if not ok]
    assert not left, f"the source did not take {len(left)} rows"


def scan_source(session: Session, keyspace: str) -> float:
    """Seconds of the driver's own full scan."""
    began = time.monotonic()
    assert sum(1 for _ in session.execute(f"SELECT * FROM {keyspace}.t")) > 0
    return time.monotonic() - began


async def scan_target(dsn: str, schema: str) -> float:
    """Seconds of PostgreSQL's own full scan, with every column read."""
    connection = await asyncpg.connect(dsn)
    began = time.monotonic()
    await connection.fetchval(f'SELECT sum(length(t::text)) FROM "{schema}".t AS t')
    seconds = time.monotonic() - began
    await connection.close()
    return seconds


async def count(dsn: str, schema: str) -> int:
    """The rows that have arrived."""
    connection = await asyncpg.connect(dsn)
    try:
        found: int = await connection.fetchval(f'SELECT count(*) FROM "{schema}".t')
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return 0
    finally:
        await connection.close()
    return found


def verify(here: Place) -> tuple[float, bool]:
    """Seconds of `cdcd reconcile verify`, start of Python and clients included."""
    config = str(here.folder / "cdcd.toml")
    command = [sys.executable, "-m", "cdcd", "-c", config, "reconcile", "verify", "--all-tables"]
    began = time.monotonic()
    done = subprocess.run(
        [*command, "--name", here.name, "--json"], capture_output=True, check=False, text=True
    )
    assert done.stdout, done.stderr
    return time.monotonic() - began, json.loads(done.stdout)["equal"]


def main(rows: int) -> None:
    """Fill, wait, measure, print."""
    with place() as here:
        fill(here.session, here.name, rows)
        here.daemon("--table", f"{here.name}.t").start()
        dsn, schema = here.stack.postgres, here.schema
        wait_until(lambda: asyncio.run(count(dsn, schema)) == rows, "all rows arrived", 600)
        source = rows / scan_source(here.session, here.name)
        target = rows / asyncio.run(scan_target(dsn, schema))
        seconds, equal = verify(here)
    print(f"verify: {rows} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s, equal: {equal}")
    print(f"  {rows / seconds / source:.0%} of the source's own scan ({source:,.0f} rows/s)")
    print(f"  {rows / seconds / target:.0%} of PostgreSQL's own scan ({target:,.0f} rows/s)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
