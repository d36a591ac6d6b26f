"""Windows of streams as pages of raw log rows: many queries at once, under one limit."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from cdcd.config.settings import SourceSettings
from cdcd.model.position import Window, min_timeuuid
from cdcd.model.table import LOG_SUFFIX, TableSpec
from cdcd.source.cql import quoted
from cdcd.source.decode import last_group
from cdcd.source.row_readers import RawRow
from cdcd.source.session import Session, Statement
from cdcd.source.together import together

# Takes rows in the log's order, whole groups only: all rows of one stream and time together.
Take = Callable[[Sequence[RawRow]], None]


class WindowTooWide(Exception):
    """A window holds more rows than may be in memory at once."""


class Scan:
    """Reads some columns of one table's log."""

    def __init__(
        self,
        session: Session,
        text: str,
        settings: SourceSettings,
        in_flight: asyncio.Semaphore,
    ) -> None:
        self._session = session
        self._text = text
        self._settings = settings
        self._in_flight = in_flight
        self._statement: Statement | None = None

    async def read(
        self,
        streams: Sequence[bytes],
        window: Window,
        takers: Callable[[], Take],
        rows_max: int | None = None,
    ) -> int:
        """Hand all rows of the window on; gives the number of rows. Each query has a taker of
        its own, so that the order within a stream is the log's. Raises WindowTooWide past
        `rows_max`; Transient, StatementRefused.
        """
        if self._statement is None:
            self._statement = await self._session.prepare(self._text, self._settings.page_rows)
        bounds = [UUID(bytes=min_timeuuid(ms)) for ms in (window.start_ms, window.end_ms)]
        step = self._settings.streams_per_read_max
        chunks = [streams[at : at + step] for at in range(0, len(streams), step)]
        budget = _Budget(rows_max)
        statement = self._statement
        await together(
            self._read(statement, (chunk, *bounds), takers(), budget) for chunk in chunks
        )
        return budget.spent

    async def _read(
        self, statement: Statement, params: Sequence[object], take: Take, budget: "_Budget"
    ) -> None:
        rows: list[RawRow] = []
        async with self._in_flight:
            async for page in self._session.read(statement, params):
                budget.spend(len(page))
                if rows:
                    # The next page may go on with the last group of the one before.
                    whole = last_group(rows)
                    take(rows[:whole])
                    rows = rows[whole:]
                rows += page
        take(rows)


class _Budget:
    """Rows that the parallel queries of a window may still bring; None is no limit."""

    def __init__(self, rows: int | None) -> None:
        self.spent = 0
        self._rows = rows

    def spend(self, rows: int) -> None:
        """Count a page. Raises WindowTooWide when the budget is used up."""
        self.spent += rows
        if self._rows is not None and self.spent > self._rows:
            raise WindowTooWide


def select(table: TableSpec, columns: Sequence[str]) -> str:
    """A log read. Columns are named one by one: `SELECT *` could meet stale metadata after an
    ALTER TABLE.
    """
    names = ", ".join(quoted(c) for c in columns)
    return (
        f"SELECT {names}"  # noqa: S608  names are quoted
        f" FROM {quoted(table.keyspace)}.{quoted(table.name + LOG_SUFFIX)}"
        ' WHERE "cdc$stream_id" IN ? AND "cdc$time" >= ? AND "cdc$time" < ? BYPASS CACHE'
    )
