"""Dead letters: records of change topics that the target refused. Pure.

A dead letter is named by the topic, partition and offset of its record. Nothing that is said of it
quotes a value of its row.
"""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What became of a dead letter. The first two are waiting, the others are closed."""

    OPEN = "open"
    REQUESTED = "requested"
    """Its row was asked for; the row is not applied yet."""
    REPLAYED = "replayed"
    """Its row was read from the source anew and applied."""
    SUPERSEDED = "superseded"
    """Its row was read anew and refused again, which is a dead letter of its own."""
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record was refused. `reason` is a word of a few, `condition` the failure's name."""

    reason: str
    condition: str
    sqlstate: str | None = None
    constraint: str | None = None
    column: str | None = None

    @property
    def message(self) -> str:
        """The whole of it in a sentence."""
        parts = [self.condition if self.sqlstate is None else self._with_sqlstate]
        if self.column is not None:
            parts.append(f'column "{self.column}"')
        if self.constraint is not None:
            parts.append(f"constraint {self.constraint}")
        return ", ".join(parts)

    @property
    def _with_sqlstate(self) -> str:
        return f"{self.condition} (SQLSTATE {self.sqlstate})"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record and why it was refused; key and value are its bytes. `table` is the source's
    `keyspace.table`, `scope` the request that has what it touched read again, as the lanes hold it;
    times are milliseconds since 1970.
    """

    table: str
    topic: str
    partition: int
    offset: int
    scope: bytes
    key: bytes | None
    value: bytes | None
    refusal: Refusal
    rejected_ms: int
