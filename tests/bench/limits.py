"""What the clients and servers do without cdcd's own work, on the data of the reference work.

    CDCD_BENCH_CHANGES=60000 python -m tests.bench.limits

The driver alone reads the log, as raw pages; librdkafka alone takes the same records in
transactions; PostgreSQL alone takes the same rows, encoded beforehand, by COPY into a staging
table and one upsert. Each is the limit of a part of the way: a figure of cdcd is a share of it.
CPU is this process's, so that of the clients. Starts the local stack if need be. Prints one JSON
document, and keeps it in `.local/limits.json`, of which the race's page tells.
"""

import asyncio
import io
import json
import os
import struct
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import asyncpg
from cassandra.cluster import Session as DriverSession
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from cdcd.config.settings import ScyllaSettings
from cdcd.model.position import min_timeuuid
from cdcd.source.decode import LogDecoder, log_columns
from cdcd.source.row_readers import RawRow
from cdcd.source.scan import select
from cdcd.source.session import Session, Statement, partition_token
from cdcd.transport.record_writer import RecordWriter, SchemaIds
from tests import stack as local
from tests.bench import work
from tests.bench.catchup import CHANGES, fill
from tests.scenario.conftest import Place, connected
from tests.stack import Stack

RESULTS = local.LOCAL.with_name("limits.json")
STREAMS_AT_ONCE = 100
PAGE_ROWS = 5000
TRANSACTION_RECORDS = 10_000
BATCH_ROWS = 5000
PARTITIONS = 4


class Meter:
    """Wall-clock and CPU time of this process between two places."""

    def __init__(self) -> None:
        self._began = time.monotonic(), time.process_time()

    def read(self, count: int) -> dict[str, float]:
        """Rate, and CPU for each of so many."""
        seconds = time.monotonic() - self._began[0]
        cpu = time.process_time() - self._began[1]
        return {"per_second": round(count / seconds), "client_cpu_us": round(cpu / count * 1e6, 2)}


def streams(session: DriverSession, place: Place) -> list[bytes]:
    """All streams that the log has rows of."""
    log = f"{place.name}.bench_scylla_cdc_log"
    return [row[0] for row in session.execute(f'SELECT DISTINCT "cdc$stream_id" FROM {log}')]


async def read_log(place: Place) -> tuple[dict[str, float], list[RawRow]]:
    """The whole log, by the queries and with the pages of the daemon."""
    found = streams(place.session, place)
    settings = ScyllaSettings(hosts=(place.stack.scylla_host,), port=place.stack.scylla_port)
    spec = replace(work.SPEC, keyspace=place.name)
    rows: list[RawRow] = []

    async def read(session: Session, statement: Statement, some: Sequence[bytes]) -> None:
        now_ms = time.time_ns() // 1_000_000
        bounds = [UUID(bytes=min_timeuuid(ms)) for ms in (0, now_ms + 60_000)]
        async for page in session.read(statement, (some, *bounds)):
            rows.extend(page)

    async with Session.open(settings) as session:
        statement = await session.prepare(select(spec, log_columns(spec)), PAGE_ROWS)
        meter = Meter()
        async with asyncio.TaskGroup() as tasks:
            for at in range(0, len(found), STREAMS_AT_ONCE):
                tasks.create_task(read(session, statement, found[at : at + STREAMS_AT_ONCE]))
        return meter.read(len(rows)), rows


def produce(
    stack: Stack, topic: str, records: Iterable[tuple[int, bytes, bytes]]
) -> dict[str, float]:
    """The records in transactions, with the settings of the daemon's producer."""
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(10)
    producer = Producer(
        {
            "bootstrap.servers": stack.kafka,
            "transactional.id": topic,
            "compression.type": "lz4",
            "linger.ms": 5,
            "queue.buffering.max.messages": 200_000,
            "delivery.report.only.error": True,
        }
    )
    producer.init_transactions(10)
    ready = list(records)
    meter = Meter()
    for at in range(0, len(ready), TRANSACTION_RECORDS):
        producer.begin_transaction()
        for partition, key, value in ready[at : at + TRANSACTION_RECORDS]:
            producer.produce(topic, value, key, partition)
        producer.flush(10)
        producer.commit_transaction(10)
    return meter.read(len(ready))


