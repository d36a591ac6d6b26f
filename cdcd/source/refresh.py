"""The base table as it is now: rows for a refresh, read at the consistency of the log."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from cdcd.model.change import AvroValue, ChangeEvent, Operation
from cdcd.model.cqlvalue import Decoder, decoder
from cdcd.model.position import RING_MIN
from cdcd.model.refresh import Key, Partition, Row, Scope, StaticRow, Tokens
from cdcd.model.table import Column, TableSpec
from cdcd.source.cql import quoted
from cdcd.source.decode import serialized_key
from cdcd.source.row_readers import RawRow
from cdcd.source.session import Session, Statement, partition_token


@dataclass(frozen=True, slots=True)
class Found:
    """What a refresh publishes, and when the next of the cells that it read expires."""

    events: tuple[ChangeEvent, ...]
    expires_in_seconds: int | None


class BaseReader:
    """Reads scopes of one table; made anew when the table's columns change."""

    def __init__(
        self, session: Session, table: TableSpec, page_rows: int, in_flight: asyncio.Semaphore
    ) -> None:
        self.table = table
        self._session = session
        self._page_rows = page_rows
        self._in_flight = in_flight
        self._rows = _Projection(table, table.key, table.regular)
        self._all = _Projection(table, table.key, table.static + table.regular)
        self._static = _Projection(table, table.partition_key, table.static)
        self._statements: dict[str, Statement] = {}

    async def read(self, scope: Scope, now_us: int) -> Found:
        """The scope as changes. Raises Transient and StatementRefused.

        A row that is gone is a delete; a partition begins with its delete, so that rows that are
        gone go; a token range holds the rows that are there. `now_us` stands for the write time of
        what has none.
        """
        match scope:
            case Row(partition, clustering):
                where = _equal(self.table.key)
                rows = await self._select(self._rows, where, (*partition, *clustering))
                return self._found(scope, self._rows, rows, now_us)
            case StaticRow(partition):
                where = _equal(self.table.partition_key)
                rows = await self._select(self._static, where, partition, distinct=True)
                return self._found(scope, self._static, rows, now_us)
            case Partition(partition):
                where = _equal(self.table.partition_key)
                rows = await self._select(self._all, where, partition)
                return self._found(scope, self._all, rows, now_us)
            case Tokens(tokens):
                names = ", ".join(quoted(c.name) for c in self.table.partition_key)
                where = f"token({names}) > ? AND token({names}) <= ?"
                # No partition has the ring's lowest token, so the clamp leaves nothing out.
                ends = (max(tokens.start, RING_MIN), tokens.end)
                bounds = [t.to_bytes(8, "big", signed=True) for t in ends]
                rows = await self._select(self._all, where, bounds)
                return self._found(scope, self._all, rows, now_us)

    async def _select(
        self,
        projection: "_Projection",
        where: str,
        raw: Sequence[bytes],
        *,
        distinct: bool = False,
    ) -> list[RawRow]:
        text = (
            f"SELECT {'DISTINCT ' if distinct else ''}{projection.text}"  # noqa: S608  names are quoted
            f" FROM {quoted(self.table.keyspace)}.{quoted(self.table.name)} WHERE {where}"
        )
        async with self._in_flight:
            statement = self._statements.get(text)
            if statement is None:
                statement = await self._session.prepare(text, self._page_rows)
                self._statements[text] = statement
            return [row async for page in self._session.read_raw(statement, raw) for row in page]

    def _found(
        self, scope: Scope, projection: "_Projection", rows: Iterable[RawRow], now_us: int
    ) -> Found:
        events: list[ChangeEvent] = []
        ttls: list[int] = []
        seen_static: Key | None = None
        for row in rows:
            raw_key = projection.partition_of(row)
            if projection.static and raw_key != seen_static:
                seen_static = raw_key
                events += projection.static_event(row, now_us)
            events += projection.row_event(row, now_us)
            ttls += projection.ttls(row)
        return Found(tuple(_cleared(self.table, scope, events, now_us)), min(ttls, default=None))


def _cleared(
    table: TableSpec, scope: Scope, events: list[ChangeEvent], now_us: int
) -> Iterable[ChangeEvent]:
    """The events with what has to go before them."""
    if isinstance(scope, Partition) and table.clustering_key:
        yield _bare(table, Operation.PARTITION_DELETE, scope.partition, (), now_us)
    elif not events and isinstance(scope, Row):
        yield _bare(table, Operation.DELETE, scope.partition, scope.clustering, now_us)
    elif not events and isinstance(scope, Partition):
        yield _bare(table, Operation.DELETE, scope.partition, (), now_us)
    elif not events and isinstance(scope, StaticRow):
        # A partition without rows and statics is not found; its static row is one of nulls.
        yield _bare(table, Operation.READ, scope.partition, (), now_us)
    yield from events


