"""The race's arms on Kafka Connect with ScyllaDB's source connector: source half and whole road.

The connector reads the same log as cdcd. What it publishes is counted by the offsets of its topic;
how far the whole road has come is seen by the rows of the marks in PostgreSQL. Rows that differ at
the end are counted as they are: that log has no post-images, so a partial update can leave nulls.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from tests.bench.connect_worker import (
    ConnectWorker,
    NotHad,
    Properties,
    jdbc_sink,
    scylla_source,
)
from tests.bench.latency import Road, cpu_seconds, peak_mb
from tests.bench.race_sink import (
    MARKS,
    WAIT_SECONDS,
    WARM_UP_SHARE,
    Row,
    differences,
    in_new_database,
    until_marked,
)
from tests.scenario.conftest import Place
from tests.stack import Stack

# The topic is at its end when nothing came for so long; windows of a second are never that far
# apart.
QUIET_SECONDS = 20.0
FIRST_SECONDS_MAX = 300
_POLL_SECONDS = 0.05
_BEING_MADE = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
)


class Sample(NamedTuple):
    """How many records there are, and the CPU seconds spent so far."""

    at: float
    records: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Connect:
    """What the arms run: the plugin, where, and since when the log has changes."""

    place: Place
    plugins: Path
    since_ms: int

    def worker(self, name: str, *connectors: Properties) -> ConnectWorker:
        """A worker that runs."""
        worker = ConnectWorker(self.place.stack, self.place.folder, name)
        worker.start(*connectors, plugins=(self.plugins,))
        return worker


async def source_of_connect(given: Connect, changes: int, number: int) -> dict[str, Any]:
    """Log to Kafka, timed between the share of warm-up and the last record. Raises NotHad."""
    place, prefix = given.place, f"{given.place.name}_cs{number}"
    source = scylla_source(place.stack, prefix, f"{place.name}.bench", given.since_ms)
    # A delete is one record here, not two.
    worker = given.worker(prefix, source | {"tombstones.on.delete": "false"})
    try:
        samples = list(_samples(place.stack, f"{prefix}.{place.name}.bench", worker))
        peak = peak_mb(worker.pid)
    finally:
        worker.stop()
    return figures_of(samples, changes) | {"peak_mb": peak}


def _samples(stack: Stack, topic: str, worker: ConnectWorker) -> list[Sample]:
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": topic})
    samples, ends, moved = [Sample(0.0, 0, 0.0)], time.monotonic() + WAIT_SECONDS, 0.0
    try:
        while time.monotonic() < ends:
            now, records = time.monotonic(), _records(consumer, topic)
            if records > samples[-1].records:
                samples.append(Sample(now, records, cpu_seconds(worker.pid)))
                moved = now
            elif moved and now - moved > QUIET_SECONDS:
                return samples
            if why := worker.failure():
                raise NotHad(why)
            time.sleep(_POLL_SECONDS)
    finally:
        consumer.close()
    raise NotHad(f"after {WAIT_SECONDS} s it was not at its end: {samples[-1].records} records")


def _records(consumer: Consumer, topic: str) -> int:
    """How many records the topic has; 0 while it is being made."""
    found = consumer.list_topics(timeout=5).topics.get(topic)
    partitions = [TopicPartition(topic, number) for number in found.partitions] if found else []
    try:
        return sum(consumer.get_watermark_offsets(p, timeout=5)[1] for p in partitions)
    except KafkaException as error:
        if error.args[0].code() not in _BEING_MADE:
            raise
        return 0


def figures_of(samples: Sequence[Sample], changes: int) -> dict[str, Any]:
    """Rate and cost behind the warm-up."""
    last = samples[-1]
    share = WARM_UP_SHARE / (1 + WARM_UP_SHARE)
    first = next(sample for sample in samples if sample.records >= last.records * share)
    records = last.records - first.records
    if records == 0:
        raise NotHad("all of its records came at once: too few changes to time it")
    return {
        "changes_per_second": round(records / (last.at - first.at)),
        "cpu_us_per_change": round((last.cpu - first.cpu) / records * 1e6, 1),
        "changes_missing": changes - last.records,
    }


async def road_of_connect(
    given: Connect, changes: int, truth: dict[int, Row], number: int
) -> dict[str, Any]:
    """Log to PostgreSQL with both connectors in one worker, timed from the first mark's last row
    to the second's. Raises NotHad.
    """
    place, prefix = given.place, f"{given.place.name}_cr{number}"
    between = round(changes / (1 + WARM_UP_SHARE))

    async def run(dsn: str) -> dict[str, Any]:
        worker = given.worker(prefix, *_both(given, prefix, f"{place.name}.bench", dsn))
        connection = await asyncpg.connect(dsn)
        try:
            await _marked(connection, worker.failure, MARKS[0])
            began, cpu = time.monotonic(), cpu_seconds(worker.pid)
            await _marked(connection, worker.failure, MARKS[1])
            seconds, cpu = time.monotonic() - began, cpu_seconds(worker.pid) - cpu
            return {
                "changes_per_second": round(between / seconds),
                "cpu_us_per_change": round(cpu / between * 1e6, 1),
                "peak_mb": peak_mb(worker.pid),
                "rows_that_differ": await differences(connection, truth, "bench"),
            }
        finally:
            worker.stop()
            await connection.close()

    return await in_new_database(place, prefix, run)


def _both(given: Connect, prefix: str, table: str, dsn: str) -> tuple[Properties, Properties]:
    source = scylla_source(given.place.stack, prefix, table, given.since_ms)
    return source, jdbc_sink(f"{prefix}.{table}", dsn, "bench", flatten=True)


async def _marked(
    connection: asyncpg.Connection, failure: Callable[[], str | None], first: int
) -> None:
    def look() -> None:
        if why := failure():
            raise NotHad(why)

    try:
        await until_marked(connection, "bench", first, look)
    except TimeoutError as error:
        raise NotHad(str(error)) from error


def road(given: Connect, own: Place) -> Road:
    """The road that `latency.measure` takes through Connect, from a table of its own."""
    prefix, started = f"{own.name}_cl", list[ConnectWorker]()
    topic = f"{prefix}.{own.name}.bench"

    def start() -> int:
        now = replace(given, since_ms=time.time_ns() // 1_000_000)
        source, sink = _both(now, prefix, f"{own.name}.bench", own.stack.postgres)
        # Its first record says that it reads.
        own.execute("INSERT INTO $ks.bench (id, n, v) VALUES (-1, -1, 'first')")
        worker = given.worker(prefix, source, sink | {"collection.name.format": f"{own.name}_c"})
        started.append(worker)
        _wait_for_record(own.stack, topic, worker)
        return worker.pid

    def stop() -> None:
        for worker in started:
            worker.stop()

    return Road(topic, f'"{own.name}_c"', start, stop)


def _wait_for_record(stack: Stack, topic: str, worker: ConnectWorker) -> None:
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": topic})
    ends = time.monotonic() + FIRST_SECONDS_MAX
    try:
        while _records(consumer, topic) == 0:
            if why := worker.failure():
                raise NotHad(why)
            if time.monotonic() > ends:
                raise NotHad(f"no record came in {FIRST_SECONDS_MAX} s")
            time.sleep(_POLL_SECONDS)
    finally:
        consumer.close()