_COPY_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_END = b"\xff\xff"
_LAYOUTS = {"active": ">?", "amount": ">d", "created": ">q", "id": ">q", "quantity": ">i"}


def copy_data(rows: Iterable[tuple[object, ...]]) -> bytes:
    """Rows of all columns in the binary format of COPY."""
    encoded = [_COPY_HEAD]
    for row in rows:
        encoded.append(struct.pack(">h", len(row)))
        for name, value in zip(work.NAMES, row, strict=True):
            raw = _raw(name, value)
            encoded.append(struct.pack(">i", len(raw)) + raw)
    return b"".join([*encoded, _COPY_END])


def _raw(name: str, value: object) -> bytes:
    if name == "created":
        value = (int(str(value)) - 946_684_800_000) * 1000  # microseconds since 2000
    if isinstance(value, UUID):
        return value.bytes
    return struct.pack(_LAYOUTS[name], value) if name in _LAYOUTS else str(value).encode()


_COLUMNS = (
    "id bigint, active boolean, amount double precision, created timestamptz, name text,"
    " note text, quantity int, ref uuid"
)


async def merge_rows(stack: Stack, count: int) -> dict[str, float]:
    """Whole rows, upserted in batches of the daemon's size."""
    everything = (values for text, values in work.changes(count * 2) if text == work.INSERT)
    by_batch: list[bytes] = []
    batch: dict[object, tuple[object, ...]] = {}
    for row in everything:
        batch[row[0]] = row
        if len(batch) == BATCH_ROWS:
            by_batch.append(copy_data(batch.values()))
            batch = {}
    names = ", ".join(work.NAMES)
    assignments = ", ".join(f"{n} = excluded.{n}" for n in work.NAMES[1:])
    merge = (
        f"INSERT INTO limits ({names}) SELECT {names} FROM staging ORDER BY id"
        f" ON CONFLICT (id) DO UPDATE SET {assignments}"
    )
    connection = await asyncpg.connect(stack.postgres)
    try:
        await connection.execute(f"CREATE TABLE limits ({_COLUMNS}, PRIMARY KEY (id))")
        staging = f"CREATE TEMPORARY TABLE staging ({_COLUMNS}) ON COMMIT DELETE ROWS"
        await connection.execute(staging)
        meter = Meter()
        for data in by_batch:
            async with connection.transaction():
                await connection.copy_to_table("staging", source=io.BytesIO(data), format="binary")
                await connection.execute(merge)
        return meter.read(len(by_batch) * BATCH_ROWS)
    finally:
        await connection.execute("DROP TABLE limits")
        await connection.close()


async def measure(place: Place, changes: int) -> dict[str, object]:
    """All limits."""
    place.execute(work.CREATE)
    fill(place.session, place.name, changes)
    found: dict[str, object] = {"changes": changes, "load": round(os.getloadavg()[0], 1)}
    found["driver_reads_log"], rows = await read_log(place)
    events = LogDecoder(work.SPEC, partition_token).changes(rows, lambda _: True)
    writer = RecordWriter(work.SPEC, place.name, "limits", SchemaIds(1, 2), PARTITIONS)
    records = list(writer.records(events, 1))
    found["librdkafka_takes_records"] = await asyncio.to_thread(
        produce, place.stack, f"limits-{place.name}", records
    )
    found["postgres_merges_rows"] = await merge_rows(place.stack, changes)
    return found


def main() -> None:
    """Measure and print."""
    with connected(local.load()) as (stack, session), tempfile.TemporaryDirectory() as folder:
        place = Place(stack, session, Path(folder), f"limits{os.getpid()}")
        place.begin()
        try:
            found = json.dumps(asyncio.run(measure(place, CHANGES)), indent=2)
            print(found)
            RESULTS.write_text(found + "\n")
        finally:
            place.end()


if __name__ == "__main__":
    main()
