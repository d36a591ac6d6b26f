"""The table of dead letters as its commands see it. No daemon has to run.

`cdcd.sink.letters` writes the letters; here they are looked at, and marked as asked for or dropped.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cdcd.model.dead_letter import Refusal, State
from cdcd.sink.pool import Connection

WAITING = (State.OPEN, State.REQUESTED)

_THERE = "SELECT to_regclass('cdcd.dead_letters') IS NOT NULL"
_CHOSEN = """
WHERE pipeline = $1 AND state = ANY ($2::text[])
    AND (cardinality($3::bigint[]) = 0 OR id = ANY ($3::bigint[]))
    AND (cardinality($4::text[]) = 0 OR source_table = ANY ($4::text[]))
    AND ($5::text IS NULL OR reason = $5)
"""
_ENTRIES = f"""
SELECT id, source_table, topic, partition, record_offset, reason, condition, sqlstate,
       constraint_name, column_name, state,
       (extract(epoch FROM rejected_at) * 1000)::bigint AS rejected_ms,
       (extract(epoch FROM changed_at) * 1000)::bigint AS changed_ms,
       (extract(epoch FROM carried_at) * 1000)::bigint AS carried_ms
FROM cdcd.dead_letters {_CHOSEN} AND id > $6 ORDER BY id LIMIT $7
"""  # noqa: S608  constants of this module
_SUMMARY = f"""
SELECT source_table, reason, condition, sqlstate, constraint_name, column_name, state,
       count(*) AS letters
FROM cdcd.dead_letters {_CHOSEN}
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 8 DESC, 2, 3, 4, 5, 6, 7
"""  # noqa: S608
_SCOPES = "SELECT id, scope FROM cdcd.dead_letters WHERE id = ANY ($1::bigint[]) ORDER BY id"
_RECORD = "SELECT record_key, record_value FROM cdcd.dead_letters WHERE id = $1"
_REQUESTED = """
UPDATE cdcd.dead_letters SET state = 'requested', changed_at = now()
WHERE id = ANY ($1::bigint[]) AND state IN ('open', 'requested')
"""
_DROP = """
UPDATE cdcd.dead_letters
SET state = 'dropped', changed_at = now(),
    record_key = CASE WHEN carried_at IS NULL THEN record_key END,
    record_value = CASE WHEN carried_at IS NULL THEN record_value END
WHERE id = ANY ($1::bigint[]) AND state IN ('open', 'requested')
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters of a pipeline are meant; what is empty does not restrict."""

    pipeline: str
    numbers: tuple[int, ...] = ()
    tables: tuple[str, ...] = ()
    reason: str | None = None
    states: tuple[State, ...] = WAITING

    @property
    def parameters(self) -> tuple[Any, ...]:
        """As the statements take it."""
        states = [state.value for state in self.states]
        return self.pipeline, states, list(self.numbers), list(self.tables), self.reason


@dataclass(frozen=True, slots=True)
class Entry:
    """A dead letter without its record. Times are milliseconds since 1970; `carried_ms` is when it
    was written to the topic, None while it is not.
    """

    number: int
    table: str
    topic: str
    partition: int
    offset: int
    refusal: Refusal
    state: State
    rejected_ms: int
    changed_ms: int
    carried_ms: int | None

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        plain = asdict(self)
        return {**plain, **plain.pop("refusal"), "message": self.refusal.message}


@dataclass(frozen=True, slots=True)
class Count:
    """How many dead letters of a table are the same in everything but the row."""

    table: str
    refusal: Refusal
    state: State
    letters: int

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON document."""
        plain = asdict(self)
        return {**plain, **plain.pop("refusal"), "message": self.refusal.message}


async def is_there(connection: Connection) -> bool:
    """Whether the database has a table of dead letters."""
    return bool(await connection.fetchval(_THERE))


async def entries(
    connection: Connection, choice: Choice, count_max: int, after: int = 0
) -> list[Entry]:
    """The first so many with numbers above `after`, in the order of their numbers."""
    rows = await connection.fetch(_ENTRIES, *choice.parameters, after, count_max)
    return [
        Entry(
            row["id"],
            row["source_table"],
            row["topic"],
            row["partition"],
            row["record_offset"],
            _refusal(row),
            State(row["state"]),
            row["rejected_ms"],
            row["changed_ms"],
            row["carried_ms"],
        )
        for row in rows
    ]


async def summary(connection: Connection, choice: Choice) -> list[Count]:
    """How many there are of each table, reason and state; the most of a table first."""
    rows = await connection.fetch(_SUMMARY, *choice.parameters)
    return [
        Count(row["source_table"], _refusal(row), State(row["state"]), row["letters"])
        for row in rows
    ]


def _refusal(row: Any) -> Refusal:
    return Refusal(
        row["reason"], row["condition"], row["sqlstate"], row["constraint_name"], row["column_name"]
    )


async def scopes(connection: Connection, numbers: Sequence[int]) -> list[bytes]:
    """What is to be read again for these, each scope once."""
    rows = await connection.fetch(_SCOPES, list(numbers))
    return list(dict.fromkeys(row["scope"] for row in rows))


async def record(connection: Connection, number: int) -> tuple[bytes | None, bytes | None]:
    """Key and value of the record; None where they went with the closing of the letter."""
    row = await connection.fetchrow(_RECORD, number)
    return (None, None) if row is None else (row["record_key"], row["record_value"])


async def mark_requested(connection: Connection, numbers: Sequence[int]) -> None:
    """Their rows are asked for. One that was closed meanwhile stays closed."""
    await connection.execute(_REQUESTED, list(numbers))


async def drop(connection: Connection, numbers: Sequence[int]) -> int:
    """Close without replaying; gives how many were still waiting."""
    done = await connection.execute(_DROP, list(numbers))
    return int(done.rpartition(" ")[2])
