"""Where a table goes on whose topic no longer has what its saved offsets leave to be applied.

It goes on at the topic's ends. What is before them is left out, so the target is right only after a
copy of the whole table that is read behind them, and after rows that are gone from the source have
been removed. Until then the table is marked, and says so.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from cdcd.model.errors import TableStopped
from cdcd.ops.board import wall_clock_ms
from cdcd.sink import offsets
from cdcd.sink.pool import Connection, Pool
from cdcd.sink.position_checks import check_compacted, check_offset, check_topic
from cdcd.transport.records import Partition
from cdcd.transport.topic_facts import TopicFacts
from cdcd.transport.topics import Topics

Identity = tuple[str, int]

_LOCK = """
SELECT partition, next_offset FROM cdcd.offsets WHERE pipeline = $1 AND topic = $2
ORDER BY partition FOR UPDATE
"""
_LEAVE = "DELETE FROM cdcd.offsets WHERE pipeline = $1 AND topic = $2"
_MARK = """
INSERT INTO cdcd.left_out (pipeline, topic, mark, reason) VALUES ($1, $2, $3, $4)
ON CONFLICT (pipeline, topic)
DO UPDATE SET mark = EXCLUDED.mark, reason = EXCLUDED.reason, since = now()
"""
_MARKS = "SELECT topic, mark, reason FROM cdcd.left_out WHERE pipeline = $1"
_MEND = "DELETE FROM cdcd.left_out WHERE pipeline = $1 AND topic = $2 AND mark = $3"
# Their records are gone; the copy has the rows, and refuses what is still wrong anew.
_CLOSE_LETTERS = """
UPDATE cdcd.dead_letters SET state = 'superseded', changed_at = now()
WHERE pipeline = $1 AND topic = $2 AND state IN ('open', 'requested')
"""


@dataclass(frozen=True, slots=True)
class Mark:
    """Says of a topic that changes were left out, and why; `id` is that of the move."""

    id: UUID
    reason: str

    def shown(self, table: str) -> str:
        """What a table that has it says of itself."""
        hint = f"it is right when a copy has ended: cdcd backfill {table}"
        return str(TableStopped(table, f"changes were left out ({self.reason})", hint))


@dataclass(frozen=True, slots=True)
class Saved:
    """What is saved of a topic: offsets by partition, and the topic that they are of, if known."""

    offsets: Mapping[int, int]
    identity: Identity | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Why a table cannot go on from what is `saved`, and where it could: `ends` are those of the
    partitions that have a gap, of the topic that is there now.
    """

    topic: str
    reason: str
    saved: Saved
    identity: Identity
    ends: Mapping[int, int]

    @property
    def is_of_another_topic(self) -> bool:
        """Whether the saved offsets mean nothing in the topic that is there now."""
        return self.saved.identity not in (None, self.identity)

    def is_there(self, now: Mapping[int, int]) -> bool:
        """Whether no offset has moved that it is about."""
        numbers = self.saved.offsets if self.is_of_another_topic else self.ends
        return all(now.get(n) == self.saved.offsets.get(n) for n in numbers)

    @property
    def has_moved_keys(self) -> bool:
        """Whether the number of partitions is another one, so that rows are in others now."""
        return self.saved.identity is not None and self.saved.identity[1] != self.identity[1]


async def check_positions(
    topics: Topics,
    names: tuple[str, str],
    facts: TopicFacts,
    saved: Saved,
    partitions: Collection[Partition],
) -> None:
    """Raise TableStopped where reading these partitions from the saved offsets would leave changes
    out; `names` are those of table and topic. Raises Transient.
    """
    table, topic = names
    if saved.identity is not None:
        check_topic(table, topic, facts, saved.identity)
    starts, ends = await topics.starts(partitions), await topics.ends(partitions)
    for partition in sorted(partitions):
        bounds = starts[partition], ends[partition]
        check_offset(table, partition, saved.offsets.get(partition.number), bounds)
    if facts.is_compacted:
        whole_ms = wall_clock_ms() - int(facts.retention_seconds * 1000)
        whole = await topics.since(partitions, whole_ms)
        for partition in sorted(partitions):
            applied = saved.offsets.get(partition.number) or 0
            check_compacted(table, partition, applied, whole[partition])


async def find_gap(pool: Pool, topics: Topics, pipeline: str, names: tuple[str, str]) -> Gap | None:
    """The gap before which a table's sink has stopped, or is about to; `names` are those of table
    and topic. Raises Transient, and TableStopped where no copy would help.
    """
    topic = names[1]
    facts = await topics.facts(topic)
    identity = facts.topic_id, facts.partitions
    partitions = [Partition(topic, number) for number in range(facts.partitions)]
    # Before what is saved is read: a sink that works moves towards them.
    ends = await topics.ends(partitions)
    saved = Saved(
        await offsets.read(pool, pipeline, topic), await offsets.identity(pool, pipeline, topic)
    )
    try:
        await check_positions(topics, names, facts, saved, partitions)
    except TableStopped as stopped:
        if not stopped.needs_snapshot:
            raise
        gap = Gap(topic, stopped.message, saved, identity, {})
    else:
        return None
    found = {}
    for partition in partitions:
        try:
            await check_positions(topics, names, facts, saved, [partition])
        except TableStopped:
            found[partition.number] = ends[partition]
    return replace(gap, ends=found)


async def pass_over(pool: Pool, pipeline: str, gap: Gap) -> Mark | None:
    """Have the table go on behind its gap, and mark it; None where its offsets were moved since the
    gap was found. The copy that this rests on has been asked for, behind the gap's ends.
    """
    async with pool.transaction() as connection:
        rows = await connection.fetch(_LOCK, pipeline, gap.topic)
        if not gap.is_there({row["partition"]: row["next_offset"] for row in rows}):
            return None
        made = await leave(connection, pipeline, gap)
        ends = [(gap.topic, number, end) for number, end in sorted(gap.ends.items())]
        await offsets.put(connection, pipeline, ends)
    return made


async def leave(connection: Connection, pipeline: str, gap: Gap) -> Mark:
    """Mark a table that goes on behind a gap. Its saved offsets are of the topic that is there now;
    what waits for records of one that is gone waits no more.
    """
    if gap.is_of_another_topic:
        await connection.execute(_LEAVE, pipeline, gap.topic)
        await offsets.reidentify(connection, pipeline, gap.topic, gap.identity)
        await connection.execute(_CLOSE_LETTERS, pipeline, gap.topic)
    made = Mark(uuid4(), gap.reason)
    await connection.execute(_MARK, pipeline, gap.topic, made.id, made.reason)
    return made


async def marks(pool: Pool, pipeline: str) -> dict[str, Mark]:
    """The marks by topic."""
    async with pool.connection() as connection:
        rows = await connection.fetch(_MARKS, pipeline)
    return {row["topic"]: Mark(row["mark"], row["reason"]) for row in rows}


async def mended(pool: Pool, pipeline: str, found: Mapping[str, Mark]) -> None:
    """Take marks away, by topic, but for those of tables that were moved again since."""
    async with pool.transaction() as connection:
        for topic, each in sorted(found.items()):
            await connection.execute(_MEND, pipeline, topic, each.id)
