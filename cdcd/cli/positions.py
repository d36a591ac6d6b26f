"""A pipeline's position, read from Kafka and PostgreSQL and written back there.

Nothing is written while a worker runs: it would go on from what it has in memory.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cdcd.config.settings import Settings
from cdcd.model.control import SINK, SOURCE, takes_in
from cdcd.model.errors import ConfigurationError, Fatal, TableStopped
from cdcd.ops.board import wall_clock_ms
from cdcd.sink import offsets
from cdcd.sink.left_out import Gap, find_gap, leave
from cdcd.sink.pool import Pool
from cdcd.sink.state import STATE_VERSION, check_version
from cdcd.source.catalog import find, read_schema
from cdcd.source.generations import Generations
from cdcd.source.progress import check_saved
from cdcd.source.session import Session
from cdcd.transport.brokers import Brokers
from cdcd.transport.lane_dump import read_records, write_records
from cdcd.transport.lane_records import decode_position, table_of_key
from cdcd.transport.position_file import Offset, Position, resetting, restoring
from cdcd.transport.topics import Topics, lanes_topic, table_of_topic

Ends = Mapping[tuple[str, int], int]

_THERE = "SELECT to_regclass('cdcd.offsets') IS NOT NULL"


@dataclass(frozen=True)
class Here:
    """A pipeline as it stands; `starts` and `ends` are of the change topics' partitions. It
    `has_state` in PostgreSQL where a sink of this release has been there.
    """

    position: Position
    starts: Ends
    ends: Ends
    has_state: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `show`."""
        position, again = self.position, self.position.tables_from_oldest()
        counts = {"requests": "request/", "listed": "listed/", "fingerprints": "cell/"}
        return {
            "pipeline": position.pipeline,
            "lanes": position.lanes,
            "tables": [
                {"table": table, "frontier_ms": frontier_ms, "from_oldest": table in again}
                for table, frontier_ms in sorted(position.frontiers_ms().items())
            ],
            **{
                name: sum(key.startswith(prefix) for _, key in position.records)
                for name, prefix in counts.items()
            },
            "offsets": [
                {
                    **asdict(o),
                    "start": self.starts.get((o.topic, o.partition)),
                    "end": self.ends.get((o.topic, o.partition)),
                }
                for o in position.offsets
            ],
        }


@asynccontextmanager
async def _pool(settings: Settings) -> AsyncIterator[Pool]:
    async with Pool(settings.postgres, f"cdcd {settings.name} offsets") as pool:
        yield pool


async def here(settings: Settings) -> Here:
    """Where the pipeline stands now. Raises Transient, and ConfigurationError without one."""
    name, topics = settings.name, Topics(settings.kafka)
    counts = await topics.partitions()
    lanes = counts.get(lanes_topic(name))
    if lanes is None:
        raise ConfigurationError(f"there is no pipeline {name}", "see `name` in `cdcd config`")
    records = await read_records(settings.kafka, name, lanes)
    mine = {topic: n for topic, n in counts.items() if table_of_topic(name, topic)}
    partitions = [(topic, number) for topic, count in mine.items() for number in range(count)]
    async with _pool(settings) as pool:
        async with pool.connection() as connection:
            version = await check_version(connection)
            there = await connection.fetchval(_THERE)
        saved = await offsets.read_all(pool, name) if there else []
    destinations = await topics.destinations([*mine, lanes_topic(name)])
    position = Position(
        name,
        datetime.now(UTC).isoformat(timespec="seconds"),
        lanes,
        records,
        tuple(Offset(*row) for row in saved),
        {topic: destination.topic_id for topic, destination in destinations.items()},
    )
    starts, ends = await topics.starts(partitions), await topics.ends(partitions)
    return Here(position, starts, ends, version == STATE_VERSION)


