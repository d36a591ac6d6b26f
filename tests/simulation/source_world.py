"""A database and a topic in memory, for the source's own code to run between.

The log shows a row from a moment on, which may be long after its time, and the base table shows the
mutation at another moment. What is committed survives a crash; all else is lost.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from cdcd.model.change import Batch, ChangeEvent, Operation
from cdcd.model.fingerprint import Cell, Fingerprint, Merged
from cdcd.model.lane import lane_of
from cdcd.model.position import (
    RING_MAX,
    RING_MIN,
    UUID_EPOCH_TICKS,
    Generation,
    Position,
    StreamRange,
    TokenRange,
    uuid_time_us,
)
from cdcd.model.published import PublishedRow, Sought, TakePublished
from cdcd.model.refresh import Listed, Request
from cdcd.model.table import CdcOptions
from cdcd.sink.ranges import Ranges
from cdcd.sink.target import targets_of
from cdcd.source.catalog import SourceTable
from cdcd.source.copying import copy_of_lane
from cdcd.source.decode import LogOperation, key_columns, log_columns
from cdcd.source.row_readers import RawRow
from cdcd.source.scan import select
from cdcd.source.session import Page, Statement, partition_token
from cdcd.source.touched import hash_of
from cdcd.transport import lane_records
from cdcd.transport.lanes import lane_writes
from tests.simulation.virtual_time import now_ms
from tests.unit.tables import table

SPEC = table({"p:p": "int", "c:c": "int", "r:v": "int"})
TABLE = SourceTable(SPEC, CdcOptions(enabled=True, ttl_seconds=0), "log", False)
LANES = 4
RANGES = 4


def number(value: int) -> bytes:
    """A CQL int."""
    return value.to_bytes(4, "big", signed=True)


def timeuuid(time_us: int, low: bytes) -> bytes:
    """A timeuuid of a microsecond."""
    ticks = time_us * 10 + UUID_EPOCH_TICKS
    return (
        (ticks & 0xFFFFFFFF).to_bytes(4, "big")
        + (ticks >> 32 & 0xFFFF).to_bytes(2, "big")
        + (ticks >> 48 & 0x0FFF | 0x1000).to_bytes(2, "big")
        + low
    )


@dataclass(frozen=True)
class Mutation:
    """A write of one row (`c`), of a range from `c` on (op 5), or of a partition."""

    op: LogOperation
    p: int
    c: int
    v: int
    time_us: int
    stream: bytes
    uuid: bytes
    log_ms: int
    base_ms: int

    def rows(self) -> list[dict[str, bytes]]:
        """Its log rows by column."""
        meta = {
            "cdc$stream_id": self.stream,
            "cdc$time": self.uuid,
            "cdc$batch_seq_no": number(0),
            "cdc$operation": bytes([self.op]),
            "cdc$end_of_batch": b"\x01",
            "p": number(self.p),
        }
        if self.op is LogOperation.INSERT:
            return [{**meta, "c": number(self.c), "v": number(self.v)}]
        if self.op is LogOperation.ROW_DELETE:
            return [{**meta, "c": number(self.c)}]
        if self.op is LogOperation.PARTITION_DELETE:
            return [meta]
        end = {"cdc$operation": bytes([LogOperation.RANGE_END_INCLUSIVE])}
        first = {**meta, "c": number(self.c)}
        del first["cdc$end_of_batch"]
        return [first, {**meta, **end, "cdc$batch_seq_no": number(1)}]

    def kills(self, p: int, c: int) -> bool:
        """Whether it deletes a row."""
        if self.p != p or self.op is LogOperation.INSERT:
            return False
        if self.op is LogOperation.ROW_DELETE:
            return self.c == c
        return self.op is LogOperation.PARTITION_DELETE or c >= self.c


Rows = dict[tuple[int, int], int]


def merged(mutations: Iterable[Mutation]) -> dict[tuple[int, int], tuple[int, int]]:
    """Value and write time of each row, last write wins, ties by the servers' rule."""
    seen = list(mutations)
    rows: dict[tuple[int, int], tuple[int, int]] = {}
    for m in seen:
        if m.op is LogOperation.INSERT:
            rows[m.p, m.c] = max(rows.get((m.p, m.c), (0, 0)), (m.time_us, m.v))
    killers = [m for m in seen if m.op is not LogOperation.INSERT]
    return {
        key: (value, at)
        for key, (at, value) in rows.items()
        if not any(m.time_us >= at and m.kills(*key) for m in killers)
    }


