"""Which columns of the base table a read asks for, and what its rows mean. Pure."""

from functools import cached_property

from cdcd.model.change import AvroValue, ChangeEvent, Operation
from cdcd.model.cqlvalue import Decoder, decoder
from cdcd.model.refresh import Key
from cdcd.model.table import Column, TableSpec
from cdcd.source.cql import quoted
from cdcd.source.decode import serialized_key
from cdcd.source.row_readers import RawRow
from cdcd.source.session import partition_token


class Projection:
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

    def clustering_of(self, row: RawRow) -> Key:
        """The serialised clustering key of a row that is not static."""
        return tuple(raw or b"" for raw in row[len(self.table.partition_key) : len(self._key)])

    def token_of(self, row: RawRow) -> int:
        """The partition's token."""
        return partition_token(serialized_key(self.partition_of(row)))

    @cached_property
    def _decoders(self) -> list[tuple[int, Column, Decoder]]:
        return [
            (self._first + at, column, decoder(column.type))
            for at, column in enumerate(self._columns)
        ]

    def row_event(self, row: RawRow, now_us: int, *, with_ttl: bool = False) -> list[ChangeEvent]:
        """The row as it is; nothing for a partition that has a static row alone."""
        clustering = row[len(self.table.partition_key) : len(self._key)]
        if self._key != self.table.key or any(raw is None for raw in clustering):
            return []
        found = tuple(
            decoder(column.type)(raw or b"")
            for column, raw in zip(self.table.clustering_key, clustering, strict=True)
        )
        return [self._event(row, found, self.table.regular, now_us, with_ttl=with_ttl)]

    def static_event(
        self, row: RawRow, now_us: int, *, with_ttl: bool = False
    ) -> list[ChangeEvent]:
        """The partition's static row as it is."""
        none: tuple[AvroValue, ...] = (None,) * len(self.table.clustering_key)
        return [self._event(row, none, self.table.static, now_us, with_ttl=with_ttl)]

    def _event(
        self,
        row: RawRow,
        clustering: tuple[AvroValue, ...],
        columns: tuple[Column, ...],
        now_us: int,
        *,
        with_ttl: bool,
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
            ttl_seconds=self._lives(row, columns, now_us) if with_ttl else None,
        )

    def _lives(self, row: RawRow, columns: tuple[Column, ...], now_us: int) -> int | None:
        """Seconds from the write time to the first expiry of a cell."""
        left = self._ttls_of(row, columns)
        if not left:
            return None
        age_us = now_us - (self._written_us(row, columns) or now_us)
        return max(-(-age_us // 1_000_000), 0) + min(left)

    def _written_us(self, row: RawRow, columns: tuple[Column, ...]) -> int:
        times = [
            int.from_bytes(raw, "big", signed=True)
            for cell, raw in zip(self._cells, row[self._times : self._ttls], strict=True)
            if raw is not None and cell in columns
        ]
        return max(times, default=0)

    def ttls(self, row: RawRow) -> list[int]:
        """Seconds that the row's cells have left, of those that expire."""
        return self._ttls_of(row, self._columns)

    def _ttls_of(self, row: RawRow, columns: tuple[Column, ...]) -> list[int]:
        return [
            int.from_bytes(raw, "big")
            for cell, raw in zip(self._cells, row[self._ttls :], strict=True)
            if raw is not None and cell in columns
        ]
