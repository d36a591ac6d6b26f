"""cdcd against what it replaces: same log, broker and PostgreSQL, in one run.

    CDCD_RACE_CHANGES=300000 CDCD_RACE_ROUNDS=2 python -m tests.bench.race

The reference work waits in one log. The reading half goes against the official Rust client, the
sink half against Debezium's JDBC sink on Kafka Connect, and the source half and the whole road
against Kafka Connect with ScyllaDB's source connector where that can be had: from Maven, or from
the plugin folder that CDCD_RACE_SCYLLA_PLUGIN names. The arms alternate, and warm-up is dropped.
The largest difference between two runs of one arm is the noise.

Writes `.local/race.json`; `python -m tests.bench.race_page` makes the page of it. An arm that
cannot run is named with the reason, and has no figure.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tests import stack as local
from tests.bench import race_connect, race_reading, race_road, race_sink, work
from tests.bench.connect_worker import HEAP, NotHad, prepared, source_plugin
from tests.bench.latency import road_of_cdcd
from tests.bench.pace import Pace
from tests.bench.race_document import Runs, document
from tests.bench.race_page import DOCUMENT
from tests.bench.race_reading import Range
from tests.scenario.conftest import Place, connected

CHANGES = int(os.environ.get("CDCD_RACE_CHANGES", "300000"))
ROUNDS = int(os.environ.get("CDCD_RACE_ROUNDS", "2"))
CHANGES_MIN = 20_000
# Before the first write, and after the last: the servers' clocks are this machine's.
MARGIN_MS = 1000

RUST = "The reading half against the official Rust client"
CONNECT = "The source half and the whole road against ScyllaDB's source connector"

TITLES = {
    "sink": "The sink half",
    "source": "The source half",
    "catch_up": "The whole road, a waiting log",
    "steady": "The whole road, a steady rate",
}

Had = TypeVar("Had")
# What runs an arm, given the number of the run. Raises NotHad.
Arms = dict[str, Callable[[int], Awaitable[dict[str, Any]]]]


class Race:
    """One race: the place it runs in, what was measured, and what could not be."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.parts: dict[str, Runs] = {}
        self.not_run: dict[str, str] = {}
        self._load = _load()
        self._pace = Pace()

    async def run(self) -> dict[str, Any]:
        """All parts on the same log; its reading first, while the servers hold nothing else."""
        place = self._place
        prepared()  # whatever is to be downloaded or compiled, before anything is timed
        rust = self._had(RUST, race_reading.program)
        plugins = self._had(CONNECT, partial(source_plugin, place.folder))
        place.execute(work.CREATE)
        start_ups = [race_road.start_up_of(place, stage) for stage in ("source", "all")]
        started_ms = _now_ms()
        total = race_sink.write_work(place, CHANGES)
        log = Range(f"{place.name}.bench", started_ms - MARGIN_MS, _now_ms() + MARGIN_MS, total)
        truth = race_sink.truth_of(place)

        await self._race("reading", self._readers(rust, log), race_reading.RUNS_PER_ROUND, 1)
        source: Arms = {"cdcd": partial(race_road.source_of_cdcd, place, total, start_ups[0])}
        road: Arms = {"cdcd": partial(race_road.road_of_cdcd, place, total, start_ups[1], truth)}
        steady: Arms = {"cdcd": partial(race_road.steady, place, "cdcd", road_of_cdcd)}
        if plugins is not None:
            connect = race_connect.Connect(place, plugins, log.start_ms)
            source["connect"] = partial(race_connect.source_of_connect, connect, total)
            road["connect"] = partial(race_connect.road_of_connect, connect, total, truth)
            through = partial(race_connect.road, connect)
            steady["connect"] = partial(race_road.steady, place, "connect", through)
        await self._race("source", source)
        settling = race_road.settling_of_cdcd(place, log, start_ups[0])
        given = await race_sink.prepare(place, truth)
        await self._race(
            "sink",
            {
                "cdcd": partial(race_sink.sink_of_cdcd, place, given),
                "connect": partial(race_sink.sink_of_connect, place, given),
            },
        )
        await self._race("catch_up", road)
        await self._race("steady", steady)
        idle = self._had("What idle tables cost", race_road.idle)
        beside = {"settling": settling, "idle": idle}
        return document(self.parts) | beside | self._about(total, given.between)

    def _readers(self, rust: Path | None, log: Range) -> Arms:
        commands = race_reading.commands(self._place.stack, rust, log)
        return {
            arm: partial(race_reading.read, command, log.changes)
            for arm, command in commands.items()
        }

    async def _race(self, part: str, arms: Arms, runs_per_round: int = 1, dropped: int = 0) -> None:
        """The arms in turn. One that fails runs no more of this part, and is named; it has no
        figure if that was its first run.
        """
        runs: Runs = {arm: [] for arm in arms}
        going = list(arms)
        for number in range(ROUNDS * runs_per_round + dropped):
            for arm in list(going):
                self._pace.take()
                try:
                    figures = await arms[arm](number)
                except NotHad as why:
                    run = f", run {number + 1}" if number else ""
                    self.not_run[f"{TITLES[part]} on Kafka Connect{run}"] = str(why)
                    going.remove(arm)
                    continue
                print(part, arm, figures, file=sys.stderr, flush=True)
                if number >= dropped:
                    runs[arm].append(figures)
        self.parts[part] = {arm: found for arm, found in runs.items() if found}

    def _had(self, arm: str, have: Callable[[], Had]) -> Had | None:
        try:
            return have()
        except NotHad as why:
            self.not_run[arm] = str(why)
            return None

    def _about(self, total: int, between: int) -> dict[str, Any]:
        return {
            "changes": CHANGES,
            "waiting": total,
            "between_marks": between,
            "warm_up": int(CHANGES * race_sink.WARM_UP_SHARE),
            "warm_up_of_java": race_sink.WARM_UP_OF_JAVA,
            "rounds": ROUNDS,
            "steady_seconds": race_road.STEADY_SECONDS,
            "connect_heap": HEAP,
            "not_run": self.not_run,
            "cores": os.cpu_count(),
            "load_before": self._load,
            "load": _load(),
            "pace": self._pace.spread,
        }


def _load() -> float:
    return round(os.getloadavg()[0], 1)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    """Measure, print and keep."""
    if CHANGES < CHANGES_MIN:
        sys.exit(f"CDCD_RACE_CHANGES must be at least {CHANGES_MIN}: marks lie batches apart")
    with connected(local.load()) as (stack, session), tempfile.TemporaryDirectory() as folder:
        place = Place(stack, session, Path(folder), f"race{os.getpid()}")
        place.begin()
        try:
            found = asyncio.run(Race(place).run())
        finally:
            place.end()
    DOCUMENT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
