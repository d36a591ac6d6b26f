"""Log rows to changes. Pure; a row is a tuple of raw bytes in the order of `log_columns`.

The codes and the reading of a row are ScyllaDB's manual, "The CDC log table" and "Basic
operations". A row's column is absent (not touched), set, or deleted (set to null): three things.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from enum import IntEnum
from itertools import takewhile
from typing import NamedTuple

from cdcd.model.change import (
    AvroValue,
    Bounds,
    ChangeEvent,
    Elements,
    Identity,
    Operation,
)
from cdcd.model.errors import TableStopped, Transient
from cdcd.model.table import Column, TableSpec
from cdcd.source.log_times import uuid_times_us
from cdcd.source.multicell import MulticellDecoder
from cdcd.source.row_readers import RawRow, atomic_reader, key_reader

# So many rows are decoded at once, which takes some milliseconds. Past 500 elements numpy lets go
# of the interpreter's lock at each step, and busy threads are slow to give it back.
PORTION_ROWS = 500

# Whether a token's changes are wanted.
Holds = Callable[[int], bool]

# Of which partition a group is: its key's values, its token, and the time in microseconds.
Mutated = tuple[tuple[AvroValue, ...], int, int]

# What an image shows, by its operation and the row's serialised clustering key.
Images = dict[tuple["LogOperation", RawRow], dict[str, AvroValue]]

_STREAM, _TIME, _SEQ, _OPERATION, _TTL, _END = range(6)
_META = (
    "cdc$stream_id",
    "cdc$time",
    "cdc$batch_seq_no",
    "cdc$operation",
    "cdc$ttl",
    "cdc$end_of_batch",
)


class LogOperation(IntEnum):
    """`cdc$operation`; the negative ones are the server's own deletes of expired rows."""

    PREIMAGE = 0
    UPDATE = 1
    INSERT = 2
    ROW_DELETE = 3
    PARTITION_DELETE = 4
    RANGE_START_INCLUSIVE = 5
    RANGE_START_EXCLUSIVE = 6
    RANGE_END_INCLUSIVE = 7
    RANGE_END_EXCLUSIVE = 8
    POSTIMAGE = 9
    EXPIRED_ROW = -3
    EXPIRED_PARTITION = -4

    # Enum's own is written in Python, and these are looked up for each row.
    __hash__ = int.__hash__


_IMAGES = frozenset({LogOperation.PREIMAGE, LogOperation.POSTIMAGE})
# Rows that make no change of their own: images, and the second row of a range delete.
NO_EVENT = frozenset(
    {
        LogOperation.PREIMAGE,
        LogOperation.RANGE_END_INCLUSIVE,
        LogOperation.RANGE_END_EXCLUSIVE,
        LogOperation.POSTIMAGE,
    }
)
_RANGE_STARTS = frozenset({LogOperation.RANGE_START_INCLUSIVE, LogOperation.RANGE_START_EXCLUSIVE})
_RANGE_ENDS = frozenset({LogOperation.RANGE_END_INCLUSIVE, LogOperation.RANGE_END_EXCLUSIVE})
_PARTITION_DELETES = frozenset({LogOperation.PARTITION_DELETE, LogOperation.EXPIRED_PARTITION})

_OPERATIONS: dict[bytes | None, LogOperation] = {
    operation.to_bytes(1, "big", signed=True): operation for operation in LogOperation
}
# What a row that is a change of its own does.
_KINDS = {
    LogOperation.UPDATE: Operation.UPDATE,
    LogOperation.INSERT: Operation.CREATE,
    LogOperation.ROW_DELETE: Operation.DELETE,
    LogOperation.EXPIRED_ROW: Operation.DELETE,
    LogOperation.PARTITION_DELETE: Operation.PARTITION_DELETE,
    LogOperation.EXPIRED_PARTITION: Operation.PARTITION_DELETE,
}


def log_columns(table: TableSpec) -> tuple[str, ...]:
    """The log's columns that are read, in order. Their names come from the base table's columns:
    a base column may itself begin with `deleted_`, so log names cannot be taken apart.
    """
    keys = [c.name for c in table.key]
    others: list[str] = []
    for column in table.columns[len(table.key) :]:
        others += [column.name, f"cdc$deleted_{column.name}"]
        if column.type.is_multicell:
            others.append(f"cdc$deleted_elements_{column.name}")
    return (*_META, *keys, *others)


def key_columns(table: TableSpec) -> tuple[str, ...]:
    """The log's columns that say which row of the log a row is, and of which partition."""
    return (*_META, *(c.name for c in table.partition_key))


class KeyDecoder:
    """Reads rows of `key_columns`."""

    def __init__(self, table: TableSpec, token_of: Callable[[bytes], int]) -> None:
        self._token_of = token_of
        self._serialized = _key_of(len(_META), len(_META) + len(table.partition_key))

    def changes(self, rows: Sequence[RawRow]) -> "LogKeys":
        """The keys of those rows that are changes."""
        found = [row for row in rows if _OPERATIONS.get(row[_OPERATION]) not in NO_EVENT]
        tokens = list(map(self._token_of, map(self._serialized, found)))
        times_us = uuid_times_us([row[_TIME] for row in found])
        return LogKeys(tokens, times_us, list(map(_identity, found)))


