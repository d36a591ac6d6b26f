"""The race's sink half: Kafka to PostgreSQL, against Debezium's JDBC sink on Kafka Connect.

cdcd's source publishes the log; Debezium's sink gets the same changes in the same order as flat
whole rows, which is the least work for it. Each run has a database of its own. It is measured
between two marks in the topic, so that starting and warming up count for nobody.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg

from cdcd.model.change import ChangeEvent
from cdcd.transport.records import Record
from tests.bench import flat_topic, work
from tests.bench.catchup import Arm, fill_with
from tests.bench.connect_worker import ConnectWorker, NotHad, jdbc_sink
from tests.bench.latency import cpu_seconds, peak_mb
from tests.scenario.conftest import Place

WAIT_SECONDS = 1800
# A mark that is not whole by then never will be: sinks take a minute, whole roads some more.
MARK_SECONDS_MAX = 600
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
# Rows that come first and stay: Debezium's sink makes its table by the first record that it gets,
# and stops for good where that is a delete's.
OPENING, OPENING_SECONDS = 500_000, 3.0
_POLL_SECONDS = 0.02

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """What waits in Kafka: cdcd's topic, the flat one, and the records between the marks."""

    pipeline: Arm
    flat: str
    between: int
    truth: dict[int, Row]


def write_work(place: Place, changes: int) -> int:
    """An opening, warm-up, a mark, the changes, a mark; gives how many changes that are."""
    opening = _mark(OPENING)
    fill_with(place.session, place.name, opening)
    # So that a window of a connector holds the opening alone.
    time.sleep(OPENING_SECONDS)
    some = list(work.changes(int(changes * (1 + WARM_UP_SHARE))))
    cut = len(some) - changes
    parts = (some[:cut], _mark(MARKS[0]), some[cut:], _mark(MARKS[1]))
    for part in parts:
        fill_with(place.session, place.name, part)
    return len(opening) + sum(map(len, parts))


def _mark(first: int) -> list[work.Change]:
    rows = range(first, first + MARK_ROWS)
    return [(work.INSERT, (n, True, 0.5, work.NOW_MS, "mark", "", 1, UUID(int=n))) for n in rows]


def between_marks(keys: list[int]) -> int:
    """How many records lie between the last rows of the two marks."""
    ends = [max(n for n, key in enumerate(keys) if key // mark == 1) for mark in MARKS]
    return ends[1] - ends[0]


def warm_up(found: list[ChangeEvent]) -> list[ChangeEvent]:
    """What comes before the first mark, as often as it takes, behind one of the opening's; applied
    again it ends the same.
    """
    opening = next(c for c in found if flat_topic.key_of(c) // OPENING == 1)
    first = next(n for n, c in enumerate(found) if flat_topic.key_of(c) >= MARKS[0])
    return [opening, *found[:first] * (WARM_UP_OF_JAVA // first)]


async def prepare(place: Place, truth: dict[int, Row]) -> Work:
    """The flat topic, of what cdcd's source has published."""
    topic = f"{place.name}.{place.name}.bench"
    records: list[Record] = flat_topic.read_topic(place.stack, topic)
    found = await flat_topic.changes_of(place.stack, records)
    flat = f"{topic}-flat"
    rows = flat_topic.produce(place.stack, flat, [*warm_up(found), *found])
    assert {key: from_topic(key, row) for key, row in rows.items()} == truth
    keys = [flat_topic.key_of(change) for change in found]
    sink = Arm(place, place.name, "sink", "applied", PARTITIONS)
    return Work(sink, flat, between_marks(keys), truth)


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


def _go_on() -> None:
    pass


async def until_marked(
    connection: asyncpg.Connection, table: str, first: int, look: Callable[[], None] = _go_on
) -> None:
    """Wait until all rows of a mark are visible; `look` may raise where they will never be. Raises
    NotHad where those of the last mark are, and some of this one are not, and TimeoutError.
    """
    query = f"SELECT count(*) FROM {table} WHERE id >= $1 AND id < $2"
    ends = time.monotonic() + MARK_SECONDS_MAX
    while time.monotonic() < ends:
        try:
            counts = [
                await connection.fetchval(query, mark, mark + MARK_ROWS)
                for mark in (MARKS[-1], first)
            ]
        except asyncpg.UndefinedTableError:
            counts = [0, 0]
        if counts[1] == MARK_ROWS:
            return
        if counts[0] == MARK_ROWS:
            raise NotHad("it has lost rows: those of the first mark never came")
        look()
        await asyncio.sleep(_POLL_SECONDS)
    raise TimeoutError(f"{table}: the mark {first} did not come in {MARK_SECONDS_MAX} s")


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


async def sink_of_cdcd(place: Place, given: Work, number: int) -> dict[str, Any]:
    """`cdcd run --stage sink`."""
    name = f"{place.name}_cdcd_{number}"
    return await in_new_database(place, name, partial(_sink_of_cdcd, given))


async def _sink_of_cdcd(given: Work, dsn: str) -> dict[str, Any]:
    daemon = given.pipeline.daemon(dsn)

    def start() -> int:
        daemon.start()
        return daemon.pid

    return await run_sink(given, dsn, f'"{given.pipeline.name}".bench', start, daemon.stop)


async def sink_of_connect(place: Place, given: Work, number: int) -> dict[str, Any]:
    """Debezium's JDBC sink. Raises NotHad."""
    name = f"{place.name}_connect_{number}"
    try:
        return await in_new_database(place, name, partial(_sink_of_connect, place, given))
    except TimeoutError as error:
        raise NotHad(str(error)) from error


async def _sink_of_connect(place: Place, given: Work, dsn: str) -> dict[str, Any]:
    worker = ConnectWorker(place.stack, place.folder, dsn.rpartition("/")[2])

    def start() -> int:
        worker.start(jdbc_sink(given.flat, dsn, "bench"))
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
