"""What idle tables cost: queries a second, and CPU of the reader and of the database.

    python -m tests.bench.idle [TABLES [STREAMS [SECONDS]]]

Starts the local stack if need be. The tables are of a keyspace with so many tablets for each, so
that every table has its own streams, and nothing is written. The reader is the source stage, with
settings as they are by default; the first quarter of the time is warm-up and is not counted.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cdcd.config.settings import LogSettings, SourceSettings
from cdcd.model.control import Control
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.logs import configure
from cdcd.source import stage
from cdcd.source.progress import Start
from cdcd.source.session import RawRow, Session, Statement
from tests import stack as local
from tests.bench.latency import cpu_seconds
from tests.integration.keyspaces import CDC, driver, settings_of
from tests.integration.recorder import Recorder
from tests.stack import Stack

TABLES, STREAMS, SECONDS = 100, 768, 40


class CountingSession(Session):
    """A session that counts what it asks."""

    asked: Counter[str]

    async def query(
        self, cql: str, params: Sequence[object] = (), *, quorum: bool = False
    ) -> list[dict[str, Any]]:
        """Counts a query of the catalog."""
        self.asked["catalog"] += 1
        return await super().query(cql, params, quorum=quorum)

    async def read(
        self, statement: Statement, params: Mapping[str, object] | Sequence[object]
    ) -> AsyncIterator[list[RawRow]]:
        """Counts a read of the log; its pages are one."""
        self.asked["log"] += 1
        async for page in super().read(statement, params):
            yield page


@contextmanager
def tables(stack: Stack, count: int, streams: int) -> Iterator[str]:
    """A keyspace of so many tables."""
    name = f"idle{os.getpid()}"
    with driver(stack) as session:
        session.execute(
            f"CREATE KEYSPACE {name} WITH replication ="
            " {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
            f" AND tablets = {{'enabled': true, 'initial': {streams}}}"
        )
        try:
            for number in range(count):
                session.execute(f"CREATE TABLE {name}.t{number} (p int PRIMARY KEY) WITH {CDC}")
                print(f"\rmade {number + 1} tables", end="", file=sys.stderr)
            print(file=sys.stderr)
            yield name
        finally:
            session.execute(f"DROP KEYSPACE {name}")


async def measure(stack: Stack, name: str, seconds: int) -> dict[str, object]:
    """Follow the tables for a while."""
    database = json.loads(local.LOCAL.read_text())["pids"]["scylla"]
    asked: Counter[str] = Counter()
    async with CountingSession.open(settings_of(stack)) as session:
        session.asked = asked
        wanted, board = Directions(Control((f"{name}.*",))), Board("bench", "bench")
        source = stage.Source(session, SourceSettings(), wanted, Start.NOW, board)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(stage.run(source, Recorder()))
            await asyncio.sleep(seconds / 4)
            asked.clear()
            began, reader, server = time.monotonic(), time.process_time(), cpu_seconds(database)
            await asyncio.sleep(seconds * 3 / 4)
            took = time.monotonic() - began
            reader, server = time.process_time() - reader, cpu_seconds(database) - server
            frontiers = [t.frontier_ms for t in board.snapshot().tables]
            reading.cancel()
    now_ms = time.time_ns() // 1_000_000
    return {
        "tables": len(frontiers),
        "log_reads_per_second": round(asked["log"] / took, 1),
        "catalog_queries_per_second": round(asked["catalog"] / took, 1),
        "reader_cpu_share": round(reader / took, 3),
        "database_cpu_share": round(server / took, 3),
        "oldest_frontier_seconds": round((now_ms - min(f or 0 for f in frontiers)) / 1000, 1),
    }


def main() -> None:
    """Measure and print one JSON document."""
    given = [int(text) for text in sys.argv[1:]]
    count, streams, seconds = [*given, *(TABLES, STREAMS, SECONDS)[len(given) :]]
    configure(LogSettings(level="error"))
    stack = local.load()
    assert Path(local.LOCAL).exists(), "CPU of the database is only known of the local stack"
    with tables(stack, count, streams) as name:
        found = asyncio.run(measure(stack, name, seconds))
    print(json.dumps({"streams_per_table": streams, **found}, indent=2))


if __name__ == "__main__":
    main()