async def refuse_while_running(settings: Settings) -> None:
    """Raise Fatal while a worker of the pipeline runs."""
    for stage, workers in (await Brokers(settings.kafka).workers(settings.name)).items():
        if workers:
            raise Fatal(
                f"{workers} worker(s) of pipeline {settings.name} run the {stage} stage",
                "stop them first; one that was stopped just now counts for some seconds",
            )


async def faults(
    settings: Settings, backup: Position, now: Here, stages: Collection[str]
) -> list[str]:
    """Why the pipeline could not go on from the backup, one sentence each."""
    found = []
    if backup.pipeline != settings.name:
        found.append(f"the backup is of pipeline {backup.pipeline}, and this is {settings.name}")
    if backup.lanes != now.position.lanes:
        found.append(f"the backup has {backup.lanes} lanes, and there are {now.position.lanes}")
    if SINK in stages:
        found += _offset_faults(backup, now)
    if SOURCE in stages and not found:
        found += await _log_faults(settings, backup)
    return found


def _offset_faults(backup: Position, now: Here) -> list[str]:
    found = []
    for topic, topic_id in backup.topics.items():
        if now.position.topics.get(topic, topic_id) != topic_id:
            found.append(f"topic {topic} was deleted and made again since")
    for each in backup.offsets:
        at = (each.topic, each.partition)
        place = f"{each.topic}/{each.partition}"
        if at not in now.ends:
            found.append(f"{place} is not there")
        elif not now.starts[at] <= each.next_offset <= now.ends[at]:
            found.append(
                f"{place} has records from {now.starts[at]} to {now.ends[at]}, and the backup"
                f" stands at {each.next_offset}"
            )
    return found


async def _log_faults(settings: Settings, backup: Position) -> list[str]:
    """Tables whose log does not go back to the backup."""
    found = {}
    names = sorted(backup.frontiers_ms())
    async with Session.open(settings.scylla) as session:
        tables = find(await read_schema(session), names).tables
        generations = Generations(session)
        for (_, key), value in backup.records.items():
            name = table_of_key(key.encode())
            if name is None or name not in tables:
                continue
            table = tables[name]
            known = await generations.of(table)
            try:
                check_saved(table, known, decode_position(value.encode()), wall_clock_ms())
            except TableStopped as stopped:
                found[name] = stopped.message
    return list(found.values())


def consequences(backup: Position, now: Here, stages: Collection[str]) -> list[str]:
    """What going back means, one sentence each."""
    found = []
    if SOURCE in stages:
        present, saved = now.position.frontiers_ms(), backup.frontiers_ms()
        gaps = now.position.tables_with_gap()
        found += [_gap(table) for table in sorted(gaps)]
        found += [
            f"{table} is newer than the backup, and stays where it stands"
            for table in sorted(present.keys() - saved.keys() - gaps)
        ]
        for table, frontier_ms in sorted(saved.items()):
            if table not in gaps and frontier_ms < present.get(table, frontier_ms):
                found.append(
                    f"{table}: the log is read again from {_moment(frontier_ms)}; what was written"
                    " since is published a second time, and readers of the topic see it twice"
                )
    if SINK in stages:
        found += _applied_again(backup.offsets, now)
    return found


def _gap(table: str) -> str:
    return (
        f"{table} stays where it stands: changes are missing behind it, and only a copy makes that"
        f" right: cdcd backfill {table}"
    )


def _applied_again(target: Iterable[Offset], now: Here) -> list[str]:
    present = {(o.topic, o.partition): o.next_offset for o in now.position.offsets}
    again: dict[str, int] = {}
    skipped: dict[str, int] = {}
    for each in target:
        saved = present.get((each.topic, each.partition), each.next_offset)
        counts = again if each.next_offset < saved else skipped
        counts[each.topic] = counts.get(each.topic, 0) + abs(saved - each.next_offset)
    found = [
        f"{topic}: {count} records are applied again, in order; rows show older values until the"
        " end is reached, and are equal then"
        for topic, count in sorted(again.items())
    ]
    found += [
        f"{topic}: {count} records are left out, which is right only if PostgreSQL has them"
        " already; run `cdcd reconcile full` afterwards"
        for topic, count in sorted(skipped.items())
        if count
    ]
    return found


