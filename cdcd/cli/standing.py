"""Where a pipeline stands, read from what it keeps: the lanes, its topics, its offsets.

No daemon has to run. What is away leaves its part of the answer empty and is named in `away`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from cdcd.config.settings import Settings
from cdcd.model.control import SOURCE, STAGES
from cdcd.model.errors import Transient
from cdcd.model.position import Position, shortest_ttl
from cdcd.ops.board import wall_clock_ms
from cdcd.sink import letters
from cdcd.sink.pool import Pool
from cdcd.source.catalog import find, read_schema
from cdcd.source.session import Session
from cdcd.transport.lane_state import LaneState, read_lanes
from cdcd.transport.topics import Topics, lanes_topic, table_of_topic

Result = TypeVar("Result")
Offsets = Mapping[tuple[str, int], int]

ANSWER_SECONDS_MAX = 15.0

_THERE = "SELECT to_regclass('cdcd.offsets') IS NOT NULL AS there"
_LETTERS_THERE = "SELECT to_regclass('cdcd.dead_letters') IS NOT NULL"
_OFFSETS = """
SELECT topic, partition, next_offset, extract(epoch FROM updated_at)::float8 AS updated
FROM cdcd.offsets WHERE pipeline = $1
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What PostgreSQL holds: next offset by topic and partition, the last commit by topic, and how
    many dead letters wait by table.
    """

    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    committed_ms: Mapping[str, int] = field(default_factory=dict)
    dead_letters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableStanding:
    """One table.

    `frontier_ms` is the oldest saved position over the lanes: everything older is published.
    `lag_seconds` is its age, and with that the most that the topic can be behind: while a table is
    idle its position is saved every half a minute or so. `waiting` counts records that are in Kafka
    and not yet applied; a few of them are marks of transactions. `dead_letters` counts those that
    wait. `state` is `followed`, `paused`, with the stages that stand still in `paused`, or
    `removed` from the pipeline. For a paused source `headroom_seconds` is how long until its log
    forgets what was not read. None is not known.
    """

    table: str
    frontier_ms: int | None
    lag_seconds: float | None
    lanes: int
    waiting: int | None
    applied_ms: int | None
    dead_letters: int | None = None
    state: str = "followed"
    paused: Mapping[str, str] = field(default_factory=dict)
    headroom_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """One pipeline; `patterns` is its set of tables, `lanes` how many there are."""

    name: str
    now_ms: int
    lanes: int | None
    patterns: tuple[str, ...]
    tables: tuple[TableStanding, ...]
    away: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        return asdict(self)


async def look(settings: Settings) -> Standing:
    """Ask Kafka and PostgreSQL at the same time."""
    away: dict[str, str] = {}
    async with asyncio.TaskGroup() as tasks:
        published = tasks.create_task(_tried("kafka", _published(settings), away))
        applied = tasks.create_task(_tried("postgres", _applied(settings), away))
    lanes, state, ends = published.result() or (None, LaneState(), {})
    now_ms = wall_clock_ms()
    done = applied.result()
    topics = {topic for topic, _ in ends} | {topic for topic, _ in (done or Applied()).offsets}
    by_table = {table: t for t in topics if (table := table_of_topic(settings.name, t))}
    tables = tuple(
        _table(
            name,
            state.positions.get(name, {}),
            now_ms,
            _waiting(by_table.get(name), ends, done) if "kafka" not in away else None,
            (done.committed_ms.get(by_table.get(name, "")), done.dead_letters.get(name, 0))
            if done
            else (None, None),
        )
        for name in sorted(set(by_table) | {t for t, p in state.positions.items() if p})
    )
    tables = tuple(_controlled(table, state) for table in tables)
    if any(SOURCE in table.paused for table in tables):
        retained = await _tried("scylla", retained_seconds(settings, state.control.tables), away)
        kept = {name: _kept(state.positions[name], ttl) for name, ttl in (retained or {}).items()}
        tables = tuple(_with_headroom(table, kept, now_ms) for table in tables)
    return Standing(settings.name, now_ms, lanes, state.tables or (), tables, away)


def _controlled(table: TableStanding, state: LaneState) -> TableStanding:
    """With what operators have told the pipeline of the table."""
    control = state.control
    if state.tables is not None and not control.wants(table.table):
        return replace(table, state="removed", lag_seconds=None)
    pauses = {stage: control.pause_of(table.table, stage) for stage in STAGES}
    found = {stage: str(pause) for stage, pause in pauses.items() if pause is not None}
    return replace(table, state="paused" if found else "followed", paused=found)


def _kept(positions: Mapping[int, Position], ttl_seconds: int) -> int:
    """How long what the lanes have to read is kept at least, 0 for ever."""
    return shortest_ttl(ttl_seconds, *(p.ttl_seconds for p in positions.values())) or 0


def _with_headroom(table: TableStanding, retained: Mapping[str, int], now_ms: int) -> TableStanding:
    seconds = retained.get(table.table)
    if SOURCE not in table.paused or not seconds or table.frontier_ms is None:
        return table
    return replace(table, headroom_seconds=seconds - (now_ms - table.frontier_ms) / 1000)


async def retained_seconds(settings: Settings, patterns: Sequence[str]) -> Mapping[str, int]:
    """How long the logs of the tables keep a change, 0 for ever. Raises Transient or Fatal."""
    async with Session.open(settings.scylla) as session:
        catalog = find(await read_schema(session), patterns)
    return {name: table.options.ttl_seconds for name, table in catalog.tables.items()}


async def _tried(service: str, call: Awaitable[Result], away: dict[str, str]) -> Result | None:
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            return await call
    except Transient as error:
        away[service] = error.message
    except TimeoutError:
        away[service] = f"no answer within {ANSWER_SECONDS_MAX:.0f} s"
    return None


async def _published(settings: Settings) -> tuple[int | None, LaneState, Offsets]:
    """The number of lanes, what they say, and the ends of the change topics."""
    topics = Topics(settings.kafka)
    partitions = await topics.partitions()
    wanted = [
        (topic, partition)
        for topic, count in partitions.items()
        if table_of_topic(settings.name, topic)
        for partition in range(count)
    ]
    ends = await topics.ends(wanted, committed=True)
    lanes = partitions.get(lanes_topic(settings.name))
    if lanes is None:
        return None, LaneState(), ends
    return lanes, await read_lanes(settings.kafka, settings.name, lanes), ends


async def _applied(settings: Settings) -> Applied:
    async with (
        Pool(settings.postgres, "cdcd status") as pool,
        pool.connection() as connection,
    ):
        if not await connection.fetchval(_THERE):
            return Applied()
        rows = await connection.fetch(_OFFSETS, settings.name)
        there = await connection.fetchval(_LETTERS_THERE)
        waiting = await letters.waiting(connection, settings.name) if there else {}
    committed: dict[str, int] = defaultdict(int)
    for row in rows:
        committed[row["topic"]] = max(committed[row["topic"]], int(row["updated"] * 1000))
    return Applied(
        {(r["topic"], r["partition"]): r["next_offset"] for r in rows}, committed, waiting
    )


def _waiting(topic: str | None, ends: Offsets, applied: Applied | None) -> int | None:
    """Records between the saved offsets and the ends."""
    if topic is None or applied is None:
        return None
    return sum(
        max(end - applied.offsets.get((name, partition), 0), 0)
        for (name, partition), end in ends.items()
        if name == topic
    )


def _table(
    name: str,
    positions: Mapping[int, Position],
    now_ms: int,
    waiting: int | None,
    applied: tuple[int | None, int | None],
) -> TableStanding:
    frontier = min((p.frontier_ms for p in positions.values()), default=None)
    lag = None if frontier is None else max(now_ms - frontier, 0) / 1000
    return TableStanding(name, frontier, lag, len(positions), waiting, *applied)