def _bare(
    table: TableSpec, op: Operation, partition: Key, clustering: Key, now_us: int
) -> ChangeEvent:
    found = [decoder(c.type)(raw) for c, raw in zip(table.partition_key, partition, strict=True)]
    within: list[AvroValue] = [None] * len(table.clustering_key)
    for at, raw in enumerate(clustering):
        within[at] = decoder(table.clustering_key[at].type)(raw)
    return ChangeEvent(
        table=table,
        op=op,
        partition=tuple(found),
        clustering=tuple(within),
        time_us=now_us,
        token=partition_token(serialized_key(partition)),
        identity=None,
        values={},
    )


def _equal(columns: Iterable[Column]) -> str:
    return " AND ".join(f"{quoted(c.name)} = ?" for c in columns)


class _Projection:
    """The key, some columns, and for each of them that is one cell its write time and TTL."""

    def __init__(
        self, table: TableSpec, key: tuple[Column, ...], columns: tuple[Column, ...]
    ) -> None:
        self.table = table
        self.static = any(c in table.static for c in columns)
        self._columns = columns
        self._cells = [c for c in columns if not c.type.is_multicell]
        self._key = key
        names = [quoted(c.name) for c in (*key, *columns)]
        self.text = ", ".join(
            [
                *names,
                *(f"WRITETIME({quoted(c.name)})" for c in self._cells),
                *(f"TTL({quoted(c.name)})" for c in self._cells),
            ]
        )
        self._first = len(key)
        self._times = self._first + len(columns)
        self._ttls = self._times + len(self._cells)

    def partition_of(self, row: RawRow) -> Key:
        """The serialised partition key."""
        return tuple(raw or b"" for raw in row[: len(self.table.partition_key)])

    @cached_property
    def _decoders(self) -> list[tuple[int, Column, Decoder]]:
        return [
            (self._first + at, column, decoder(column.type))
            for at, column in enumerate(self._columns)
        ]

    def row_event(self, row: RawRow, now_us: int) -> list[ChangeEvent]:
        """The row as it is; nothing for a partition that has a static row alone."""
        clustering = row[len(self.table.partition_key) : len(self._key)]
        if self._key != self.table.key or any(raw is None for raw in clustering):
            return []
        found = tuple(
            decoder(column.type)(raw or b"")
            for column, raw in zip(self.table.clustering_key, clustering, strict=True)
        )
        return [self._event(row, found, self.table.regular, now_us)]

    def static_event(self, row: RawRow, now_us: int) -> list[ChangeEvent]:
        """The partition's static row as it is."""
        none: tuple[AvroValue, ...] = (None,) * len(self.table.clustering_key)
        return [self._event(row, none, self.table.static, now_us)]

    def _event(
        self,
        row: RawRow,
        clustering: tuple[AvroValue, ...],
        columns: tuple[Column, ...],
        now_us: int,
    ) -> ChangeEvent:
        raw_key = self.partition_of(row)
        values: dict[str, AvroValue] = {}
        for at, column, decode in self._decoders:
            raw = row[at]
            if raw is not None and column in columns:
                value = decode(raw)
                if value is not None:
                    values[column.name] = value
        partition = tuple(
            decoder(c.type)(raw) for c, raw in zip(self.table.partition_key, raw_key, strict=True)
        )
        return ChangeEvent(
            table=self.table,
            op=Operation.READ,
            partition=partition,
            clustering=clustering,
            time_us=self._written_us(row, columns) or now_us,
            token=partition_token(serialized_key(raw_key)),
            identity=None,
            values=values,
        )

    def _written_us(self, row: RawRow, columns: tuple[Column, ...]) -> int:
        times = [
            int.from_bytes(raw, "big", signed=True)
            for cell, raw in zip(self._cells, row[self._times : self._ttls], strict=True)
            if raw is not None and cell in columns
        ]
        return max(times, default=0)

    def ttls(self, row: RawRow) -> list[int]:
        """Seconds that the row's cells have left, of those that expire."""
        return [int.from_bytes(raw, "big") for raw in row[self._ttls :] if raw is not None]