class World:
    """The database: what it shows now. It stands in for a `Session`, a schema and a clock."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.mutations: list[Mutation] = []
        self.generations: list[tuple[int, Generation]] = []
        # Whether nothing more is written, and nothing more asked for from outside.
        self.is_calm = False
        self._columns = {
            select(SPEC, log_columns(SPEC)): log_columns(SPEC),
            select(SPEC, key_columns(SPEC)): key_columns(SPEC),
        }

    def add_generation(self, start_ms: int, published_ms: int) -> None:
        """A generation with streams of its own."""
        width = 2**64 // RANGES
        ends = [RING_MIN + width * (n + 1) - 1 for n in range(RANGES - 1)] + [RING_MAX]
        starts = [RING_MIN - 1, *ends[:-1]]
        ranges = tuple(
            StreamRange(
                TokenRange(s, e), (start_ms.to_bytes(8, "big") + e.to_bytes(8, "big", signed=True),)
            )
            for s, e in zip(starts, ends, strict=True)
        )
        self.generations.append((published_ms, Generation(start_ms, ranges)))

    def stream_of(self, p: int, at_ms: int, *, former: bool = False) -> bytes:
        """The stream that logs a partition's change at a time, of the former generation if told."""
        in_force = [g for _, g in self.generations if g.start_ms <= at_ms]
        generation = in_force[-2 if former and len(in_force) > 1 else -1]
        token = partition_token(number(p))
        return next(r.streams[0] for r in generation.ranges if token in r.range)

    async def known_generations(self, _: object = None) -> tuple[Generation, ...]:
        """The generations that are published by now."""
        await asyncio.sleep(self.chance.uniform(0, 0.01))
        return tuple(g for published, g in self.generations if published <= now_ms())

    async def prepare(self, cql: str, _: int, *, of_base: bool = False) -> Statement:
        """A statement is its text."""
        return Statement(cql, None)

    ring: object = None

    @staticmethod
    def owner(token: int) -> int:
        """There are three nodes."""
        return token % 3

    async def read(
        self, statement: Statement, params: Sequence[Any], _: int, __: int
    ) -> AsyncIterator[Page]:
        """Log rows of some streams in a window."""
        await asyncio.sleep(self.chance.uniform(0, 0.02))
        streams, low, high = params
        columns = self._columns[statement.text]
        bounds = [uuid_time_us(UUID(str(b)).bytes) for b in (low, high)]
        found = [
            m
            for m in self.mutations
            if m.stream in streams and m.log_ms <= now_ms() and bounds[0] <= m.time_us < bounds[1]
        ]
        found.sort(key=lambda m: (m.stream, m.time_us, m.uuid))
        rows = [tuple(row.get(c) for c in columns) for m in found for row in m.rows()]
        await asyncio.sleep(self.chance.uniform(0, 0.02))
        yield Page(rows[: len(rows) // 2])
        yield Page(rows[len(rows) // 2 :])

    def base(self) -> dict[tuple[int, int], tuple[int, int]]:
        """The base table now."""
        return merged(m for m in self.mutations if m.base_ms <= now_ms())

    async def read_raw(
        self, statement: Statement, raw: Sequence[bytes]
    ) -> AsyncIterator[list[RawRow]]:
        """Rows of the base table: one, some or all of a partition, or of a token range."""
        await asyncio.sleep(self.chance.uniform(0, 0.02))
        where, *limited = statement.text.split(" WHERE ")[1].split(" LIMIT ")
        values = [int.from_bytes(part, "big", signed=True) for part in raw]
        limit = values.pop() if limited else None
        rows: list[RawRow] = [
            (number(p), number(c), number(v), at.to_bytes(8, "big"), None)
            for (p, c), (v, at) in sorted(self.base().items(), key=_in_ring)
            if _matches(where, values, p, c)
        ]
        if statement.text.startswith("SELECT DISTINCT"):
            rows = [row[:1] for row in {row[0]: row for row in rows}.values()]
        await asyncio.sleep(self.chance.uniform(0, 0.02))
        yield rows[:limit]

    async def version_after_now(self) -> str:
        """The schema never changes."""
        return "1"

    def want_catalog(self) -> None:
        """The catalog is read often enough."""

    def now_ms(self) -> int:
        """The servers' clock."""
        return now_ms()


def _in_ring(row: tuple[tuple[int, int], object]) -> tuple[int, int, int]:
    p, c = row[0]
    return partition_token(number(p)), p, c


def _matches(where: str, values: list[int], p: int, c: int) -> bool:
    """Whether a row is one that a read of the base asks for."""
    if where.startswith("token("):
        return values[0] < partition_token(number(p)) <= values[1]
    behind = where.endswith('"c" > ?')
    return p == values[0] and (len(values) == 1 or (c > values[1] if behind else c == values[1]))


@dataclass
class Kept:
    """What is committed: the topic's events and the lanes' records."""

    events: list[ChangeEvent] = field(default_factory=list)
    lanes: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    # Where each lane began.
    first_ms: dict[int, int] = field(default_factory=dict)

    def commit(self, batches: Sequence[Batch]) -> list[Request]:
        """One transaction; gives the requests that it wrote."""
        for batch in batches:
            self.events += batch.events
        asked = []
        for write in lane_writes(batches, LANES):
            if write.value is None:
                self.lanes.pop((write.lane, write.key), None)
                continue
            self.lanes[write.lane, write.key] = write.value
            if write.key == lane_records.position_key(SPEC.full_name):
                position = lane_records.decode_position(write.value)
                self.first_ms.setdefault(write.lane, position.frontier_ms)
            request_id = lane_records.request_of_key(write.key)
            if request_id is not None:
                asked.append(lane_records.decode_request(request_id, write.value))
        return asked

    def positions(self, owned: frozenset[int]) -> dict[int, Position]:
        """The saved positions of some lanes."""
        key = lane_records.position_key(SPEC.full_name)
        found = {lane: self.lanes.get((lane, key)) for lane in owned}
        return {n: lane_records.decode_position(v) for n, v in found.items() if v is not None}

    def cells(self, owned: frozenset[int]) -> dict[Cell, Fingerprint]:
        """The saved fingerprints of some lanes."""
        named = [(n, lane_records.cell_of_key(key), v) for (n, key), v in self.lanes.items()]
        return {
            (n, cell[1]): lane_records.decode_cell(v)
            for n, cell, v in named
            if cell is not None and n in owned
        }

    def merged(self, owned: frozenset[int]) -> dict[Cell, Merged]:
        """The saved merged fingerprints of some lanes."""
        named = [(n, lane_records.merged_of_key(key), v) for (n, key), v in self.lanes.items()]
        return {
            (n, cell[1]): lane_records.decode_merged(v)
            for n, cell, v in named
            if cell is not None and n in owned
        }

    def requests(self, owned: frozenset[int]) -> list[Request]:
        """The requests of some lanes that are not served."""
        named = [(n, lane_records.request_of_key(key), v) for (n, key), v in self.lanes.items()]
        return [lane_records.decode_request(i, v) for n, i, v in named if i and n in owned]

    def listed(self, owned: frozenset[int]) -> tuple[Listed, ...]:
        """The listed refreshes of some lanes."""
        named = [(n, lane_records.listed_of_key(key), v) for (n, key), v in self.lanes.items()]
        return tuple(lane_records.decode_listed(i, v) for n, i, v in named if i and n in owned)

    def ask(self, request: Request) -> None:
        """A request from outside, as a sink writes it."""
        lane = lane_of(request.token, LANES)
        key = lane_records.request_key(request.id)
        self.lanes[lane, key] = lane_records.encode_request(request)

    def gap(self) -> None:
        """The log was off for a while: all positions say so, and all lanes are to be copied."""
        key, name = lane_records.position_key(SPEC.full_name), SPEC.full_name
        for lane, position in self.positions(frozenset(range(LANES))).items():
            self.lanes[lane, key] = lane_records.encode_position(replace(position, log_id=""))
            self.ask(copy_of_lane(name, f"gap-{now_ms()}", lane, LANES, now_ms()))

    async def read_back(self, _: object, sought: Sought, take: TakePublished) -> bool:
        """What was published of a window."""
        window = sought.window
        await asyncio.sleep(0.05)
        found = [
            PublishedRow(event.token, event.time_us // 1000, row_hash)
            for event in self.events
            if window.start_ms <= event.time_us // 1000 < window.end_ms
            and (row_hash := hash_of(event)) is not None
        ]
        middle = len(found) // 2
        for part in (found[:middle], found[middle:]):
            await take(part)
        return True

    def times_published(self) -> Counter[bytes]:
        """How often each log row was published, by its time's uuid."""
        return Counter(e.identity.time for e in self.events if e.identity is not None)

    def rows(self) -> Rows:
        """The rows that a sink has after all events."""
        rows: Rows = {}
        for event in self.events:
            if not event.is_late:
                _apply(rows, event)
        return rows


def _apply(rows: Rows, event: ChangeEvent) -> None:
    (p,), (c,) = event.partition, event.clustering
    assert isinstance(p, int)
    if event.op in (Operation.CREATE, Operation.READ):
        assert isinstance(c, int)
        v = event.values["v"]
        assert isinstance(v, int)
        rows[p, c] = v
    elif event.op is Operation.DELETE:
        assert isinstance(c, int)
        rows.pop((p, c), None)
    else:
        covers = Ranges(targets_of(SPEC, "s").clustering_key).covers
        for key in [k for k in rows if k[0] == p]:
            if event.bounds is None or covers(event.bounds, (key[1],)):
                del rows[key]
