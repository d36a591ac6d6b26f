"""The table of dead letters: what the sink does there, in transactions of the caller's."""

from collections.abc import Iterable, Sequence
from typing import Any

from cdcd.model.change import Operation
from cdcd.model.dead_letter import DeadLetter, Refusal, State
from cdcd.sink.batch import Batch, Refused
from cdcd.sink.pool import Connection
from cdcd.sink.rows import EPOCH_US, request_of
from cdcd.transport.lane_records import encode_request

# What one look for letters to carry brings.
CARRY_ROWS_MAX = 500
CARRY_BYTES_MAX = 16 * 1024 * 1024

# One that comes again, because its offset was set back, is open again.
_KEEP = """
INSERT INTO cdcd.dead_letters (
    pipeline, source_table, topic, partition, record_offset, scope, reason, condition, sqlstate,
    constraint_name, column_name, record_key, record_value, rejected_at
)
SELECT $1, $2, $3, l.*
FROM unnest(
    $4::integer[], $5::bigint[], $6::bytea[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::text[], $12::bytea[], $13::bytea[], $14::timestamptz[]
) AS l
ON CONFLICT (pipeline, topic, partition, record_offset) DO UPDATE
SET scope = EXCLUDED.scope, reason = EXCLUDED.reason, condition = EXCLUDED.condition,
    sqlstate = EXCLUDED.sqlstate, constraint_name = EXCLUDED.constraint_name,
    column_name = EXCLUDED.column_name, record_key = EXCLUDED.record_key,
    record_value = EXCLUDED.record_value, rejected_at = EXCLUDED.rejected_at,
    state = 'open', changed_at = now()
"""
_WAITING = """
SELECT EXISTS (
    SELECT 1 FROM cdcd.dead_letters
    WHERE pipeline = $1 AND topic = $2 AND state IN ('open', 'requested')
)
"""
# The record goes with the last who needs it.
_CLOSE = """
UPDATE cdcd.dead_letters AS d
SET state = r.state, changed_at = now(),
    record_key = CASE WHEN d.carried_at IS NULL THEN d.record_key END,
    record_value = CASE WHEN d.carried_at IS NULL THEN d.record_value END
FROM unnest($3::integer[], $4::bigint[], $5::bytea[], $6::text[])
    AS r (partition, record_offset, scope, state)
WHERE d.scope = r.scope AND d.state IN ('open', 'requested')
    AND d.pipeline = $1 AND d.topic = $2
    AND d.partition = r.partition AND d.record_offset < r.record_offset
"""
_TO_CARRY = """
SELECT id, source_table, topic, partition, record_offset, scope, record_key, record_value, reason,
       condition, sqlstate, constraint_name, column_name,
       (extract(epoch FROM rejected_at) * 1000)::bigint AS rejected_ms
FROM (
    SELECT *, sum(coalesce(octet_length(record_value), 0)) OVER places
            - coalesce(octet_length(record_value), 0) AS bytes_before
    FROM (
        SELECT * FROM cdcd.dead_letters
        WHERE pipeline = $1 AND carried_at IS NULL
        ORDER BY topic, partition, record_offset
        LIMIT $2
    ) AS first
    WINDOW places AS (ORDER BY topic, partition, record_offset)
) AS d
WHERE bytes_before < $3
ORDER BY topic, partition, record_offset
"""
_CARRIED = """
UPDATE cdcd.dead_letters
SET carried_at = now(),
    record_key = CASE WHEN state IN ('open', 'requested') THEN record_key END,
    record_value = CASE WHEN state IN ('open', 'requested') THEN record_value END
WHERE id = ANY ($1::bigint[])
"""
_COUNTS = """
SELECT source_table, count(*) AS letters FROM cdcd.dead_letters
WHERE pipeline = $1 AND state IN ('open', 'requested')
GROUP BY source_table
"""

# What a refresh publishes.
_REFRESHES = frozenset(
    {Operation.READ, Operation.DELETE, Operation.PARTITION_DELETE, Operation.RANGE_DELETE}
)


async def keep(connection: Connection, pipeline: str, letters: Sequence[DeadLetter]) -> None:
    """Write the dead letters of a batch of one table."""
    if letters:
        columns = [list(column) for column in zip(*map(_row, letters), strict=True)]
        first = letters[0]
        await connection.execute(_KEEP, pipeline, first.table, first.topic, *columns)


def _row(letter: DeadLetter) -> tuple[Any, ...]:
    refusal = letter.refusal
    return (
        letter.partition,
        letter.offset,
        letter.scope,
        refusal.reason,
        refusal.condition,
        refusal.sqlstate,
        refusal.constraint,
        refusal.column,
        letter.key,
        letter.value,
        (letter.rejected_ms * 1000 - EPOCH_US,),
    )


async def close(
    connection: Connection, names: tuple[str, str], batch: Batch, dead: Sequence[Refused]
) -> None:
    """Close what waits for rows that this batch has read anew: they are applied now, or, where
    they are among the dead, refused again. `names` are those of pipeline and topic.
    """
    events = batch.events
    read = [at for at in events.refreshed if events.operations[at] in _REFRESHES]
    again = [r for r in dead if r.refreshed and r.event.op in _REFRESHES]
    if not (read or again) or not await connection.fetchval(_WAITING, *names):
        return
    refused = {(r.letter.partition, r.letter.offset) for r in dead}
    places = [(batch.records[at].partition.number, batch.records[at].offset) for at in read]
    found = [
        (*place, events[at], State.REPLAYED)
        for at, place in zip(read, places, strict=True)
        if place not in refused
    ]
    found += [(r.letter.partition, r.letter.offset, r.event, State.SUPERSEDED) for r in again]
    # Of several readings of a row the last one counts.
    rows = {
        scope: (number, offset, scope, state.value)
        for number, offset, event, state in sorted(found, key=lambda f: f[:2])
        for scope in (encode_request(request_of(event)),)
    }
    columns = [list(column) for column in zip(*rows.values(), strict=True)]
    await connection.execute(_CLOSE, *names, *columns)


async def to_carry(connection: Connection, pipeline: str) -> dict[int, DeadLetter]:
    """The next letters that are not in the topic yet, by their numbers, in the topics' order."""
    rows = await connection.fetch(_TO_CARRY, pipeline, CARRY_ROWS_MAX, CARRY_BYTES_MAX)
    return {row["id"]: _letter(row) for row in rows}


def _letter(row: Any) -> DeadLetter:
    refusal = Refusal(
        row["reason"], row["condition"], row["sqlstate"], row["constraint_name"], row["column_name"]
    )
    return DeadLetter(
        row["source_table"],
        row["topic"],
        row["partition"],
        row["record_offset"],
        row["scope"],
        row["record_key"],
        row["record_value"],
        refusal,
        row["rejected_ms"],
    )


async def carried(connection: Connection, numbers: Iterable[int]) -> None:
    """These are in the topic."""
    await connection.execute(_CARRIED, list(numbers))


async def waiting(connection: Connection, pipeline: str) -> dict[str, int]:
    """How many dead letters wait, by source table; none for a table that has none."""
    rows = await connection.fetch(_COUNTS, pipeline)
    return {row["source_table"]: row["letters"] for row in rows}