async def restore(settings: Settings, backup: Position, now: Here, stages: Collection[str]) -> None:
    """Go back to the backup: the lanes in one transaction, then the offsets in one. It may be
    repeated where only the first was done.
    """
    if SOURCE in stages:
        writes = restoring(backup.records, now.position.records)
        await write_records(settings.kafka, settings.name, writes)
    if SINK in stages:
        saved = [(o.topic, o.partition, o.next_offset) for o in backup.offsets]
        async with _pool(settings) as pool:
            await offsets.replace(pool, settings.name, saved)


def reset_offsets(settings: Settings, now: Here, tables: Sequence[str]) -> list[Offset]:
    """The oldest records that the topics of some tables keep."""
    wanted = {t for t in now.position.topics if table_of_topic(settings.name, t) in tables}
    return [
        Offset(topic, number, start)
        for (topic, number), start in sorted(now.starts.items())
        if topic in wanted
    ]


async def gaps_of(
    settings: Settings, now: Here, tables: Sequence[str], stages: Collection[str]
) -> dict[str, Gap]:
    """The gaps that beginning anew leaves behind, by table: changes that are not applied and that
    the topics no longer have.
    """
    if SINK not in stages or not now.has_state:
        return {}
    topics, found = Topics(settings.kafka), {}
    async with _pool(settings) as pool:
        for table in tables:
            topic = f"{settings.name}.{table}"
            if topic in now.position.topics:
                gap = await find_gap(pool, topics, settings.name, (table, topic))
                if gap is not None:
                    found[table] = gap
    return found


def consequences_of_reset(
    settings: Settings,
    now: Here,
    tables: Sequence[str],
    stages: Collection[str],
    gaps: Mapping[str, Gap],
) -> list[str]:
    """What beginning anew means, one sentence each."""
    found = []
    if SOURCE in stages:
        known, cut = now.position.frontiers_ms(), now.position.tables_with_gap()
        found += [
            _gap(table)
            if table in cut
            else f"{table}: the log is read again from its oldest change; all of it is published a"
            " second time, and readers of the topic see it twice"
            for table in tables
            if table in known
        ]
    if SINK in stages:
        found += [
            f"{table}: {gap.reason}; what the topic has is applied, and only a copy makes the table"
            f" right: cdcd backfill {table}"
            for table, gap in sorted(gaps.items())
        ]
        whole = [table for table in tables if table not in gaps]
        found += _applied_again(reset_offsets(settings, now, whole), now)
    return found


def tables_of(settings: Settings, now: Here, patterns: Collection[str]) -> list[str]:
    """The pipeline's tables that the patterns mean. Raises ConfigurationError for none."""
    known = {table_of_topic(settings.name, t) for t in now.position.topics} - {None}
    known |= set(now.position.frontiers_ms())
    found = sorted(t for t in known if t is not None and takes_in(patterns, t))
    if not found:
        raise ConfigurationError(
            f"no table of pipeline {settings.name} matches {' '.join(patterns)}",
            "see `cdcd status`",
        )
    return found


async def reset(
    settings: Settings,
    now: Here,
    tables: Sequence[str],
    stages: Collection[str],
    gaps: Mapping[str, Gap],
) -> None:
    """Begin the tables anew, at the oldest change of the log and the oldest record of the topic.
    Those that leave a gap behind are marked.
    """
    if SOURCE in stages:
        writes = resetting(now.position.records, tables)
        await write_records(settings.kafka, settings.name, writes)
    if SINK in stages:
        oldest = reset_offsets(settings, now, tables)
        rows = [(o.topic, o.partition, o.next_offset) for o in oldest]
        async with _pool(settings) as pool, pool.transaction() as connection:
            for gap in gaps.values():
                await leave(connection, settings.name, gap)
            await offsets.put(connection, settings.name, rows)


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "seconds")
