"""cdcd against what it replaces: same log, broker and PostgreSQL, in one run.

    CDCD_RACE_CHANGES=300000 CDCD_RACE_ROUNDS=2 python -m tests.bench.race

The sink half: Kafka to PostgreSQL, against Debezium's JDBC sink on Kafka Connect. The reference
work is written to the log, and cdcd's source publishes it; Debezium's sink gets the same changes
in the same order as flat whole rows, which is the least work for it. The arms alternate, each run
with a database of its own. A run is measured between two marks in the topic, so that starting and
warming up count for nobody. The largest difference of two runs of one arm is the noise.

Writes `.local/race.json`; `python -m tests.bench.race_page` makes the page of it. An arm that
cannot run is named with the reason, and has no figure.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from cdcd.model.change import ChangeEvent
from cdcd.transport.records import Record
from tests import stack as local
from tests.bench import flat_topic, work
from tests.bench.catchup import Arm, fill_with, peak_mb
from tests.bench.connect_worker import HEAP, ConnectWorker, prepared
from tests.bench.latency import cpu_seconds
from tests.scenario.conftest import Place, connected

CHANGES = int(os.environ.get("CDCD_RACE_CHANGES", "300000"))
ROUNDS = int(os.environ.get("CDCD_RACE_ROUNDS", "2"))
CHANGES_MIN = 20_000
OUTPUT = local.ROOT / ".local" / "race.json"
WAIT_SECONDS = 1800
# Changes before the first mark. Java's arm gets them again and again until there are so many: it
# compiles what runs most, and its first ten thousands cost several times as much.
WARM_UP_SHARE = 0.5
WARM_UP_OF_JAVA = 200_000
# How long the last batch may take to be whole: Debezium's upserts and deletes are apart.
SETTLING_SECONDS = 5.0
# One, so that what lies between two marks in it is known exactly.
PARTITIONS = 1
MARK_ROWS = 64
MARKS = (1_000_000, 2_000_000)
_POLL_SECONDS = 0.02

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What waits in Kafka: cdcd's topic, the flat one, and the records between the marks."""

    pipeline: Arm
    flat: str
    between: int
    truth: dict[int, Row]


def write_work(place: Place, changes: int) -> None:
    """Warm-up, a mark, the changes, a mark."""
    some = list(work.changes(int(changes * (1 + WARM_UP_SHARE))))
    cut = len(some) - changes
    for part in (some[:cut], _mark(MARKS[0]), some[cut:], _mark(MARKS[1])):
        fill_with(place.session, place.name, part)


def _mark(first: int) -> list[work.Change]:
    rows = range(first, first + MARK_ROWS)
    return [(work.INSERT, (n, True, 0.5, work.NOW_MS, "mark", "", 1, UUID(int=n))) for n in rows]


