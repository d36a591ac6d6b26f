"""The source's side of a comparison: pages of raw rows by token range, and single rows by key."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from cdcd.model.position import RING_MIN, TokenRange
from cdcd.model.table import Column
from cdcd.reconcile.digest import Key
from cdcd.reconcile.part import Part
from cdcd.source.cql import quoted
from cdcd.source.session import RawRow, Session, Statement
from cdcd.source.together import together


class SourceSide:
    """Reads the base table at the log's consistency or a quorum. Raises Transient and
    StatementRefused.
    """

    def __init__(
        self, session: Session, part: Part, page_rows: int, in_flight: asyncio.Semaphore
    ) -> None:
        self._session = session
        self._part = part
        self._page_rows = page_rows
        self._static = part.target.is_static
        self._in_flight = in_flight
        form = part.form
        self._key = len(form.key)
        self._width = self._key + len(form.columns)
        kept = [c.source.name for c in (*form.key, *form.columns)]
        names = ", ".join(map(quoted, [*kept, *_unkept(part)]))
        table = f"{quoted(part.table.keyspace)}.{quoted(part.table.name)}"
        # Static columns are read once for each partition, also where it has no rows.
        distinct = "DISTINCT " if self._static else ""
        self._select = f"SELECT {distinct}{names} FROM {table}"  # noqa: S608  names are quoted
        self._statements: dict[str, Statement] = {}

    async def scan(self, tokens: TokenRange) -> AsyncIterator[list[RawRow]]:
        """The rows of a token range in pages, in the order of tokens."""
        partition = ", ".join(quoted(c.name) for c in self._part.table.partition_key)
        where = f"token({partition}) > ? AND token({partition}) <= ? BYPASS CACHE"
        # No partition has the ring's lowest token, so the clamp leaves nothing out.
        ends = (max(tokens.start, RING_MIN), tokens.end)
        bounds = [t.to_bytes(8, "big", signed=True) for t in ends]
        async with self._in_flight:
            statement = await self._prepared(where)
            async for page in self._session.read_raw(statement, bounds):
                yield self._there(page)

    async def read(self, cql_keys: Sequence[Key]) -> list[RawRow | None]:
        """Rows by their keys; None where there is none."""
        where = _equal([c.source for c in self._part.form.key])
        return await together(self._read(where, key) for key in cql_keys)

    async def partition(self, cql_partition: Key) -> list[RawRow]:
        """All rows of a partition."""
        rows = await self._rows(_equal(self._part.table.partition_key), cql_partition)
        return self._there(rows)

    async def _read(self, where: str, cql_key: Key) -> RawRow | None:
        rows = await self._rows(where, cql_key)
        return next(iter(self._there(rows)), None)

    async def _rows(self, where: str, raw: Sequence[bytes]) -> list[RawRow]:
        async with self._in_flight:
            statement = await self._prepared(where)
            return [row async for page in self._session.read_raw(statement, raw) for row in page]

    async def _prepared(self, where: str) -> Statement:
        statement = self._statements.get(where)
        if statement is None:
            text = f"{self._select} WHERE {where}"
            statement = await self._session.prepare(text, self._page_rows, of_base=True)
            self._statements[where] = statement
        return statement

    def _there(self, rows: Sequence[RawRow]) -> list[RawRow]:
        """The rows that are there, without what only says whether they are."""
        found = [row for row in rows if self._is_there(row)]
        return [row[: self._width] for row in found] if self._static else found

    def _is_there(self, row: RawRow) -> bool:
        """A partition of nothing but statics gives a row without a clustering key; a static row
        of nothing but nulls is none.
        """
        if self._static:
            return any(raw is not None for raw in row[self._key :])
        return None not in row[: self._key]


def _unkept(part: Part) -> list[str]:
    """Static columns that the target leaves out: a row of nulls is there for their sake."""
    kept = {c.source.name for c in part.target.columns}
    return [c.name for c in part.table.static if part.target.is_static and c.name not in kept]


def _equal(columns: Sequence[Column]) -> str:
    return " AND ".join(f"{quoted(c.name)} = ?" for c in columns)
