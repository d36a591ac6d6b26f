"""How long a change takes at a steady rate: to a visible Kafka record, and to a PostgreSQL row.

    python -m tests.bench.latency [CHANGES_PER_SECOND [SECONDS]]

Starts the local stack if need be and a daemon of its own. Times are from the acknowledged write.
The first half is warm-up and is dropped: fresh servers take that long to compile what they run. CPU
is the daemon's, for each change.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from cassandra.cluster import Session
from cassandra.query import PreparedStatement
from confluent_kafka import Consumer, TopicPartition

from tests import stack as local
from tests.scenario.conftest import Place, connected
from tests.scenario.daemon import wait_until

RATE_PER_SECOND = 2000
SECONDS = 60
KEYS = 200_000
# A change that was not seen this many changes ago is late: it is looked for when all is quiet.
LOOK_BACK = 20_000
QUIET_SECONDS = 1.0


@dataclass
class Times:
    """Monotonic seconds by change number."""

    written: dict[int, float] = field(default_factory=dict)
    published: dict[int, float] = field(default_factory=dict)
    applied: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Road:
    """What brings changes to PostgreSQL: the topic and the table that it fills. `start` gives its
    process id once it runs.
    """

    topic: str
    table: str
    start: Callable[[], int]
    stop: Callable[[], object]


def road_of_cdcd(place: Place) -> Road:
    """`cdcd run` with both stages."""
    daemon = place.daemon("--table", f"{place.name}.bench")

    def start() -> int:
        daemon.start()
        daemon.wait_ready()
        return daemon.pid

    return Road(f"{place.name}.{place.name}.bench", f'"{place.schema}".bench', start, daemon.stop)


def write(
    session: Session, statement: PreparedStatement, times: Times, rate: int, total: int
) -> None:
    """Write so many changes at an even pace; an acknowledgement sets the time."""
    began = time.monotonic()
    for number in range(total):
        ahead = began + number / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        future = session.execute_async(statement, (number % KEYS, number, f"value {number}"))
        future.add_callback(lambda _, n=number: times.written.__setitem__(n, time.monotonic()))


def follow_topic(place: Place, topic: str, times: Times, total: int, done: threading.Event) -> None:
    """Note when each record becomes visible to a reader of committed records."""
    consumer = Consumer(
        {
            "bootstrap.servers": place.stack.kafka,
            "group.id": f"bench-{place.name}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
    )
    wait_until(lambda: topic in consumer.list_topics(timeout=5).topics, "the topic")
    partitions = consumer.list_topics(topic, timeout=5).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    marker = b"value "
    while len(times.published) < total and not done.is_set():
        for message in consumer.consume(1000, 0.02):
            value = message.value() or b""
            at = value.find(marker)
            if at >= 0:
                # Avro has twice a short text's length before it; what follows may be digits too.
                text = value[at : at + value[at - 1] // 2]
                times.published.setdefault(int(text[len(marker) :]), time.monotonic())
    consumer.close()


async def follow_table(
    place: Place, table: str, times: Times, total: int, done: threading.Event
) -> None:
    """Note when each row's newest change becomes visible in PostgreSQL."""
    connection = await asyncpg.connect(place.stack.postgres)
    # What looks must not take the cores from what it looks at: each look is by an index, for what
    # was not seen yet.
    unseen, newest, is_indexed, moved = 0, -1, False, time.monotonic()
    while len(times.applied) < total and not done.is_set():
        first = unseen if time.monotonic() - moved < QUIET_SECONDS else 0
        try:
            rows = await connection.fetch(f"SELECT n FROM {table} WHERE n >= $1", first)
            if not is_indexed:
                await connection.execute(f"CREATE INDEX ON {table} (n)")
                is_indexed = True
        except asyncpg.UndefinedTableError:
            rows = []
        now = time.monotonic()
        for row in rows:
            times.applied.setdefault(row["n"], now)
        before, newest = newest, max([newest, *(row["n"] for row in rows)])
        moved = now if newest > before else moved
        while unseen in times.applied or unseen < newest - LOOK_BACK:
            unseen += 1
        await asyncio.sleep(0.01)
    await connection.close()


def summary(written: dict[int, float], seen: dict[int, float], total: int) -> dict[str, float]:
    """Percentiles in seconds, without the warm-up."""
    waits = sorted(seen[n] - written[n] for n in seen if n in written and n > total // 2)
    cuts = statistics.quantiles(waits, n=100)
    return {"p50": round(cuts[49], 3), "p95": round(cuts[94], 3), "p99": round(cuts[98], 3)}


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """User and system time of all processes on all cores."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = Path("/proc/stat").read_text().split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq))) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """The most memory that a process has held."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return round(int(kib) / 1024, 1)


CREATE = "CREATE TABLE $ks.bench (id int PRIMARY KEY, n int, v text) WITH cdc = {'enabled': true}"


def measure(place: Place, rate: int, total: int, road: Road) -> dict[str, Any]:
    """One run, on the table that CREATE makes."""
    pid = road.start()
    times, done = Times(), threading.Event()
    following = (times, total, done)
    readers = [
        threading.Thread(target=follow_topic, args=(place, road.topic, *following)),
        threading.Thread(target=lambda: asyncio.run(follow_table(place, road.table, *following))),
    ]
    for reader in readers:
        reader.start()
    statement = place.session.prepare(f"INSERT INTO {place.name}.bench (id, n, v) VALUES (?, ?, ?)")
    before = cpu_seconds(pid)
    write(place.session, statement, times, rate, total)
    ends = time.monotonic() + 60
    while time.monotonic() < ends and any(reader.is_alive() for reader in readers):
        time.sleep(0.1)
    cpu, peak = cpu_seconds(pid) - before, peak_mb(pid)
    done.set()
    for reader in readers:
        reader.join()
    return {
        "changes_per_second": rate,
        "changes": total,
        "published": len(times.published),
        "applied": len(times.applied),
        "to_kafka_seconds": summary(times.written, times.published, total),
        "to_postgres_seconds": summary(times.written, times.applied, total),
        "daemon_cpu_us_per_change": round(cpu / total * 1e6, 1),
        "daemon_peak_mb": peak,
    }


def main() -> None:
    """Measure and print one JSON document."""
    rate = int(sys.argv[1]) if len(sys.argv) > 1 else RATE_PER_SECOND
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    with connected(local.load()) as (stack, session), tempfile.TemporaryDirectory() as folder:
        place = Place(stack, session, Path(folder), f"bench{os.getpid()}")
        place.begin()
        try:
            place.execute(CREATE)
            found = measure(place, rate, rate * seconds, road_of_cdcd(place))
            print(json.dumps(found, indent=2))
        finally:
            place.end()


if __name__ == "__main__":
    main()