def between_marks(keys: list[int]) -> int:
    """How many records lie between the last rows of the two marks."""
    ends = [max(n for n, key in enumerate(keys) if key // mark == 1) for mark in MARKS]
    return ends[1] - ends[0]


def warm_up(found: list[ChangeEvent]) -> list[ChangeEvent]:
    """What comes before the first mark, as often as it takes; applied again it ends the same."""
    first = next(n for n, c in enumerate(found) if flat_topic.key_of(c) >= MARKS[0])
    return found[:first] * (WARM_UP_OF_JAVA // first)


async def prepare(place: Place, changes: int) -> tuple[Work, dict[str, float]]:
    """Fill the log and both topics; the work, and how the source did."""
    place.execute(work.CREATE)
    source = Arm(place, place.name, "source", "published", PARTITIONS)
    start_up = source.start_up()
    write_work(place, changes)
    total = int(changes * (1 + WARM_UP_SHARE)) + 2 * MARK_ROWS
    figures = source.catch_up(total, start_up)
    topic = f"{place.name}.{place.name}.bench"
    records: list[Record] = flat_topic.read_topic(place.stack, topic)
    found = await flat_topic.changes_of(place.stack, records)
    flat, truth = f"{topic}-flat", truth_of(place)
    rows = flat_topic.produce(place.stack, flat, [*warm_up(found), *found])
    assert {key: from_topic(key, row) for key, row in rows.items()} == truth
    keys = [flat_topic.key_of(change) for change in found]
    sink = Arm(place, place.name, "sink", "applied", PARTITIONS)
    return Work(sink, flat, between_marks(keys), truth), figures


def truth_of(place: Place) -> dict[int, Row]:
    """The rows of the source."""
    names = ", ".join(work.NAMES)
    rows = place.session.execute(f"SELECT {names} FROM {place.name}.bench")
    return {row[0]: plain(tuple(row)) for row in rows}


def from_topic(key: int, row: dict[str, Any]) -> Row:
    """A row of the flat topic in the same form."""
    named = {**row, "id": key}
    if named.get("created") is not None:
        seconds, ms = divmod(named["created"], 1000)
        created = datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)
        named["created"] = created
    return plain(tuple(map(named.get, work.NAMES)))


def plain(row: Row) -> Row:
    """A row whose values compare: timestamps without a zone, UUIDs as text."""
    return tuple(_plain(value) for value in row)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return str(value) if isinstance(value, UUID) else value


async def until_marked(connection: asyncpg.Connection, table: str, first: int) -> None:
    """Wait until all rows of a mark are visible."""
    query = f"SELECT count(*) FROM {table} WHERE id >= $1 AND id < $2"
    ends = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < ends:
        try:
            if await connection.fetchval(query, first, first + MARK_ROWS) == MARK_ROWS:
                return
        except asyncpg.UndefinedTableError:
            pass
        await asyncio.sleep(_POLL_SECONDS)
    raise TimeoutError(f"{table}: the mark {first} did not come")


async def differences(connection: asyncpg.Connection, truth: dict[int, Row], table: str) -> int:
    """How many rows differ from the source, when the last batch has had its time."""
    ends = time.monotonic() + SETTLING_SECONDS
    query = f"SELECT {', '.join(work.NAMES)} FROM {table}"
    while True:
        found = {row["id"]: plain(tuple(row)) for row in await connection.fetch(query)}
        count = sum(truth.get(key) != found.get(key) for key in truth.keys() | found.keys())
        if count == 0 or time.monotonic() > ends:
            return count


async def run_sink(
    given: Work, dsn: str, table: str, start: Callable[[], int], stop: Callable[[], object]
) -> dict[str, Any]:
    """Start an arm, time it between the marks, and compare what it has written."""
    connection = await asyncpg.connect(dsn)
    try:
        pid = start()
        await until_marked(connection, table, MARKS[0])
        began, cpu = time.monotonic(), cpu_seconds(pid)
        await until_marked(connection, table, MARKS[1])
        seconds, cpu = time.monotonic() - began, cpu_seconds(pid) - cpu
        peak = peak_mb(pid)
        differing = await differences(connection, given.truth, table)
    finally:
        stop()
        await connection.close()
    return {
        "changes_per_second": round(given.between / seconds),
        "cpu_us_per_change": round(cpu / given.between * 1e6, 1),
        "peak_mb": peak,
        "rows_that_differ": differing,
    }


async def sink_of_cdcd(place: Place, given: Work, dsn: str) -> dict[str, Any]:
    """`cdcd run --stage sink`."""
    daemon = given.pipeline.daemon(dsn)

    def start() -> int:
        daemon.start()
        return daemon.pid

    return await run_sink(given, dsn, f'"{given.pipeline.name}".bench', start, daemon.stop)


async def sink_of_connect(place: Place, given: Work, dsn: str) -> dict[str, Any]:
    """Debezium's JDBC sink."""
    worker = ConnectWorker(place.stack, place.folder, dsn.rpartition("/")[2])

    def start() -> int:
        worker.start(given.flat, dsn, "bench")
        return worker.pid

    return await run_sink(given, dsn, "bench", start, worker.stop)


async def in_new_database(place: Place, name: str, run: Callable[[str], Any]) -> dict[str, Any]:
    """Give a run a database of its own, and drop it."""
    dsn = place.stack.postgres
    admin = await asyncpg.connect(dsn)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        found: dict[str, Any] = await run(f"{dsn.rpartition('/')[0]}/{name}")
        return found
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def race_sinks(place: Place, given: Work, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """The arms in turn."""
    found: dict[str, list[dict[str, Any]]] = {"cdcd": [], "connect": []}
    for number in range(rounds):
        for arm, run in (("cdcd", sink_of_cdcd), ("connect", sink_of_connect)):
            name = f"{place.name}_{arm}_{number}"
            figures = await in_new_database(place, name, partial(run, place, given))
            print(arm, figures, file=sys.stderr, flush=True)
            found[arm].append(figures)
    return found


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The document's shape; what was not measured is None."""
    middle = {arm: _middle(each) for arm, each in runs.items()}
    ours, theirs = middle["cdcd"], middle["connect"]
    return {
        "cdcd": {"sink": ours},
        "connect": {"sink": theirs},
        "rust": None,
        "ratio": {
            "catch_up": None,
            "source": None,
            "sink": round(ours["changes_per_second"] / theirs["changes_per_second"], 2),
            "p95": None,
            "cpu": round(theirs["cpu_us_per_change"] / ours["cpu_us_per_change"], 2),
            "memory": round(theirs["peak_mb"] / ours["peak_mb"], 2),
        },
        "noise": max(_spread(each) for each in runs.values()),
        "runs": runs,
    }


def _middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    found = {name: statistics.median(r[name] for r in runs) for name in runs[0]}
    return found | {"rows_that_differ": max(r["rows_that_differ"] for r in runs)}


def _spread(runs: list[dict[str, Any]]) -> float:
    rates = [r["changes_per_second"] for r in runs]
    return round((max(rates) - min(rates)) / statistics.mean(rates), 3)


NOT_RUN = {
    "The source half and the whole road against ScyllaDB's source connector": "Maven does not"
    " resolve its artefact",
    "The reading half against the official Rust client": "not a part of the race so far",
}


async def measure(place: Place) -> dict[str, Any]:
    """The whole race."""
    prepared()  # whatever is to be downloaded, before anything is timed
    given, source = await prepare(place, CHANGES)
    runs = await race_sinks(place, given, ROUNDS)
    found = summary(runs)
    found["cdcd"]["source"] = source
    found |= {"changes": CHANGES, "between_marks": given.between, "not_run": NOT_RUN}
    found |= {
        "warm_up": int(CHANGES * WARM_UP_SHARE),
        "warm_up_of_java": WARM_UP_OF_JAVA,
        "rounds": ROUNDS,
        "connect_heap": HEAP,
    }
    return found | {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}


def main() -> None:
    """Measure, print and keep."""
    if CHANGES < CHANGES_MIN:
        sys.exit(f"CDCD_RACE_CHANGES must be at least {CHANGES_MIN}: marks lie batches apart")
    with connected(local.load()) as (stack, session), tempfile.TemporaryDirectory() as folder:
        place = Place(stack, session, Path(folder), f"race{os.getpid()}")
        place.begin()
        try:
            found = asyncio.run(measure(place))
        finally:
            place.end()
    OUTPUT.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
