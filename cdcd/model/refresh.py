"""Refresh: read a row, a partition or a token range from the base table as it is now. Pure.

A request names what to read by the key's serialised CQL values, so that it can be bound again as it
is. It lives in the lanes topic until it is served. What was refreshed stays listed until the log
before it is settled, because the base may have been read before a change that the log showed first.
"""

from dataclasses import dataclass

from cdcd.model.position import TokenRange

Key = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `clustering` is empty where a partition is one row."""

    partition: Key
    clustering: Key


@dataclass(frozen=True, slots=True)
class StaticRow:
    """The static row of a partition."""

    partition: Key


@dataclass(frozen=True, slots=True)
class Partition:
    """All rows of a partition and its static row."""

    partition: Key


@dataclass(frozen=True, slots=True)
class Tokens:
    """All partitions whose token lies in a range, which lies in one lane."""

    range: TokenRange


Scope = Row | StaticRow | Partition | Tokens


@dataclass(frozen=True, slots=True)
class Request:
    """A wish for a refresh. `id` is its own; `token` says the lane; it is not served before
    `due_ms`, milliseconds since 1970.
    """

    id: str
    table: str
    scope: Scope
    token: int
    due_ms: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """A refresh that was published, and the frontier that its lane stood at."""

    id: str
    table: str
    scope: Scope
    token: int
    frontier_ms: int
