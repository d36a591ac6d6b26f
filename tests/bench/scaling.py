"""How the cost of a change grows with what a pipeline has to do: `make scaling`.

    CDCD_SCALING_SHARE=1 python -m tests.bench.scaling [WHAT...]

One thing is varied at a time. Each point is a keyspace of its own, whose log is filled and then
caught up with, first by a source, then by a sink. CPU is user and system time of the one process,
less what a start without work takes: other work on the machine changes it little, unlike rates. For
several workers it is the rate that counts, and how idle the machine's cores were meanwhile.

CDCD_SCALING_SHARE makes all backlogs smaller. Writes `.local/scaling.json`, where what is not named
stays as it was, and the tables of docs/SCALING.md of what was measured, if the share is 1. Starts
the local stack if need be.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args

from tests import stack as local
from tests.bench import idle
from tests.bench.catchup import Arm, done
from tests.scenario.conftest import Place, connected
from tests.scenario.daemon import wait_until

SHARE = float(os.environ.get("CDCD_SCALING_SHARE", "1"))
RESULTS = local.ROOT / ".local" / "scaling.json"
PAGE = local.ROOT / "docs" / "SCALING.md"
WAIT_SECONDS = 900
_AT_ONCE = 128
_names = count()


@dataclass(frozen=True, slots=True)
class Shape:
    """What is written: so many changes of rows that have so many text columns of so many bytes."""

    changes: int = 40_000
    tables: int = 1
    columns: int = 8
    column_bytes: int = 20
    keys: int = 50_000

    def create(self, number: int) -> str:
        """The statement that makes a table."""
        columns = ", ".join(f"v{n} text" for n in range(self.columns))
        return (
            f"CREATE TABLE $ks.t{number} (id bigint PRIMARY KEY, {columns})"
            " WITH cdc = {'enabled': true}"
        )

    @property
    def insert(self) -> str:
        """The statement that writes a whole row."""
        names = ", ".join(f"v{n}" for n in range(self.columns))
        return f"INSERT INTO $ks.t{{number}} (id, {names}) VALUES (?{', ?' * self.columns})"

    def rows(self, many: int, seed: int) -> Iterator[tuple[object, ...]]:
        """Parameters of so many inserts."""
        chance = random.Random(seed)
        for number in range(many):
            text = f"{number:08x}" * (self.column_bytes // 8 + 1)
            value = text[: self.column_bytes]
            yield chance.randrange(self.keys), *([value] * self.columns)


REFERENCE = Shape()
# What is varied, and the shapes of its points by what is said of them.
POINTS: dict[str, dict[str, Shape]] = {
    "backlog": {f"{n:,}": replace(REFERENCE, changes=n) for n in (20_000, 80_000, 320_000)},
    "columns": {
        f"{n}": replace(REFERENCE, columns=n, changes=320_000 // max(n, 8)) for n in (2, 8, 32, 128)
    },
    "bytes of a column": {
        f"{n:,}": replace(REFERENCE, column_bytes=n, changes=c)
        for n, c in ((20, 40_000), (200, 40_000), (2_000, 8_000))
    },
    "keys": {f"{n:,}": replace(REFERENCE, keys=n) for n in (10, 1_000, 1_000_000)},
    "tables": {f"{n}": replace(REFERENCE, tables=n) for n in (1, 10, 50)},
}
WORKERS = (1, 2, 4)
# Tables to which nothing is written, each with so many streams of its own.
IDLE_TABLES, IDLE_STREAMS = (1, 10, 100), 768


def fill(session: Session, keyspace: str, shape: Shape) -> None:
    """Write all changes, divided among the tables."""
    for number in range(shape.tables):
        text = shape.insert.replace("$ks", keyspace).format(number=number)
        rows = list(shape.rows(shape.changes // shape.tables, number))
        prepared = session.prepare(text)
        for begin in range(0, len(rows), 20_000):
            some = rows[begin : begin + 20_000]
            execute_concurrent_with_args(session, prepared, some, concurrency=_AT_ONCE)


def place_of(stack: local.Stack, session: Session, folder: str) -> Place:
    """A keyspace of its own."""
    name = f"scaling{os.getpid()}_{next(_names)}"
    made = Path(folder) / name
    made.mkdir()
    place = Place(stack, session, made, name)
    place.begin()
    return place


def cost(place: Place, shape: Shape) -> dict[str, float]:
    """CPU for each change of source and sink, and the most memory that either took."""
    shape = replace(shape, changes=max(int(shape.changes * SHARE), 1000))
    for number in range(shape.tables):
        place.execute(shape.create(number))
    name = f"{place.name}_p"
    arms = [Arm(place, name, "source", "published"), Arm(place, name, "sink", "applied")]
    starts = [arm.start_up() for arm in arms]
    fill(place.session, place.name, shape)
    written = shape.changes // shape.tables * shape.tables
    found = [arm.catch_up(written, start) for arm, start in zip(arms, starts, strict=True)]
    return {
        "changes": written,
        "source_us": found[0]["cpu_us_per_change"],
        "sink_us": found[1]["cpu_us_per_change"],
        "source_mb": found[0]["peak_mb"],
        "sink_mb": found[1]["peak_mb"],
    }


def idle_seconds() -> float:
    """How long all cores together have been idle since the machine's start."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def together(place: Place, workers: int) -> dict[str, float]:
    """The rate of so many workers that catch up with the same log, both stages in each."""
    shape = replace(REFERENCE, changes=max(int(80_000 * SHARE), 1000))
    place.execute(shape.create(0))
    arm = Arm(place, f"{place.name}_p", "all", "applied", partitions=8)
    fill(place.session, place.name, shape)
    daemons = [arm.daemon(instance=f"w{number}") for number in range(workers)]
    for daemon in daemons:
        daemon.start()

    def applied() -> int:
        return sum(done(daemon, "applied") for daemon in daemons)

    wait_until(lambda: applied() > 0, "a first change", WAIT_SECONDS)
    began, before, idle_before = time.monotonic(), applied(), idle_seconds()
    wait_until(lambda: applied() >= shape.changes, "all changes", WAIT_SECONDS)
    seconds = time.monotonic() - began
    idle_cores = (idle_seconds() - idle_before) / seconds
    for daemon in daemons:
        daemon.stop()
    return {
        "changes_per_second": round((shape.changes - before) / seconds),
        "idle_cores": round(idle_cores, 2),
    }