class LogKeys(NamedTuple):
    """Of some rows: the tokens of their partitions, the times of their writes in microseconds since
    1970, and their identities.
    """

    tokens: list[int]
    times_us: list[int]
    identities: list[Identity]


class LogDecoder:
    """Decodes one table's log; `token_of` hashes a serialised partition key."""

    def __init__(self, table: TableSpec, token_of: Callable[[bytes], int]) -> None:
        self._table = table
        self._token_of = token_of
        first = len(_META)
        clustering = first + len(table.partition_key)
        others = first + len(table.key)
        self._serialized = _key_of(first, clustering)
        self._partition = key_reader(table.partition_key, first)
        self._clustering_at = range(clustering, others)
        self._clustering = key_reader(table.clustering_key, clustering)
        self._atomic: list[tuple[int, Column]] = []
        self._multicell: list[tuple[int, MulticellDecoder]] = []
        at = others
        for column in table.columns[len(table.key) :]:
            if column.type.is_multicell:
                self._multicell.append((at, MulticellDecoder(column)))
                at += 3
            else:
                self._atomic.append((at, column))
                at += 2
        self._read_atomic = atomic_reader(self._atomic)
        self._kinds = dict(_KINDS)
        if not table.clustering_key:
            # Without clustering columns a partition is one row.
            self._kinds |= dict.fromkeys(_PARTITION_DELETES, Operation.DELETE)

    def changes(self, rows: Sequence[RawRow], holds: Holds) -> list[ChangeEvent]:
        """The changes of whole groups, of those whose partition's token it `holds`.

        A group is what one statement or batch did to one partition at one timestamp: the rows of
        one stream and time, in sequence order. Raises TableStopped for rows that this decoder does
        not know how to read.
        """
        try:
            return self._changes(rows, holds)
        except (ValueError, IndexError, struct.error) as error:
            # Not the value: it may be anybody's.
            raise self._unreadable(
                "its log has a value that is not of its column's type"
            ) from error

    def _changes(self, rows: Sequence[RawRow], holds: Holds) -> list[ChangeEvent]:
        found: list[ChangeEvent] = []
        cut = groups(rows)
        # All rows of a group have a partition and a time in common.
        firsts = [group[0] for group in cut]
        tokens = list(map(self._token_of, map(self._serialized, firsts)))
        times_us = uuid_times_us([row[_TIME] for row in firsts])
        for group, row, token, time_us in zip(cut, firsts, tokens, times_us, strict=True):
            if group[-1][_END] != b"\x01":
                # A group is one mutation of one partition, so its end is there or soon will be.
                name = self._table.full_name
                raise Transient(f"ScyllaDB: {name}: a group of log rows has no end")
            if not holds(token):
                continue
            partition = self._partition(row)
            if None in partition:
                raise self._unreadable("its log has an empty value in a key")
            of = (partition, token, time_us)
            operation = _OPERATIONS.get(row[_OPERATION])
            if operation in self._kinds and len(group) == 1:
                found.append(self._change(operation, row, of))
            else:
                found += self._group(group, of)
        return found

    def _group(self, rows: Sequence[RawRow], of: Mutated) -> list[ChangeEvent]:
        """The changes of a group that may have images, ranges and many rows."""
        images = self._images(rows)
        found: list[ChangeEvent] = []
        start: RawRow | None = None
        for row in rows:
            operation = self._operation(row)
            if operation in _RANGE_STARTS:
                start = row
            elif operation in _RANGE_ENDS:
                if start is None:
                    raise self._unreadable("its log has the end of a range without its start")
                found.append(self._range(start, row, of))
                start = None
            elif operation not in _IMAGES:
                change = self._change(operation, row, of)
                found.append(self._with_images(change, row, images) if images else change)
        if start is not None:
            raise self._unreadable("its log has the start of a range without its end")
        return found

    def _images(self, rows: Sequence[RawRow]) -> Images:
        """Images by what they show and by the row's clustering key. In a group the images of all
        rows stand apart from the changes, so only the key says which belong together.
        """
        return {
            (operation, self._raw_clustering(row)): self._image(row)
            for row in rows
            if (operation := self._operation(row)) in _IMAGES
        }

    def _image(self, row: RawRow) -> dict[str, AvroValue]:
        """The columns of an image that are not null."""
        image: dict[str, AvroValue] = {}
        self._read_atomic(row, image)
        image |= {multicell.name: multicell.image(row[at]) for at, multicell in self._multicell}
        return {name: value for name, value in image.items() if value is not None}

    def _with_images(self, change: ChangeEvent, row: RawRow, images: Images) -> ChangeEvent:
        key = self._raw_clustering(row)
        return replace(
            change,
            before=images.get((LogOperation.PREIMAGE, key)),
            after=images.get((LogOperation.POSTIMAGE, key)),
        )

    def _raw_clustering(self, row: RawRow) -> RawRow:
        return tuple(row[at] for at in self._clustering_at)

    def _operation(self, row: RawRow) -> LogOperation:
        raw = row[_OPERATION]
        operation = _OPERATIONS.get(raw)
        if operation is None:
            code = None if raw is None else int.from_bytes(raw, "big", signed=True)
            raise self._unreadable(f"its log has an unknown operation {code}")
        return operation

    def _unreadable(self, message: str) -> TableStopped:
        return TableStopped(self._table.full_name, message, "a newer cdcd may know it")

    def _change(self, operation: LogOperation, row: RawRow, of: Mutated) -> ChangeEvent:
        partition, token, time_us = of
        values: dict[str, AvroValue] = {}
        elements: dict[str, Elements] = {}
        nulls, conflict = self._read_atomic(row, values)
        if conflict is not None:
            raise self._unreadable(f"its log has {conflict} both set and deleted")
        for at, multicell in self._multicell:
            multicell.read(row[at : at + 3], values, nulls, elements)
        clustering = self._clustering_of(row)
        if None in clustering:
            self._check_clustering(operation, clustering)
        ttl = row[_TTL]
        return ChangeEvent(
            self._table,
            self._kinds[operation],
            partition,
            clustering,
            time_us,
            token,
            _identity(row),
            values,
            tuple(nulls),
            None if ttl is None else int.from_bytes(ttl, "big"),
            elements,
        )

    def _clustering_of(self, row: RawRow) -> tuple[AvroValue, ...]:
        found = self._clustering(row)
        if None in found and [v is None for v in found] != [
            row[at] is None for at in self._clustering_at
        ]:
            raise self._unreadable("its log has an empty value in a key")
        return found

    def _range(self, start: RawRow, end: RawRow, of: Mutated) -> ChangeEvent:
        """A range delete: two rows, one change, with the identity of the first."""
        partition, token, time_us = of
        return ChangeEvent(
            table=self._table,
            op=Operation.RANGE_DELETE,
            partition=partition,
            clustering=(None,) * len(self._clustering_at),
            time_us=time_us,
            token=token,
            identity=_identity(start),
            values={},
            bounds=Bounds(
                self._prefix(start),
                self._operation(start) is LogOperation.RANGE_START_INCLUSIVE,
                self._prefix(end),
                self._operation(end) is LogOperation.RANGE_END_INCLUSIVE,
            ),
        )

    def _prefix(self, row: RawRow) -> tuple[AvroValue, ...]:
        return tuple(takewhile(lambda value: value is not None, self._clustering_of(row)))

    def _check_clustering(self, operation: LogOperation, clustering: tuple[AvroValue, ...]) -> None:
        """Raise TableStopped unless such a change may lack a part of its clustering key."""
        if operation in _PARTITION_DELETES:
            return
        is_static = operation is LogOperation.UPDATE and not any(v is not None for v in clustering)
        if not (is_static and self._table.static):
            # Renaming a clustering column leaves such rows behind: its old name is gone.
            raise TableStopped(
                self._table.full_name,
                "its log has a row without a clustering key: was a key column renamed?",
                "begin it anew: take it out of the pipeline, delete its target and that one's row "
                "in cdcd.targets, and add it again",
                needs_snapshot=True,
            )


