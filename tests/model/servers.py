"""ScyllaDB's rules, written from its manual and not from the code under test: what log rows a
statement makes, and what a table holds after some mutations. Each cell has a time, the last write
wins, and a tombstone wins a tie, then the larger value.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdcd.model.cqltype import parse
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.source.decode import log_columns
from cdcd.source.row_readers import RawRow

_INT, _TEXT = parse("int"), parse("text")
SET, MAP, LIST = parse("set<int>"), parse("map<text, int>"), parse("list<int>")
TABLE = TableSpec(
    "ks",
    "t",
    (
        Column("p", _INT, ColumnKind.PARTITION_KEY),
        Column("c", _INT, ColumnKind.CLUSTERING, descending=True),
        Column("d", _INT, ColumnKind.CLUSTERING),
        Column("a", _INT, ColumnKind.REGULAR),
        Column("b", _TEXT, ColumnKind.REGULAR),
        Column("l", LIST, ColumnKind.REGULAR),
        Column("m", MAP, ColumnKind.REGULAR),
        Column("n", SET, ColumnKind.REGULAR),
        Column("s", _INT, ColumnKind.STATIC),
        Column("t", SET, ColumnKind.STATIC),
    ),
)
REGULAR = tuple(c.name for c in TABLE.regular)
STATIC = tuple(c.name for c in TABLE.static)
MULTICELL = ("l", "m", "n", "t")

INSERT, UPDATE, ROW_DELETE, PARTITION_DELETE, STATIC_UPDATE = (
    "insert update row part static".split()
)
RANGE = "range"

# A value that is set, `None` for null, or what is done to the elements of a collection.
Name = Any
Clustering = tuple[int, ...]


@dataclass(frozen=True)
class Elements:
    """What one statement does to a collection: a clear first, or none, then puts and removals."""

    clear: bool
    put: Mapping[Name, Any]
    removed: tuple[Name, ...] = ()


@dataclass(frozen=True)
class Part:
    """What a mutation does to a row, the static row, a range or the partition."""

    kind: str
    clustering: Clustering = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    bounds: tuple[Clustering, bool, Clustering, bool] = ((), True, (), True)


@dataclass(frozen=True)
class Mutation:
    """All that one statement or batch does to one partition at one microsecond."""

    partition: int
    time_us: int
    uuid: bytes
    parts: tuple[Part, ...]


def number(value: int) -> bytes:
    """A CQL int."""
    return struct.pack(">i", value)


def _sized(raw: bytes) -> bytes:
    return number(len(raw)) + raw


def _collection(items: Sequence[Sequence[bytes]]) -> bytes:
    return number(len(items)) + b"".join(_sized(raw) for item in items for raw in item)


def _raw(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else number(value)


def _put(column: str, put: Mapping[Name, Any]) -> bytes:
    pairs = sorted((_raw(name), _raw(value)) for name, value in put.items())
    return _collection([pair[:1] if column in {"n", "t"} else pair for pair in pairs])


def log_rows(mutation: Mutation, stream: bytes) -> list[RawRow]:
    """The rows that the log shows of a mutation, in the order of the kinds."""
    rows: list[dict[str, bytes]] = []
    for part in sorted(mutation.parts, key=lambda part: _ORDER.index(part.kind)):
        rows += _rows_of(part)
    last = len(rows) - 1
    meta = {"cdc$stream_id": stream, "cdc$time": mutation.uuid, "p": number(mutation.partition)}
    for seq, row in enumerate(rows):
        row.update(meta, **{"cdc$batch_seq_no": number(seq)})
        if seq == last:
            row["cdc$end_of_batch"] = b"\x01"
    return [tuple(row.get(name) for name in log_columns(TABLE)) for row in rows]


_ORDER = (STATIC_UPDATE, INSERT, UPDATE, ROW_DELETE, RANGE, PARTITION_DELETE)
_CODES = {STATIC_UPDATE: 1, UPDATE: 1, INSERT: 2, ROW_DELETE: 3, PARTITION_DELETE: 4}


def _rows_of(part: Part) -> Iterator[dict[str, bytes]]:
    if part.kind == RANGE:
        start, with_start, end, with_end = part.bounds
        yield {"cdc$operation": bytes([5 if with_start or not start else 6]), **_key(start)}
        yield {"cdc$operation": bytes([7 if with_end or not end else 8]), **_key(end)}
        return
    row = {"cdc$operation": bytes([_CODES[part.kind]]), **_key(part.clustering)}
    for name, value in part.columns.items():
        if isinstance(value, Elements):
            if value.put:
                row[name] = _put(name, value.put)
            if value.clear:
                row[f"cdc$deleted_{name}"] = b"\x01"
            if value.removed:
                removed = [[_raw(element)] for element in value.removed]
                row[f"cdc$deleted_elements_{name}"] = _collection(removed)
        elif value is None:
            row[f"cdc$deleted_{name}"] = b"\x01"
        else:
            row[name] = _raw(value)
    yield row


def _key(clustering: Clustering) -> dict[str, bytes]:
    return {name: number(v) for name, v in zip(("c", "d"), clustering, strict=False)}


# A cell: its time, whether it is a tombstone, its value.
Cell = tuple[int, bool, Any]


def _wins(cells: Iterable[Cell]) -> Cell | None:
    return max(
        cells, key=lambda c: (c[0], c[1], _raw(c[2]) if c[2] is not None else b""), default=None
    )


def _covers(part: Part, clustering: Clustering) -> bool:
    if part.kind == PARTITION_DELETE:
        return True
    if part.kind == ROW_DELETE:
        return part.clustering == clustering
    if part.kind != RANGE or not clustering:
        return False
    start, with_start, end, with_end = part.bounds
    after = _compare(clustering, start)
    before = _compare(clustering, end)
    return (after > 0 or (after == 0 and (with_start or not start))) and (
        before < 0 or (before == 0 and (with_end or not end))
    )


def _compare(row: Clustering, prefix: Clustering) -> int:
    """Clustering order: c falls, d rises; what begins with the prefix is equal to it."""
    for value, bound, falls in zip(row, prefix, (True, False), strict=False):
        if value != bound:
            return -1 if (value > bound) is falls else 1
    return 0


class Table:
    """What the base table holds after some mutations, in whatever order they came."""

    def __init__(self, mutations: Iterable[Mutation]) -> None:
        self._parts = [(m.time_us, m.partition, part) for m in mutations for part in m.parts]

    def rows(self) -> dict[tuple[int, int, int], dict[str, Any]]:
        """The columns of each row that is there; nulls are not in them."""
        keys = {(p, *part.clustering) for _, p, part in self._parts if len(part.clustering) == 2}
        found = {}
        for p, c, d in sorted(keys):
            row = self._row(p, (c, d), REGULAR)
            if row is not None:
                found[p, c, d] = row
        return found

    def statics(self) -> dict[tuple[int], dict[str, Any]]:
        """The static columns of each partition that has any."""
        partitions = {p for _, p, _ in self._parts}
        found = {(p,): self._row(p, (), STATIC) for p in sorted(partitions)}
        return {key: row for key, row in found.items() if row}

    def _row(self, p: int, clustering: Clustering, names: Sequence[str]) -> dict[str, Any] | None:
        mine = [(at, part) for at, partition, part in self._parts if partition == p]
        deleted = max((at for at, part in mine if _covers(part, clustering)), default=-1)
        kinds = (INSERT, UPDATE) if clustering else (STATIC_UPDATE,)
        writes = [(at, w) for at, w in mine if w.kind in kinds and w.clustering == clustering]
        columns = {}
        for name in names:
            done = [(at, w.columns[name]) for at, w in writes if name in w.columns]
            value = _elements(name, done, deleted) if name in MULTICELL else _atomic(done, deleted)
            if value is not None:
                columns[name] = value
        marker = max((at for at, w in writes if w.kind == INSERT), default=-1)
        return columns if columns or marker > deleted else None


def _atomic(done: Sequence[tuple[int, Any]], deleted: int) -> Any:
    top = _wins((at, value is None, value) for at, value in done if at > deleted)
    return None if top is None or top[1] else top[2]


def _elements(column: str, done: Sequence[tuple[int, Elements]], deleted: int) -> Any:
    """A collection's tombstone is a microsecond before the statement's own time."""
    cleared = max([deleted, *(at - 1 for at, what in done if what.clear)])
    cells: dict[Name, list[Cell]] = {}
    for at, what in done:
        if at <= cleared:
            continue
        for name, value in what.put.items():
            cells.setdefault(name, []).append((at, False, value))
        for name in what.removed:
            cells.setdefault(name, []).append((at, True, None))
    winners = {name: _wins(found) for name, found in cells.items()}
    living = {name: top[2] for name, top in winners.items() if top is not None and not top[1]}
    if not living:
        return None
    names = sorted(living)
    if column == "m":
        return {name: living[name] for name in names}
    return [living[name] for name in names] if column == "l" else names


class Reads:
    """A session of the driver that reads the base table after some mutations."""

    def __init__(self, mutations: Iterable[Mutation]) -> None:
        table = Table(mutations)
        self._rows, self._statics = table.rows(), table.statics()

    async def prepare(self, cql: str, _: int, *, of_base: bool = False) -> str:
        """A statement is its text."""
        return cql

    async def read_raw(self, cql: str, raw: Sequence[bytes]) -> Any:
        """Pages of rows of a partition, or its static row, or of one row."""
        names = cql[cql.index("SELECT ") + 7 : cql.index(" FROM ")].removeprefix("DISTINCT ")
        wanted = tuple(struct.unpack(">i", part)[0] for part in raw)
        static = self._statics.get(wanted[:1], {})
        keys = [key for key in self._ordered() if key[: len(wanted)] == wanted]
        if "DISTINCT" in cql or (not keys and len(wanted) == 1 and static):
            keys = [wanted] if keys or static else []
        yield [
            tuple(self._cell(name.strip(), key, static) for name in names.split(","))
            for key in keys
        ]

    def _ordered(self) -> list[tuple[int, ...]]:
        return sorted(self._rows, key=lambda key: (key[0], -key[1], key[2]))

    def _cell(self, name: str, key: tuple[int, ...], static: Mapping[str, Any]) -> bytes | None:
        if name.startswith(("WRITETIME", "TTL")):
            return None
        column = name.strip('"')
        if column in {"p", "c", "d"}:
            at = "pcd".index(column)
            return number(key[at]) if at < len(key) else None
        row = self._rows.get(key, {}) if len(key) == 3 else {}
        return _stored(column, {**row, **static}.get(column))


def _stored(column: str, value: Any) -> bytes | None:
    if value is None:
        return None
    if column == "m":
        return _collection([[_raw(k), _raw(v)] for k, v in value.items()])
    return _collection([[_raw(v)] for v in value]) if column in MULTICELL else _raw(value)
