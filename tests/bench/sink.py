"""Upserts of rows of 8 columns: the sink, beside two limits on the same rows in the same run.

    python -m tests.bench.sink [ROWS]

Each row is written twice, the second time with other values. The sink reads them from its topic;
the first limit is a bare loop that holds them as prepared values and merges a COPY of each batch;
the second is psql's own COPY of a file into a table with a key, each row once. CPU is the client's,
for each row. Starts the local stack if need be.
"""

import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from cdcd.config.settings import LogSettings, SinkSettings
from cdcd.ops.logs import configure
from tests import stack as local
from tests.integration.feeding import Feed, change, sinking, status, table

ROWS, BATCH_ROWS, PARTITIONS = 60_000, 5000, 4
COLUMNS = ("id", "name", "mail", "visits", "score", "active", "seen", "token")
TYPES = ("int", "text", "text", "bigint", "double", "boolean", "timestamp", "uuid")
SQL = "id int PRIMARY KEY, name text, mail text, visits bigint, score float8, active bool,"
SQL += " seen timestamptz, token uuid"
SPEC = table(
    "bench", {n: f"{'p' if n == 'id' else 'r'}:{t}" for n, t in zip(COLUMNS, TYPES, strict=True)}
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows(count: int) -> list[tuple[Any, ...]]:
    """So many writes of half as many rows, in the driver's values."""
    keys = count // 2
    return [
        (
            n % keys,
            f"name {n}",
            f"somebody.{n % keys}@example.org",
            n * 1_000_003,
            n / 7,
            n % 3 == 0,
            EPOCH + timedelta(milliseconds=1_700_000_000_000 + n),
            UUID(int=n * 2**64 + n),
        )
        for n in range(count)
    ]


def figures(count: int, seconds: float, cpu_seconds: float) -> dict[str, float]:
    """Rate, and CPU for each row."""
    return {
        "rows_per_second": round(count / seconds),
        "client_cpu_us_per_row": round(cpu_seconds / count * 1e6, 2),
    }


async def by_the_sink(feed: Feed, found: Sequence[tuple[Any, ...]]) -> dict[str, float]:
    """Publish the rows, then have a sink apply them."""
    for start in range(0, len(found), BATCH_ROWS):
        events = []
        for row in found[start : start + BATCH_ROWS]:
            seen = (row[6] - EPOCH) // timedelta(milliseconds=1)
            values = dict(zip(COLUMNS[1:], (*row[1:6], seen, str(row[7])), strict=True))
            events.append(change(SPEC, "c", row[:1], values))
        await feed.publish(SPEC, events, PARTITIONS)
    async with sinking(feed.plan(sink=SinkSettings())) as board:
        while not status(board, SPEC).applied:  # noqa: ASYNC110  the board tells nobody
            await asyncio.sleep(0.001)
        before = status(board, SPEC).applied
        began, cpu = time.monotonic(), time.process_time()
        while status(board, SPEC).applied < len(found):  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
        return figures(len(found) - before, time.monotonic() - began, time.process_time() - cpu)


async def by_a_bare_loop(feed: Feed, found: Sequence[tuple[Any, ...]]) -> dict[str, float]:
    """COPY of each batch into a staging table and one merge of it, and nothing else."""
    connection = await asyncpg.connect(feed.postgres)
    name = f'"{feed.schema}".bare'
    sets = ", ".join(f"{c} = EXCLUDED.{c}" for c in COLUMNS[1:])
    merge = (
        f"INSERT INTO {name} SELECT DISTINCT ON (id) * FROM staging ORDER BY id"
        f" ON CONFLICT (id) DO UPDATE SET {sets}"
    )
    try:
        await connection.execute(f"CREATE TABLE {name} ({SQL})")
        await connection.execute(f"CREATE TEMP TABLE staging (LIKE {name}) ON COMMIT DELETE ROWS")
        statement = await connection.prepare(merge)
        began, cpu = time.monotonic(), time.process_time()
        for start in range(0, len(found), BATCH_ROWS):
            async with connection.transaction():
                batch = found[start : start + BATCH_ROWS]
                await connection.copy_records_to_table("staging", records=batch)
                await statement.fetch()
        return figures(len(found), time.monotonic() - began, time.process_time() - cpu)
    finally:
        await connection.close()


def by_psql(feed: Feed, found: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """COPY of a file by psql; each row is new."""
    psql = shutil.which("psql") or next(
        (str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))), None
    )
    if psql is None:
        return {"skipped": "there is no psql on this machine"}
    name = f'"{feed.schema}".copied'
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        for number, row in enumerate(found):
            file.write("\t".join(map(str, (number, *row[1:]))) + "\n")
        file.flush()
        _psql(psql, feed, f"CREATE TABLE {name} ({SQL})")
        cpu, began = _children_cpu(), time.monotonic()
        _psql(psql, feed, f"\\copy {name} from '{file.name}'")
        return figures(len(found), time.monotonic() - began, _children_cpu() - cpu)


def _psql(psql: str, feed: Feed, command: str) -> None:
    done = [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", feed.postgres, "-c", command]
    subprocess.run(done, check=True)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def measure(count: int) -> dict[str, Any]:
    """All three, one after the other."""
    stack = local.load()
    feed = Feed(f"benchsink{os.getpid()}", stack.kafka, stack.registry, stack.postgres)
    feed.make_lanes()
    found = rows(count)
    async with feed.registry:
        sink = await by_the_sink(feed, found)
        bare = await by_a_bare_loop(feed, found)
        copied = by_psql(feed, found)
    connection = await feed.connect()
    await connection.execute(f'DROP SCHEMA "{feed.schema}" CASCADE')
    await connection.close()
    return {"rows": count, "sink": sink, "bare_copy_and_merge": bare, "psql_copy": copied}


def main() -> None:
    """Measure and print one JSON document."""
    configure(LogSettings(level="error"))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    print(json.dumps(asyncio.run(measure(count)), indent=2))


if __name__ == "__main__":
    main()