def _identity(row: RawRow) -> Identity:
    """The log's own key. Raises ValueError where a part of it is missing."""
    stream, time, seq = row[_STREAM], row[_TIME], row[_SEQ]
    if stream is None or time is None or seq is None:
        raise ValueError
    # Its own constructor takes three times as long.
    return tuple.__new__(Identity, (stream, time, int.from_bytes(seq, "big")))


def serialized_key(parts: Sequence[bytes]) -> bytes:
    """A partition key as its token is computed: composite keys are length-prefixed components."""
    if len(parts) == 1:
        return parts[0]
    return b"".join(len(p).to_bytes(2, "big") + p + b"\x00" for p in parts)


def _key_of(first: int, end: int) -> Callable[[RawRow], bytes]:
    """Serialises the partition key of a row."""
    if end - first == 1:
        return lambda row: row[first] or b""
    return lambda row: serialized_key([part or b"" for part in row[first:end]])


def groups(rows: Iterable[RawRow]) -> list[list[RawRow]]:
    """Rows of one read, cut where stream or time changes; they come in that order per stream."""
    found: list[list[RawRow]] = []
    stream = time = None
    for row in rows:
        if row[_TIME] == time and row[_STREAM] == stream:
            found[-1].append(row)
        else:
            stream, time = row[_STREAM], row[_TIME]
            found.append([row])
    return found


def whole_groups(rows: Sequence[RawRow], rows_min: int) -> Iterator[Sequence[RawRow]]:
    """Rows of one read in portions of so many or some more, each of whole groups."""
    start = 0
    while start < len(rows):
        end = min(start + rows_min, len(rows))
        while end < len(rows) and rows[end][:_SEQ] == rows[end - 1][:_SEQ]:
            end += 1
        yield rows[start:end]
        start = end


def last_group(rows: Sequence[RawRow]) -> int:
    """Where the last group of some rows begins."""
    at = len(rows)
    while at > 0 and rows[at - 1][:_SEQ] == rows[-1][:_SEQ]:
        at -= 1
    return at
