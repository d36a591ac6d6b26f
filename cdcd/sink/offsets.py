"""The saved offsets: what has been applied, and the compare-and-set that makes it exactly once."""

from collections.abc import Iterable

from cdcd.model.errors import InvariantBroken
from cdcd.sink.inbox import Move
from cdcd.sink.pool import Connection, Pool

_READ = "SELECT partition, next_offset FROM cdcd.offsets WHERE pipeline = $1 AND topic = $2"
_ADVANCE = """
UPDATE cdcd.offsets AS o
SET next_offset = m.next_offset, updated_at = clock_timestamp()
FROM unnest($3::integer[], $4::bigint[], $5::bigint[]) AS m (partition, start, next_offset)
WHERE o.pipeline = $1 AND o.topic = $2 AND o.partition = m.partition AND o.next_offset = m.start
"""
_BEGIN = """
INSERT INTO cdcd.offsets (pipeline, topic, partition, next_offset)
SELECT $1, $2, m.partition, m.next_offset
FROM unnest($3::integer[], $4::bigint[]) AS m (partition, next_offset)
ORDER BY m.partition
ON CONFLICT DO NOTHING
"""
_IDENTIFY = """
INSERT INTO cdcd.topics (pipeline, topic, topic_id, partitions) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
"""
_REIDENTIFY = """
INSERT INTO cdcd.topics (pipeline, topic, topic_id, partitions) VALUES ($1, $2, $3, $4)
ON CONFLICT (pipeline, topic)
DO UPDATE SET topic_id = EXCLUDED.topic_id, partitions = EXCLUDED.partitions
"""
_IDENTITY = "SELECT topic_id, partitions FROM cdcd.topics WHERE pipeline = $1 AND topic = $2"


_READ_ALL = """
SELECT topic, partition, next_offset FROM cdcd.offsets WHERE pipeline = $1
ORDER BY topic, partition
"""
_REPLACE = """
INSERT INTO cdcd.offsets (pipeline, topic, partition, next_offset)
SELECT $1, o.topic, o.partition, o.next_offset
FROM unnest($2::text[], $3::integer[], $4::bigint[]) AS o (topic, partition, next_offset)
ON CONFLICT (pipeline, topic, partition)
DO UPDATE SET next_offset = EXCLUDED.next_offset, updated_at = clock_timestamp()
"""


class OffsetsMoved(Exception):
    """A saved offset is not the one that the batch began at: somebody else has applied it."""


async def read(pool: Pool, pipeline: str, topic: str) -> dict[int, int]:
    """The saved offsets of a topic by partition."""
    async with pool.connection() as connection:
        rows = await connection.fetch(_READ, pipeline, topic)
    return {row["partition"]: row["next_offset"] for row in rows}


async def read_all(pool: Pool, pipeline: str) -> list[tuple[str, int, int]]:
    """Topic, partition and next offset of all that is saved."""
    async with pool.connection() as connection:
        return [tuple(row) for row in await connection.fetch(_READ_ALL, pipeline)]


async def replace(pool: Pool, pipeline: str, saved: Iterable[tuple[str, int, int]]) -> None:
    """Save offsets as they are given, all or none; for a pipeline whose workers do not run."""
    async with pool.transaction() as connection:
        await put(connection, pipeline, saved)


async def put(connection: Connection, pipeline: str, saved: Iterable[tuple[str, int, int]]) -> None:
    """Save offsets as they are given, in the connection's transaction."""
    columns = [list(column) for column in zip(*saved, strict=True)] or [[], [], []]
    await connection.execute(_REPLACE, pipeline, *columns)


async def identify(
    pool: Pool, pipeline: str, topic: str, identity: tuple[str, int]
) -> tuple[str, int]:
    """The id and number of partitions of the topic that the offsets are of: these, where none are
    saved.
    """
    async with pool.transaction() as connection:
        await connection.execute(_IDENTIFY, pipeline, topic, *identity)
        row = await connection.fetchrow(_IDENTITY, pipeline, topic)
    return identity if row is None else (row["topic_id"], row["partitions"])


async def identity(pool: Pool, pipeline: str, topic: str) -> tuple[str, int] | None:
    """The id and number of partitions of the topic that the offsets are of, if a sink has said."""
    async with pool.connection() as connection:
        row = await connection.fetchrow(_IDENTITY, pipeline, topic)
    return None if row is None else (row["topic_id"], row["partitions"])


async def reidentify(
    connection: Connection, pipeline: str, topic: str, identity: tuple[str, int]
) -> None:
    """The offsets are of this topic from now on."""
    await connection.execute(_REIDENTIFY, pipeline, topic, *identity)


async def advance(connection: Connection, pipeline: str, topic: str, moves: Iterable[Move]) -> None:
    """Save the steps in the connection's transaction, all of them or raise OffsetsMoved."""
    ordered = sorted(moves, key=lambda m: m.partition)
    for move in ordered:
        if move.next_offset < (move.start or 0):
            raise InvariantBroken(
                f"{topic}/{move.partition}: offset {move.start} would go back to {move.next_offset}"
            )
    saved = [m for m in ordered if m.start is not None]
    new = [m for m in ordered if m.start is None]
    if saved:
        columns = [m.partition for m in saved], [m.start for m in saved]
        done = await connection.execute(
            _ADVANCE, pipeline, topic, *columns, [m.next_offset for m in saved]
        )
        _check(done, len(saved), topic)
    if new:
        done = await connection.execute(
            _BEGIN, pipeline, topic, [m.partition for m in new], [m.next_offset for m in new]
        )
        _check(done, len(new), topic)


def _check(done: str, expected: int, topic: str) -> None:
    if int(done.rpartition(" ")[2]) != expected:
        raise OffsetsMoved(topic)
