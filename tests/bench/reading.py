"""cdcd's reading half alone: a closed range of one table's log, to changes that nobody publishes.

    python -m tests.bench.reading HOST:PORT KEYSPACE.TABLE START_MS END_MS

The product's own reader and decoder, windows as wide as its source makes them, all lanes. Prints
one JSON object: changes, seconds, CPU seconds of this process, start-up apart, and its peak of
memory. Nothing of the tests is imported, so that the memory is the product's.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from cdcd.config.settings import ScyllaSettings, SourceSettings
from cdcd.model.lane import LaneSet
from cdcd.model.position import Generation
from cdcd.ops import garbage
from cdcd.source.catalog import SourceTable, find, read_schema
from cdcd.source.generations import Generations
from cdcd.source.lanes import streams_of
from cdcd.source.log_reader import LogReader, Read
from cdcd.source.scan import WindowTooWide
from cdcd.source.session import Session
from cdcd.source.windows import (
    Pace,
    generation_at,
    generation_end,
    narrower,
    next_width,
    next_window,
)

LANES = LaneSet(frozenset(range(16)), 16)


async def windows(
    log: LogReader, generations: tuple[Generation, ...], start_ms: int, end_ms: int
) -> AsyncIterator[Read]:
    """The range window by window, as the source's follower reads it."""
    settings = SourceSettings()
    pace = Pace(
        int(settings.window_seconds_min * 1000),
        int(settings.window_seconds_max * 1000),
        settings.window_rows,
    )
    width_ms, frontier_ms = pace.min_ms, start_ms
    while frontier_ms < end_ms:
        generation = generation_at(generations, frontier_ms)
        assert generation is not None, "the range begins before the first generation"
        boundary_ms = generation_end(generations, generation) or end_ms
        window = next_window(frontier_ms, end_ms, width_ms, boundary_ms)
        assert window is not None
        try:
            read = await log.read(streams_of(generation, LANES), LANES, window)
        except WindowTooWide:
            width_ms = narrower(window)
            continue
        width_ms = next_width(width_ms, read.rows, pace)
        frontier_ms = window.end_ms
        yield read


async def read_range(session: Session, table: SourceTable, start_ms: int, end_ms: int) -> int:
    """How many changes the range holds."""
    generations = await Generations(session).of(table)
    settings = SourceSettings()
    in_flight = asyncio.Semaphore(settings.reads_in_flight_max)
    log = LogReader(session, table.spec, settings, in_flight)
    return sum([len(r.events) async for r in windows(log, generations, start_ms, end_ms)])


async def measure(node: str, name: str, start_ms: int, end_ms: int) -> dict[str, float]:
    """Read the range, and say what that took."""
    host, _, port = node.rpartition(":")
    async with Session.open(ScyllaSettings(hosts=(host,), port=int(port))) as session:
        table = find(await read_schema(session), [name]).tables[name]
        garbage.expect_little()
        began, start_up = time.monotonic(), cpu_seconds()
        changes = await read_range(session, table, start_ms, end_ms)
        return {
            "changes": changes,
            "seconds": time.monotonic() - began,
            "cpu_seconds": cpu_seconds() - start_up,
            "start_up_cpu_seconds": start_up,
            "peak_mb": peak_mb(),
        }


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    """The most memory that this process has held; getrusage's begins with its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return round(int(kib) / 1024, 1)


def main() -> None:
    """Measure and print."""
    node, name, start_ms, end_ms = sys.argv[1:]
    print(json.dumps(asyncio.run(measure(node, name, int(start_ms), int(end_ms)))))


if __name__ == "__main__":
    main()
