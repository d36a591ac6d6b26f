"""What idle tables cost: queries a second, and CPU of the reader and of the database; and how long
the changes of one busy partition take among them, from their write to their publishing.

    python -m tests.bench.idle [TABLES [STREAMS]]

Starts the local stack if need be. The tables are of a keyspace with so many tablets for each, so
that every table has its own streams. First nothing is written, then one partition of one table. The
reader is the source stage, with settings as they are by default but for a later first settling
pass. While it finds its pace nothing is counted; then it is measured twice: before the settling
passes begin, and with the first of them. The writes are made in the reader's process; the first
one, which finds its table idle, is told apart.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cdcd.config.settings import LogSettings, SourceSettings
from cdcd.model.change import Batch
from cdcd.model.control import Control
from cdcd.model.lane import Assignment
from cdcd.ops.board import Board, wall_clock_ms
from cdcd.ops.directions import Directions
from cdcd.ops.logs import configure
from cdcd.source import stage
from cdcd.source.progress import Start
from cdcd.source.session import Page, Session, Statement
from tests import stack as local
from tests.bench.latency import cpu_seconds
from tests.integration.keyspaces import CDC, driver, settings_of
from tests.integration.recorder import Recorder
from tests.stack import Stack

TABLES, STREAMS = 100, 768
# Pauses double until they are ten seconds long. The first settling pass, put off until then, reads
# what is ten seconds long; what is counted is two rounds of the longest pause.
PACE_SECONDS, FIRST_SECONDS, PASS_SECONDS, SETTLING_SECONDS, BUSY_SECONDS = 45, 20, 35, 20, 20
SETTLE_DELAYS_SECONDS = (80.0, 600.0)
BUSY = "busy"
# Of the busy partition, which is one stream's.
WRITES_PER_SECOND = 200


class Timing(Recorder):
    """Lanes that keep how old each change was when it was published."""

    def __init__(self) -> None:
        super().__init__()
        self.ages: list[float] = []

    async def publish(self, assignment: Assignment, batches: Sequence[Batch]) -> None:
        """Keep the batches, and the ages of their changes."""
        await super().publish(assignment, batches)
        now_us = time.time_ns() // 1000
        times = [event.time_us for batch in batches for event in batch.events]
        self.ages += [(now_us - time_us) / 1e6 for time_us in times]


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
        self,
        statement: Statement,
        params: Mapping[str, object] | Sequence[object],
        token: int | None = None,
        page_rows: int | None = None,
    ) -> AsyncIterator[Page]:
        """Counts a read of the log; its pages are one."""
        self.asked["log"] += 1
        async for page in super().read(statement, params, token, page_rows):
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
            session.execute(
                f"CREATE TABLE {name}.{BUSY} (p int, c int, PRIMARY KEY (p, c)) WITH {CDC}"
            )
            print(file=sys.stderr)
            yield name
        finally:
            session.execute(f"DROP KEYSPACE {name}")


async def write(stack: Stack, name: str, seconds: float) -> None:
    """Write to one partition at an even pace."""
    with driver(stack) as session:
        insert = session.prepare(f"INSERT INTO {name}.{BUSY} (p, c) VALUES (1, ?)")
        began = time.monotonic()
        for number in range(int(seconds * WRITES_PER_SECOND)):
            await asyncio.sleep(began + number / WRITES_PER_SECOND - time.monotonic())
            session.execute_async(insert, (number,))


@dataclass(frozen=True)
class Cost:
    """What a while has cost."""

    log_reads_per_second: float
    catalog_queries_per_second: float
    reader_cpu_share: float
    database_cpu_share: float


async def cost(seconds: float, asked: Counter[str]) -> Cost:
    """What the next while costs; `asked` is counted meanwhile."""
    database = json.loads(local.LOCAL.read_text())["pids"]["scylla"]
    asked.clear()
    began, reader, server = time.monotonic(), time.process_time(), cpu_seconds(database)
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    return Cost(
        round(asked["log"] / took, 1),
        round(asked["catalog"] / took, 1),
        round((time.process_time() - reader) / took, 3),
        round((cpu_seconds(database) - server) / took, 3),
    )


async def measure(stack: Stack, name: str) -> dict[str, object]:
    """Follow the tables for a while."""
    asked: Counter[str] = Counter()
    async with CountingSession.open(settings_of(stack)) as session:
        session.asked = asked
        wanted, board = Directions(Control((f"{name}.*",))), Board("bench", "bench")
        settings = SourceSettings(settle_delays_seconds=SETTLE_DELAYS_SECONDS)
        source = stage.Source(session, settings, wanted, Start.NOW, board)
        async with asyncio.TaskGroup() as group:
            lanes = Timing()
            reading = group.create_task(stage.run(source, lanes))
            await asyncio.sleep(PACE_SECONDS)
            first = await cost(FIRST_SECONDS, asked)
            await asyncio.sleep(PASS_SECONDS)
            settling = await cost(SETTLING_SECONDS, asked)
            frontiers, now_ms = [t.frontier_ms for t in board.snapshot().tables], wall_clock_ms()
            await write(stack, name, BUSY_SECONDS)
            await lanes.until(lambda: len(lanes.ages) >= BUSY_SECONDS * WRITES_PER_SECOND, 60)
            reading.cancel()
    first_seconds = lanes.ages[0]
    ages = sorted(lanes.ages[int((first_seconds + 1) * WRITES_PER_SECOND) :])
    return {
        "tables": len(frontiers),
        "first_readings": asdict(first),
        "with_settling": asdict(settling),
        "oldest_frontier_seconds": round((now_ms - min(f or 0 for f in frontiers)) / 1000, 1),
        "first_change_seconds": round(first_seconds, 2),
        "busy_writes_per_second": WRITES_PER_SECOND,
        "busy_p50_seconds": round(ages[len(ages) // 2], 2),
        "busy_p95_seconds": round(ages[len(ages) * 95 // 100], 2),
    }


def main() -> None:
    """Measure and print one JSON document."""
    given = [int(text) for text in sys.argv[1:]]
    count, streams = [*given, *(TABLES, STREAMS)[len(given) :]]
    configure(LogSettings(level="error"))
    stack = local.load()
    assert Path(local.LOCAL).exists(), "CPU of the database is only known of the local stack"
    with tables(stack, count, streams) as name:
        found = asyncio.run(measure(stack, name))
    print(json.dumps({"streams_per_table": streams, **found}, indent=2))


if __name__ == "__main__":
    main()
