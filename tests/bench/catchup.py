"""How fast, and at what cost, a backlog is caught up with: each stage alone, then both.

    CDCD_BENCH_CHANGES=60000 python -m tests.bench.catchup

So many changes of the reference work wait in the log. CPU is user and system time of the one
process of `cdcd run`, less what a start without work takes; the peak of its memory is the kernel's.
Starts the local stack if need be. Prints one JSON document.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent

from tests import stack as local
from tests.bench import work
from tests.bench.latency import busy_seconds, cpu_seconds, peak_mb
from tests.scenario.conftest import Place, connected
from tests.scenario.daemon import Daemon, wait_until

CHANGES = int(os.environ.get("CDCD_BENCH_CHANGES", "60000"))
WAIT_SECONDS = 600
# How long a start without work goes on, so that all that belongs to it has happened.
SETTLED_SECONDS = 3.0
# How often a process that is measured is asked how far it is, which is a tenth of a busy loop's
# work when it is asked twenty times a second.
_LOOK_SECONDS = 0.25
_AT_ONCE = 128
_TRIES = 10


def fill(session: Session, keyspace: str, count: int) -> None:
    """Write so many changes of the reference work."""
    fill_with(session, keyspace, work.changes(count))


def fill_with(session: Session, keyspace: str, changes: Iterable[work.Change]) -> None:
    """Write these changes; what a busy server does not take is written again, later than others."""
    prepared = {
        text: session.prepare(text.replace("$ks", keyspace))
        for text in (work.INSERT, work.UPDATE, work.DELETE)
    }
    left = [(prepared[text], values) for text, values in changes]
    for _ in range(_TRIES):
        done = execute_concurrent(session, left, concurrency=_AT_ONCE, raise_on_first_error=False)
        left = [one for one, (ok, _) in zip(left, done, strict=True) if not ok]
    assert not left, f"the source did not take {len(left)} changes"


@dataclass
class Arm:
    """A pipeline of its own over the same log: what it runs, and how far the board must say."""

    place: Place
    name: str
    stage: str
    counted: str
    partitions: int = 4

    def daemon(
        self, dsn: str | None = None, instance: str = "one", settle_seconds: float = 3600
    ) -> Daemon:
        """A worker that is not started yet; it writes to the stack's database unless told."""
        self.place.settings = {
            "kafka": {"topic_partitions": self.partitions},
            "postgres": {
                "dsn": dsn or self.place.stack.postgres,
                "target_schema": self.name,
            },
            # Settling is another piece of work, at another time.
            "source": {"settle_delays_seconds": [settle_seconds]},
        }
        named = ("--table", f"{self.place.name}.*", "--name", self.name, "--stage", self.stage)
        return self.place.daemon(*named, instance=instance)

    def start_up(self) -> float:
        """CPU seconds of a start with nothing to do."""
        daemon = self.daemon()
        daemon.start()
        wait_until(lambda: daemon.get("/readyz")[0] == 200, "ready", WAIT_SECONDS)
        time.sleep(SETTLED_SECONDS)
        seconds = cpu_seconds(daemon.pid)
        daemon.stop()
        return seconds

    def catch_up(self, changes: int, start_up: float, dsn: str | None = None) -> dict[str, float]:
        """Run until all changes are done; timed from the first one that comes out of the stage, of
        both stages from the first one in Kafka.
        """
        first = "published" if self.stage == "all" else self.counted
        daemon = self.daemon(dsn)
        daemon.start()
        wait_until(lambda: done(daemon, first) > 0, "a first change", WAIT_SECONDS)
        began, before = time.monotonic(), done(daemon, self.counted)
        busy, own = busy_seconds(), cpu_seconds(daemon.pid)
        wait_until(
            lambda: done(daemon, self.counted) >= changes,
            "all changes",
            WAIT_SECONDS,
            every_seconds=_LOOK_SECONDS,
        )
        seconds = time.monotonic() - began
        busy, own = busy_seconds() - busy, cpu_seconds(daemon.pid) - own
        cpu = cpu_seconds(daemon.pid) - start_up
        peak = peak_mb(daemon.pid)
        daemon.stop()
        return {
            "changes_per_second": round((changes - before) / seconds),
            "cpu_us_per_change": round(cpu / changes * 1e6, 1),
            "start_up_cpu_seconds": round(start_up, 2),
            "peak_mb": peak,
            "cores": round(own / seconds, 2),
            "other_cores": round((busy - own) / seconds, 2),
        }

    def settle(self, until_ms: int, changes: int, start_up: float) -> dict[str, float]:
        """Run again behind `catch_up` until one settling pass has read the log up to a time."""
        daemon = self.daemon(settle_seconds=SETTLED_SECONDS)
        daemon.start()
        wait_until(
            lambda: daemon.settled_seconds() * 1000 >= until_ms,
            "all settled",
            WAIT_SECONDS,
            every_seconds=_LOOK_SECONDS,
        )
        cpu = cpu_seconds(daemon.pid) - start_up
        published = done(daemon, "published")
        daemon.stop()
        assert published == 0, f"{published} changes were late"
        return {"cpu_us_per_change": round(cpu / changes * 1e6, 1)}


def done(daemon: Daemon, counted: str) -> int:
    """How many changes the daemon has published or applied."""
    _, status = daemon.get("/status")
    return sum(table[counted] or 0 for table in status["tables"]) if status else 0


def measure(place: Place, changes: int) -> dict[str, object]:
    """Each stage alone, then both."""
    place.execute(work.CREATE)
    split, both = f"{place.name}_split", f"{place.name}_both"
    arms = [
        Arm(place, split, "source", "published"),
        Arm(place, split, "sink", "applied"),
        Arm(place, both, "all", "applied"),
    ]
    start_ups = [arm.start_up() for arm in arms]
    fill(place.session, place.name, changes)
    found: dict[str, object] = {"changes": changes, "load": round(os.getloadavg()[0], 1)}
    for arm, start_up in zip(arms, start_ups, strict=True):
        found[arm.stage] = arm.catch_up(changes, start_up)
        print(arm.stage, found[arm.stage], file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Measure and print."""
    with connected(local.load()) as (stack, session), tempfile.TemporaryDirectory() as folder:
        place = Place(stack, session, Path(folder), f"catchup{os.getpid()}")
        place.begin()
        try:
            print(json.dumps(measure(place, CHANGES), indent=2))
        finally:
            place.end()


if __name__ == "__main__":
    main()
