"""The base table as it is now: rows for a refresh, read at the log's consistency or a quorum.

A partition or token range that has more rows than a read may bring is cut: the read brings the
first of them, and says what is left. A partition is cut behind a row, in clustering order, and what
is published of it begins with the delete of just that range; a token range is cut between tokens.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cdcd.model.change import AvroValue, Bounds, ChangeEvent, Operation
from cdcd.model.cqlvalue import decoder
from cdcd.model.position import RING_MIN, TokenRange
from cdcd.model.refresh import Key, Partition, Rest, Row, Scope, StaticRow, Tokens
from cdcd.model.table import Column, TableSpec
from cdcd.model.typemap import ORDERED_ALIKE, UnstorableValue, to_postgres
from cdcd.source.cql import quoted
from cdcd.source.decode import serialized_key
from cdcd.source.projection import Projection
from cdcd.source.row_readers import RawRow
from cdcd.source.session import Session, Statement, partition_token

# A cut needs a row to cut behind, and one more to see that there is something left.
ROWS_MIN = 2


@dataclass(frozen=True, slots=True)
class Found:
    """What a refresh publishes, and when the next of the cells that it read expires.

    `covered` is what it read; `left` of what was asked for it did not, because of its limit.
    Of a wide refresh each event says itself when something of it expires.
    """

    events: tuple[ChangeEvent, ...]
    expires_in_seconds: int | None
    covered: Scope
    left: Scope | None = None


class BaseReader:
    """Reads scopes of one table; made anew when the table's columns change."""

    def __init__(
        self, session: Session, table: TableSpec, page_rows: int, in_flight: asyncio.Semaphore
    ) -> None:
        self.table = table
        self._session = session
        self._page_rows = page_rows
        self._in_flight = in_flight
        self._rows = Projection(table, table.key, table.regular)
        self._all = Projection(table, table.key, table.static + table.regular)
        self._static = Projection(table, table.partition_key, table.static)
        self._keys = Projection(table, table.partition_key, ())
        self._statements: dict[str, Statement] = {}
        clustering = table.clustering_key
        self._can_cut = bool(clustering) and all(c.type.name in ORDERED_ALIKE for c in clustering)

    async def read(self, scope: Scope, now_us: int, rows_max: int | None = None) -> Found:
        """The scope as changes, about `rows_max` rows of it. Raises Transient, StatementRefused.

        A row that is gone is a delete; a partition begins with its delete, so that rows that are
        gone go; a token range holds the rows that are there. `now_us` stands for the write time of
        what has none.
        """
        limit = None if rows_max is None else max(rows_max, ROWS_MIN)
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
                return await self._partition(Rest(partition, ()), now_us, limit)
            case Rest():
                return await self._partition(scope, now_us, limit)
            case Tokens(_, within) if within:
                return await self._within(scope, now_us, limit)
            case Tokens():
                return await self._tokens(scope, now_us, limit)

    async def _partition(self, rest: Rest, now_us: int, limit: int | None) -> Found:
        """A partition, or what is left of it."""
        whole = Partition(rest.partition)
        cuttable = limit if self._can_cut else None
        projection = self._rows if rest.after else self._all
        rows = await self._behind(rest, projection, cuttable)
        last: Key = ()
        if cuttable is not None and len(rows) >= cuttable:
            storable = self._storable(projection, rows)
            if not storable:  # nothing to cut behind
                return await self._partition(rest, now_us, None)
            rows, last = rows[:storable], projection.clustering_of(rows[storable - 1])
        if not rest.after and not last:
            return self._found(whole, self._all, rows, now_us)
        clear = _between(self.table, rest, last, now_us)
        events = self._events(projection, rows, now_us)
        return Found((clear, *events), None, whole, Rest(rest.partition, last) if last else None)

    def _storable(self, projection: Projection, rows: Sequence[RawRow]) -> int:
        """How many rows there are up to the last whose key PostgreSQL can hold: a range that ends
        elsewhere means nothing to it.
        """
        for count in range(len(rows), 0, -1):
            try:
                for column, raw in zip(
                    self.table.clustering_key,
                    projection.clustering_of(rows[count - 1]),
                    strict=True,
                ):
                    to_postgres(column.type)(decoder(column.type)(raw))
            except UnstorableValue:
                continue
            return count
        return 0

    async def _behind(self, rest: Rest, projection: Projection, limit: int | None) -> list[RawRow]:
        """Rows of a partition behind one, in clustering order; there are as many reads as there
        are columns, because CQL compares several columns at once only in the order of values.
        """
        same = _equal(self.table.partition_key)
        if not rest.after:
            return await self._select(projection, same, rest.partition, limit=limit)
        rows: list[RawRow] = []
        clustering = self.table.clustering_key
        for equal in reversed(range(len(clustering))):
            column = clustering[equal]
            beyond = f"{quoted(column.name)} {'<' if column.descending else '>'} ?"
            where = " AND ".join([same, *(f"{quoted(c.name)} = ?" for c in clustering[:equal])])
            raw = (*rest.partition, *rest.after[: equal + 1])
            left = None if limit is None else limit - len(rows)
            rows += await self._select(projection, f"{where} AND {beyond}", raw, limit=left)
            if limit is not None and len(rows) >= limit:
                break
        return rows

    async def _within(self, scope: Tokens, now_us: int, limit: int | None) -> Found:
        """The next part of the first of the large partitions."""
        first, *others = scope.within
        found = await self._partition(Rest(first, scope.after), now_us, limit)
        if isinstance(found.left, Rest):
            return replace(found, left=replace(scope, after=found.left.after))
        left = Tokens(scope.range, tuple(others))
        is_all = not others and scope.range.start >= scope.range.end
        return replace(found, left=None if is_all else left, expires_in_seconds=None)

    async def _tokens(self, scope: Tokens, now_us: int, limit: int | None) -> Found:
        """The first partitions of a token range, whole ones."""
        tokens = scope.range
        rows = await self._in_range(self._all, tokens, limit)
        if limit is None or len(rows) < limit:
            return Found(tuple(self._events(self._all, rows, now_us)), None, scope)
        # The last partition may have more rows than were read.
        end = self._all.token_of(rows[-1])
        whole = [row for row in rows if self._all.token_of(row) != end]
        if whole:
            read, others = TokenRange(tokens.start, end - 1), TokenRange(end - 1, tokens.end)
            events = tuple(self._events(self._all, whole, now_us))
            return Found(events, None, Tokens(read), Tokens(others))
        behind = Tokens(TokenRange(end, tokens.end))
        only = TokenRange(end - 1, end)
        if not self._can_cut:
            rows = await self._in_range(self._all, only, None)
            events = tuple(self._events(self._all, rows, now_us))
            left = behind if end < tokens.end else None
            return Found(events, None, Tokens(TokenRange(tokens.start, end)), left)
        # Partitions hardly ever share a token, but nothing says that they cannot.
        found = await self._in_range(self._keys, only, None, distinct=True)
        within = tuple(self._keys.partition_of(row) for row in found)
        covered = Tokens(TokenRange(tokens.start, end - 1))
        return Found((), None, covered, replace(behind, within=within))

    async def _in_range(
        self,
        projection: Projection,
        tokens: TokenRange,
        limit: int | None,
        *,
        distinct: bool = False,
    ) -> list[RawRow]:
        names = ", ".join(quoted(c.name) for c in self.table.partition_key)
        where = f"token({names}) > ? AND token({names}) <= ?"
        # No partition has the ring's lowest token, so the clamp leaves nothing out.
        ends = (max(tokens.start, RING_MIN), tokens.end)
        raw = [t.to_bytes(8, "big", signed=True) for t in ends]
        return await self._select(projection, where, raw, limit=limit, distinct=distinct)

    async def _select(
        self,
        projection: Projection,
        where: str,
        raw: Sequence[bytes],
        *,
        limit: int | None = None,
        distinct: bool = False,
    ) -> list[RawRow]:
        text = (
            f"SELECT {'DISTINCT ' if distinct else ''}{projection.text}"  # noqa: S608  names are quoted
            f" FROM {quoted(self.table.keyspace)}.{quoted(self.table.name)} WHERE {where}"
        )
        bound = list(raw)
        if limit is not None:
            text += " LIMIT ?"
            bound.append(limit.to_bytes(4, "big"))
        async with self._in_flight:
            statement = self._statements.get(text)
            if statement is None:
                statement = await self._session.prepare(text, self._page_rows, of_base=True)
                self._statements[text] = statement
            return [row async for page in self._session.read_raw(statement, bound) for row in page]

    def _found(
        self, scope: Scope, projection: Projection, rows: Sequence[RawRow], now_us: int
    ) -> Found:
        """A scope that was read whole."""
        ttls = [ttl for row in rows for ttl in projection.ttls(row)]
        if isinstance(scope, Partition):
            events = self._events(projection, rows, now_us)
            return Found(tuple(_cleared(self.table, scope, events, now_us)), None, scope)
        events = self._events(projection, rows, now_us, with_ttl=False)
        events = list(_cleared(self.table, scope, events, now_us))
        return Found(tuple(events), min(ttls, default=None), scope)

    def _events(
        self,
        projection: Projection,
        rows: Iterable[RawRow],
        now_us: int,
        *,
        with_ttl: bool = True,
    ) -> list[ChangeEvent]:
        events: list[ChangeEvent] = []
        seen_static: Key | None = None
        for row in rows:
            raw_key = projection.partition_of(row)
            if projection.static and raw_key != seen_static:
                seen_static = raw_key
                events += projection.static_event(row, now_us, with_ttl=with_ttl)
            events += projection.row_event(row, now_us, with_ttl=with_ttl)
        return events


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


def _between(table: TableSpec, rest: Rest, last: Key, now_us: int) -> ChangeEvent:
    """The delete of what lies behind one row, up to another one or to the end."""
    bare = _bare(table, Operation.RANGE_DELETE, rest.partition, (), now_us)
    start, end = _decoded(table, rest.after), _decoded(table, last)
    bounds = Bounds(start, start_inclusive=not start, end=end, end_inclusive=True)
    return replace(bare, bounds=bounds)


def _decoded(table: TableSpec, clustering: Key) -> tuple[AvroValue, ...]:
    columns = table.clustering_key[: len(clustering)]
    return tuple(decoder(c.type)(raw) for c, raw in zip(columns, clustering, strict=True))


def _bare(
    table: TableSpec, op: Operation, partition: Key, clustering: Key, now_us: int
) -> ChangeEvent:
    found = [decoder(c.type)(raw) for c, raw in zip(table.partition_key, partition, strict=True)]
    within: list[AvroValue] = [None] * len(table.clustering_key)
    within[: len(clustering)] = _decoded(table, clustering)
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
