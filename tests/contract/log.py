"""Log rows as plain dicts, in the order in which a reader must take them."""

import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from cassandra.cluster import Session

from tests.contract.case import Group, LogRow

SUFFIX = "_scylla_cdc_log"
# Ticks of 100 ns from the uuid epoch (1582) to 1970.
UUID_EPOCH = 0x01B21DD213814000


@dataclass(frozen=True, slots=True)
class StreamId:
    """What a stream's sixteen bytes say."""

    token: int
    index: int
    version: int


def stream_id(raw: bytes) -> StreamId:
    token, low = struct.unpack(">qQ", raw)
    return StreamId(token, low >> 4 & 0x3FFFFF, low & 0xF)


def micros(time: UUID) -> int:
    return (time.time - UUID_EPOCH) // 10


def time_order(time: UUID) -> tuple[int, bytes]:
    """The server's order of timeuuids: ticks, then the low bytes as signed bytes."""
    return time.time, bytes(b ^ 0x80 for b in time.bytes[8:])


@dataclass(frozen=True, slots=True)
class Entry:
    """A log row with the place where it was found; `columns` has no nulls."""

    stream: bytes
    time: UUID
    seq: int
    end_of_batch: bool | None
    columns: dict[str, Any]

    @property
    def place(self) -> tuple[bytes, UUID, int]:
        return self.stream, self.time, self.seq


def read(session: Session, table: str, key: Mapping[str, object] | None = None) -> list[Entry]:
    """The log of `ks.table`, or of the partition that `key` names, in time order."""
    where, values = "", []
    if key:
        where = f" WHERE {' AND '.join(f'{k} = %s' for k in key)} ALLOW FILTERING"
        values = list(key.values())
    # A new text each time: the driver must never reuse columns of before an ALTER.
    rows = session.execute(f"SELECT * FROM {table}{SUFFIX}{where}", values)
    names = rows.column_names
    entries = [_entry(dict(zip(names, values, strict=True))) for values in rows]
    return sorted(entries, key=lambda e: (time_order(e.time), e.stream, e.seq))


def _entry(raw: dict[str, Any]) -> Entry:
    return Entry(
        raw.pop("cdc$stream_id"),
        raw.pop("cdc$time"),
        raw.pop("cdc$batch_seq_no"),
        raw.pop("cdc$end_of_batch"),
        {name: plain(value) for name, value in raw.items() if value is not None},
    )


def plain(value: Any) -> Any:
    """The driver's containers as the plain ones of Python, so that they compare and print well."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)  # the driver means UTC but does not say so
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(field) for name, field in value._asdict().items()}
    if isinstance(value, Mapping):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(v) for v in value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    if type(value).__name__ == "SortedSet" or isinstance(value, set):
        return frozenset(plain(v) for v in value)
    return value


def groups(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Entries by (stream, time), in time order; each group by sequence number."""
    found: dict[tuple[bytes, UUID], list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.stream, entry.time].append(entry)
    ordered = sorted(found.values(), key=lambda g: (time_order(g[0].time), g[0].stream))
    return [sorted(group, key=lambda e: e.seq) for group in ordered]


def checked_groups(entries: Iterable[Entry], *key: str) -> list[Group]:
    """Groups as a case states them, after checking what every group must obey.

    Sequence numbers count from 0, and the last row, no other, says that the group ends there.
    """
    out = []
    names: dict[UUID, str] = {}
    for group in groups(entries):
        assert [e.seq for e in group] == list(range(len(group))), f"sequence numbers of {group}"
        ends = [e.end_of_batch for e in group]
        assert ends == [None] * (len(group) - 1) + [True], f"end of batch of {group}"
        out.append([_as_stated(e.columns, key, names) for e in group])
    return out


def _as_stated(columns: Mapping[str, Any], key: tuple[str, ...], names: dict[UUID, str]) -> LogRow:
    missing = [k for k in key if k not in columns]
    assert not missing, f"partition key {missing} not set in {columns}"
    return {n: _list_keys(v, names) for n, v in columns.items() if n not in key}


def _list_keys(value: Any, names: dict[UUID, str]) -> Any:
    if not (isinstance(value, dict | frozenset) and any(isinstance(k, UUID) for k in value)):
        return value
    for uuid in sorted(value, key=time_order):
        names.setdefault(uuid, f"k{len(names) + 1}")
    if isinstance(value, dict):
        return {names[k]: v for k, v in value.items()}
    return frozenset(names[k] for k in value)
