"""One change, between the log and the SQL. Unset, null and empty stay three things.

Values are in their Avro form (see `cdcd.model.typemap`), by column name. A column in `values` was
set; one in `nulls` was set to null; one in neither was not touched, unless the event `is_full_row`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from cdcd.model.fingerprint import Cell, Fingerprint, Merged
from cdcd.model.position import Position, Window
from cdcd.model.refresh import Copied, Listed, Request
from cdcd.model.table import TableSpec

AvroValue = object


class Operation(StrEnum):
    """Debezium's letters, and two of ours for deletes of more than one row."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"
    PARTITION_DELETE = "p"
    RANGE_DELETE = "g"

    # Enum's own is written in Python, and these are looked up several times for each change.
    __hash__ = str.__hash__


class Identity(NamedTuple):
    """Which log row a change came from: stream and `cdc$time`, 16 bytes each, and sequence."""

    stream: bytes
    time: bytes
    seq: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """A range of rows of a partition, in clustering order, which for a descending column is not the
    order of its values. A bound is a prefix of the clustering key; an empty one is open.
    """

    start: tuple[AvroValue, ...]
    start_inclusive: bool
    end: tuple[AvroValue, ...]
    end_inclusive: bool


@dataclass(frozen=True, slots=True)
class Elements:
    """What was done to some elements of a collection or fields of a user-defined type.

    Put has the elements in the column's Avro form, but for lists, whose elements are
    `{"key": …, "value": …}` by their hidden timeuuid; fields that are None there were not put.
    Removed has elements of a set, keys of a map, timeuuids of a list, names of fields.
    """

    put: AvroValue | None
    removed: tuple[AvroValue, ...]


@dataclass(slots=True)
class ChangeEvent:
    """A change of one row, of a static row (`clustering` all None), or of a partition.

    `partition` and `clustering` are the key's values in key order; `clustering` is empty for a
    table without clustering columns, and all None where a range or the whole partition is meant.
    `before` and `after` are the server's images of the row, where the table has them; with several
    writers they may be stale, so nothing rests on them.
    A column in `elements` was changed in part; one that was overwritten whole is in `values`.
    `time_us` is the write time, `token` the partition's token.
    What a refresh publishes has no identity; `is_snapshot` says that a copy asked for it. A late
    change was found behind the frontier; the refresh of what it touched follows it, and alone is
    applied.

    Nobody changes one: it is not declared frozen because making it would take five times as long.
    """

    table: TableSpec
    op: Operation
    partition: tuple[AvroValue, ...]
    clustering: tuple[AvroValue, ...]
    time_us: int
    token: int
    identity: Identity | None
    values: Mapping[str, AvroValue]
    nulls: tuple[str, ...] = ()
    ttl_seconds: int | None = None
    elements: Mapping[str, Elements] = field(default_factory=dict)
    bounds: Bounds | None = None
    before: Mapping[str, AvroValue] | None = None
    after: Mapping[str, AvroValue] | None = None
    is_late: bool = False
    is_snapshot: bool = False

    @property
    def is_full_row(self) -> bool:
        """Whether columns that are not in `values` are null in the source."""
        return self.op is Operation.READ

    @property
    def is_static(self) -> bool:
        """Whether the partition's static row was written."""
        return (
            self.op in (Operation.CREATE, Operation.UPDATE, Operation.READ)
            and bool(self.clustering)
            and all(value is None for value in self.clustering)
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """How a batch was read: which window of the log, none for a base table; how many rows; and from
    when to when, in nanoseconds since 1970.
    """

    window: Window | None
    rows: int
    began_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What a table's reader hands on: changes in order, and where its lanes stand behind them.

    `positions` holds every lane that was read; a lane of it with changes has its position
    published with them, and with `save` every lane of it has. A position without changes only
    saves reading, so that not each empty window writes one. `cells` are fingerprints to be
    saved, or removed (None), `merged` those that wait for the audit; `listed` are refreshes to be
    remembered (true) or forgotten; `asked` are requests to be written, `served` those that this
    batch answers, `copied` copies that it ends. `published` is called when all of it is committed.
    `reading` is told to those who trace.
    """

    table: TableSpec
    events: Sequence[ChangeEvent]
    positions: Mapping[int, Position]
    save: bool = False
    cells: Mapping[Cell, Fingerprint | None] = field(default_factory=dict)
    merged: Mapping[Cell, Merged | None] = field(default_factory=dict)
    listed: Sequence[tuple[Listed, bool]] = ()
    asked: Sequence[Request] = ()
    served: Sequence[Request] = ()
    copied: Sequence[Copied] = ()
    published: Callable[[], None] | None = None
    reading: Reading | None = None
