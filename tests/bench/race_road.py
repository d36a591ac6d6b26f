"""The race's whole road, log to PostgreSQL with both stages in one process, and its source half.

Two pieces of work: the waiting log is caught up with, which is timed from the first change that
is done to the last, and a steady rate, where each change is timed from its acknowledged write to
its visible row.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import asyncpg

from tests.bench import latency
from tests.bench.catchup import Arm
from tests.bench.connect_worker import NotHad
from tests.bench.race_reading import Range
from tests.bench.race_sink import PARTITIONS, WAIT_SECONDS, Row, differences, in_new_database
from tests.scenario.conftest import Place
from tests.stack import ROOT

STEADY_PER_SECOND = 2000
IDLE_TABLES, IDLE_STREAMS = 100, 768
STEADY_SECONDS = int(os.environ.get("CDCD_RACE_STEADY_SECONDS", "60"))


def start_up_of(place: Place, stage: str) -> float:
    """CPU seconds of a start with nothing to do."""
    return Arm(place, f"{place.name}_idle_{stage}", stage, "applied").start_up()


async def source_of_cdcd(
    place: Place, changes: int, start_up: float, number: int
) -> dict[str, Any]:
    """`cdcd run --stage source` on the waiting log; the first one fills the sink half's topic."""
    name = f"{place.name}_source{number}" if number else place.name
    return Arm(place, name, "source", "published", PARTITIONS).catch_up(changes, start_up)


def settling_of_cdcd(place: Place, log: Range, start_up: float) -> dict[str, float]:
    """What the source does once more, for each settling pass, where it published all of the log."""
    arm = Arm(place, place.name, "source", "published", PARTITIONS)
    found = arm.settle(log.end_ms, log.changes, start_up)
    print("settling cdcd", found, file=sys.stderr, flush=True)
    return found


async def road_of_cdcd(
    place: Place, changes: int, start_up: float, truth: dict[int, Row], number: int
) -> dict[str, Any]:
    """`cdcd run` on the waiting log, into a database of its own."""
    arm = Arm(place, f"{place.name}_road{number}", "all", "applied")

    async def run(dsn: str) -> dict[str, Any]:
        figures = arm.catch_up(changes, start_up, dsn)
        connection = await asyncpg.connect(dsn)
        try:
            differing = await differences(connection, truth, f'"{arm.name}".bench')
        finally:
            await connection.close()
        return figures | {"rows_that_differ": differing}

    return await in_new_database(place, arm.name, run)


async def steady(
    place: Place, arm: str, road_of: Callable[[Place], latency.Road], number: int
) -> dict[str, Any]:
    """Latency and cost at a steady rate, on a table of its own. Raises NotHad."""
    name = f"{place.name}_{arm}{number}"
    folder = place.folder / name
    folder.mkdir()
    own = Place(place.stack, place.session, folder, name)
    own.begin()
    try:
        own.execute(latency.CREATE)
        road = road_of(own)
        try:
            total = STEADY_PER_SECOND * STEADY_SECONDS
            found = latency.measure(own, STEADY_PER_SECOND, total, road)
        except statistics.StatisticsError:
            raise NotHad("none of its changes was seen in time") from None
        finally:
            road.stop()
    finally:
        own.end()
    return steady_figures(found)


def idle() -> dict[str, Any]:
    """What idle tables cost the source, by a process of its own. Raises NotHad."""
    told = map(str, (IDLE_TABLES, IDLE_STREAMS))
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.idle", *told],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise NotHad(f"its process ended with {done.returncode}")
    found = idle_figures(json.loads(done.stdout))
    print("idle cdcd", found, file=sys.stderr, flush=True)
    return found


def idle_figures(found: dict[str, Any]) -> dict[str, Any]:
    """What is told of idle tables, before the settling passes begin."""
    about = ["tables", "streams_per_table"]
    waits = ["first_change_seconds", "busy_p50_seconds", "busy_p95_seconds"]
    return {name: found[name] for name in (*about, *waits)} | found["first_readings"]


def steady_figures(found: dict[str, Any]) -> dict[str, Any]:
    """What is told of a steady run; a change that nobody saw is told too."""
    return {
        "changes_per_second": found["changes_per_second"],
        "changes": found["changes"],
        "not_seen": found["changes"] - found["applied"],
        **{f"{name}_seconds": s for name, s in found["to_postgres_seconds"].items()},
        "cpu_us_per_change": found["daemon_cpu_us_per_change"],
        "peak_mb": found["daemon_peak_mb"],
    }
