"""Windows of streams as pages of raw log rows: many queries at once, under one limit."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from uuid import UUID

from cdcd.config.settings import SourceSettings
from cdcd.model.position import Window, min_timeuuid
from cdcd.model.table import LOG_SUFFIX, TableSpec
from cdcd.source.cql import quoted
from cdcd.source.decode import last_group
from cdcd.source.generations import stream_token
from cdcd.source.row_readers import RawRow
from cdcd.source.session import Page, Session, Statement
from cdcd.source.together import together

# Takes rows in the log's order, whole groups only: all rows of one stream and time together.
Take = Callable[[Sequence[RawRow]], None]


# How many times a window's limit the first pages of its queries may bring together: streams differ,
# and one page should mostly do for each query.
FIRST_PAGES_SHARE = 2


# A row counts for one more with each so many bytes: memory is what a window is bounded for.
ROW_BYTES = 1024


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
        self._chunked: tuple[object, Sequence[bytes], list[list[bytes]]] = (None, (), [])

    async def read(
        self,
        streams: Sequence[bytes],
        window: Window,
        takers: Callable[[], Take],
        rows_max: int | None = None,
    ) -> "Budget":
        """Hand all rows of the window on; gives how many they were. Each query has a taker of its
        own, so that the order within a stream is the log's. Raises WindowTooWide past `rows_max`,
        for which a wide row counts for several; Transient, StatementRefused.
        """
        if self._statement is None:
            self._statement = await self._session.prepare(self._text, self._settings.page_rows)
        low, high = [UUID(bytes=min_timeuuid(ms)) for ms in (window.start_ms, window.end_ms)]
        statement, chunks, budget = self._statement, self._chunks(streams), Budget(rows_max)
        at_once = min(len(chunks), self._settings.reads_in_flight_max)
        page_rows = rows_of_page(self._settings.page_rows, at_once, rows_max)
        await together(
            self._read(statement, (chunk, low, high), takers(), budget, page_rows)
            for chunk in chunks
        )
        return budget

    def _chunks(self, streams: Sequence[bytes]) -> list[list[bytes]]:
        """The streams as queries name them: each query is of one owner's."""
        # Window after window reads the same streams, and finding their owners takes its time.
        ring, found, chunks = self._chunked
        if ring is not self._session.ring or found != streams:
            ring, step = self._session.ring, self._settings.streams_per_read_max
            chunks = chunks_by(self._session.owner, streams, step)
            self._chunked = (ring, streams, chunks)
        return chunks

    async def _read(
        self,
        statement: Statement,
        params: tuple[Sequence[bytes], UUID, UUID],
        take: Take,
        budget: "Budget",
        page_rows: int,
    ) -> None:
        rows: list[RawRow] = []
        token = stream_token(params[0][0])
        async with self._in_flight:
            async for page in self._session.read(statement, params, token, page_rows):
                budget.spend(page)
                if rows:
                    # The next page may go on with the last group of the one before.
                    whole = last_group(rows)
                    take(rows[:whole])
                    rows = rows[whole:]
                rows += page
        take(rows)


def rows_of_page(page_rows: int, queries: int, rows_max: int | None) -> int:
    """How many rows a page may have: each query brings one before too many are seen to be there."""
    if rows_max is None:
        return page_rows
    return max(min(page_rows, FIRST_PAGES_SHARE * rows_max // max(queries, 1)), 1)


def chunks_by(
    owner: Callable[[int], Hashable], streams: Sequence[bytes], step: int
) -> list[list[bytes]]:
    """The streams in chunks of at most `step`, each of one owner's."""
    by_owner: dict[Hashable, list[bytes]] = {}
    for stream in streams:
        by_owner.setdefault(owner(stream_token(stream)), []).append(stream)
    return [s[at : at + step] for s in by_owner.values() for at in range(0, len(s), step)]


class Budget:
    """Rows that the parallel queries of a window may still bring; None is no limit. `weight` is
    their number where they are wide, and else the same.
    """

    def __init__(self, rows_max: int | None) -> None:
        self.rows = self.weight = 0
        self._rows_max = rows_max

    def spend(self, page: Page) -> None:
        """Count a page. Raises WindowTooWide when the budget is used up."""
        self.rows += len(page)
        self.weight += max(len(page), page.size // ROW_BYTES)
        if self._rows_max is not None and self.weight > self._rows_max:
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
