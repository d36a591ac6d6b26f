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
class Rest:
    """The rows of a partition behind one of its rows, in clustering order."""

    partition: Key
    after: Key


@dataclass(frozen=True, slots=True)
class Tokens:
    """All partitions whose token lies in a range, which lies in one lane.

    Before them come `within`, partitions at the range's start that are too large for one read; of
    the first of them the rows behind `after`, or all of it where that is empty.
    """

    range: TokenRange
    within: tuple[Key, ...] = ()
    after: Key = ()


Scope = Row | StaticRow | Partition | Rest | Tokens


@dataclass(frozen=True, slots=True)
class Copy:
    """What a lane's part of a copy of a table knows of itself.

    `run` is the same for all lanes of one copy; `whole` is what it began with. It begins when the
    frontier has reached `asked_ms`. `rows` were copied so far, `began_ms` is 0 before the first.
    """

    run: str
    whole: TokenRange
    asked_ms: int
    rows: int = 0
    began_ms: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """A wish for a refresh. `id` is its own; `token` says the lane; it is not served before
    `due_ms`, milliseconds since 1970. One that is part of a copy has `copy`, and `scope` is what
    remains of it. One with `cancels` ends the request of that id and reads nothing. A partition
    that is wanted `whole` is not cut into ranges.
    """

    id: str
    table: str
    scope: Scope
    token: int
    due_ms: int = 0
    copy: Copy | None = None
    cancels: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Copied:
    """The last copy of a table that ended in a lane; `left` is what a cancelled one did not do."""

    table: str
    token: int
    run: str
    rows: int
    began_ms: int
    ended_ms: int
    left: Request | None = None

    @property
    def cancelled(self) -> bool:
        """Whether it was ended before its end."""
        return self.left is not None


@dataclass(frozen=True, slots=True)
class Listed:
    """A refresh that was published, and the frontier that its lane stood at."""

    id: str
    table: str
    scope: Scope
    token: int
    frontier_ms: int