def with_factors(rates: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Rates by the number of workers, each with how many times the first one's it is."""
    first = next(iter(rates.values()))["changes_per_second"]
    return {
        workers: found | {"factor": round(found["changes_per_second"] / first, 2)}
        for workers, found in rates.items()
    }


def nothing(stack: local.Stack, tables: int) -> dict[str, float]:
    """What tables cost that have no changes, in shares of a core, and what a busy one waits."""
    with idle.tables(stack, tables, IDLE_STREAMS) as name:
        found: dict[str, Any] = asyncio.run(idle.measure(stack, name))
    cost = found["with_settling"]
    named = ("first_change_seconds", "busy_p95_seconds")
    shares = ("log_reads_per_second", "reader_cpu_share", "database_cpu_share")
    return {name: cost[name] for name in shares} | {name: found[name] for name in named}


def measure(what: Sequence[str]) -> dict[str, Any]:
    """All points of what is to be varied."""
    found: dict[str, Any] = {"cores": os.cpu_count()}
    with connected(local.load()) as (stack, session), tempfile.TemporaryDirectory() as folder:

        def at(said: str, take: Any, *arguments: Any) -> dict[str, float]:
            place = place_of(stack, session, folder)
            try:
                taken: dict[str, float] = take(place, *arguments)
            finally:
                place.end()
            print(said, taken, file=sys.stderr, flush=True)
            return taken

        for name, shapes in POINTS.items():
            if not what or name in what:
                found[name] = {s: at(f"{name} {s}", cost, shape) for s, shape in shapes.items()}
        if not what or "workers" in what:
            rates = {str(n): at(f"workers {n}", together, n) for n in WORKERS}
            found["workers"] = with_factors(rates)
        if not what or "idle tables" in what:
            found["idle tables"] = {str(n): nothing(stack, n) for n in IDLE_TABLES}
    return found


def table(name: str, points: dict[str, dict[str, float]]) -> str:
    """The points of one thing that was varied, as the page has them."""
    heads = list(next(iter(points.values())))
    lines = [f"| {name} | {' | '.join(h.replace('_', ' ') for h in heads)} |"]
    lines.append("|---:" * (len(heads) + 1) + "|")
    for said, values in points.items():
        lines.append(f"| {said} | {' | '.join(f'{values[h]:,}' for h in heads)} |")
    return "\n".join(lines) + "\n"


def on_page(page: str, found: dict[str, Any]) -> str:
    """The page with the tables of what was found."""
    for name, points in found.items():
        if isinstance(points, dict):
            begin = f"<!-- {name}, made by make scaling -->\n"
            before, rest = page.split(begin, 1)
            after = rest.split("<!-- end -->", 1)[1]
            page = f"{before}{begin}{table(name, points)}<!-- end -->{after}"
    return page


def main() -> None:
    """Measure, and write."""
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found = measure(sys.argv[1:])
    RESULTS.write_text(json.dumps(before | found, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    if SHARE >= 1:
        PAGE.write_text(on_page(PAGE.read_text(), found))


if __name__ == "__main__":
    main()
