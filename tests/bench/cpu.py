"""CPU time of each step that a change goes through in this process, without any server.

    python -m tests.bench.cpu [--json]

Steps are those of the daemon's own code on the reference work: a page of the log as the driver
parses it, log rows to changes, what the source keeps of them, changes to records; then records to
changes, changes to effects, effects to rows. Each figure is the median of several rounds, in
microseconds of this thread's CPU time for each change. fastavro on the same records stands beside
them: it takes the same on every day, so the ratios do not depend on what else the machine does.
"""

import io
import json
import os
import statistics
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import fastavro
from cassandra.cqltypes import BytesType

from cdcd.model.change import ChangeEvent
from cdcd.model.lane import lane_of
from cdcd.ops import garbage
from cdcd.sink.batch import Batch, lay
from cdcd.sink.target import targets_of
from cdcd.source.decode import LogDecoder, log_columns
from cdcd.source.ledger import Ledger
from cdcd.source.row_readers import RawRow
from cdcd.source.session import _RawResult, partition_token
from cdcd.source.touched import ties
from cdcd.transport.avro import Codec
from cdcd.transport.changes import Changes
from cdcd.transport.record_reader import KeyReader, RecordReader, key_reader
from cdcd.transport.record_writer import EncodedRecord, RecordWriter, SchemaIds
from cdcd.transport.records import Partition, Record
from cdcd.transport.schema import key_schema, value_schema
from tests.bench import work

CHANGES = 5000
ROUNDS = 15
TOPIC = "cdcd.ks.bench"
LANES = 16
_NO_METADATA = 4

Result = TypeVar("Result")


@dataclass
class Steps:
    """CPU seconds of each round, by step."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, step: Callable[..., Result], *given: object) -> Result:
        """Do a step and note what it took."""
        began = time.thread_time()
        found = step(*given)
        self.seconds.setdefault(name, []).append(time.thread_time() - began)
        return found

    def medians(self) -> dict[str, float]:
        """Microseconds for each change."""
        return {
            name: round(statistics.median(found) / CHANGES * 1e6, 2)
            for name, found in self.seconds.items()
        }


def page_of(rows: list[RawRow]) -> bytes:
    """A page as it is on the wire, without the columns' description."""
    cells = b"".join(
        struct.pack(">i", -1) if cell is None else struct.pack(">i", len(cell)) + cell
        for row in rows
        for cell in row
    )
    return struct.pack(">iii", _NO_METADATA, len(rows[0]), len(rows)) + cells


def parsed(page: bytes) -> list[RawRow]:
    """What the driver makes of a page."""
    columns = [("ks", "bench", name, BytesType) for name in log_columns(work.SPEC)]
    result = _RawResult(2)
    result.recv_results_rows(io.BytesIO(page), 4, {}, columns, None)
    rows: list[RawRow] = result.parsed_rows
    return rows


def measure() -> Steps:
    """All rounds of all steps."""
    spec = work.SPEC
    page = page_of(work.log_rows(CHANGES))
    decoder = LogDecoder(spec, partition_token)
    writer = RecordWriter(spec, TOPIC, "cdcd", SchemaIds(1, 2), partitions=6)
    value = value_schema(spec, TOPIC)
    codec = Codec(value, 2)
    read_key, reader = key_reader(key_schema(spec, TOPIC)), RecordReader(value, spec)
    targets = targets_of(spec, "public")
    kept = [Record(Partition(TOPIC, 0), n, work.NOW_MS, None, None) for n in range(CHANGES)]
    steps = Steps()
    garbage.expect_little()
    for _ in range(ROUNDS):
        ledger = Ledger({}, {}, LANES, 1 << 25)
        rows = steps.time("source: driver parses a page", parsed, page)
        changes = steps.time("source: log rows to changes", decoder.changes, rows, _all)
        steps.time("source: fingerprints, ties, lanes", keep, ledger, changes)
        records = steps.time("source: changes to records", write_all, writer, changes)
        read = steps.time("sink: records to changes", read_all, read_key, reader, records)
        batch = Batch(targets, kept, read)
        steps.time("sink: changes to rows", lay, batch)
        datums = steps.time("fastavro reads the values", fastavro_reads, codec, records)
        steps.time("fastavro writes the values", fastavro_writes, codec, datums)
    return steps


def _all(_: int) -> bool:
    return True


def keep(ledger: Ledger, changes: list[ChangeEvent]) -> None:
    """What the source remembers of changes, and looks for among them."""
    ledger.add(changes, 0)
    ties(changes)
    {lane_of(change.token, LANES) for change in changes}


def write_all(writer: RecordWriter, changes: list[ChangeEvent]) -> list[EncodedRecord]:
    """Partition, key and value of each change."""
    return list(writer.records(changes, 1))


def read_all(read_key: KeyReader, reader: RecordReader, records: list[EncodedRecord]) -> Changes:
    """The change of each record."""
    keys, values = [key for _, key, _ in records], [value for _, _, value in records]
    return reader.changes(read_key(keys), values)


def fastavro_reads(codec: Codec, records: list[EncodedRecord]) -> list[Any]:
    """The values as dicts."""
    return [codec.decode(value) for _, _, value in records]


def fastavro_writes(codec: Codec, datums: list[Any]) -> None:
    """The values from dicts."""
    for datum in datums:
        fastavro.schemaless_writer(io.BytesIO(), codec._parsed, datum)


def main() -> None:
    """Measure and print."""
    medians = measure().medians()
    sums = {
        stage: round(sum(us for name, us in medians.items() if name.startswith(stage)), 2)
        for stage in ("source", "sink")
    }
    found = {"us_per_change": medians, "sums": sums, "load": round(os.getloadavg()[0], 1)}
    if "--json" in sys.argv:
        print(json.dumps(found, indent=2))
        return
    for name, us in (medians | {f"{stage}, in all": us for stage, us in sums.items()}).items():
        print(f"{us:8.2f} µs  {name}")
    print(f"{found['load']:8.1f}     load of the machine")


if __name__ == "__main__":
    main()
