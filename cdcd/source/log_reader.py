"""One window of one table's log as changes, whole groups only, in order for each partition."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from cdcd.config.settings import SourceSettings
from cdcd.model.change import ChangeEvent
from cdcd.model.lane import LaneSet
from cdcd.model.position import Generation, Window, min_timeuuid
from cdcd.model.table import LOG_SUFFIX, TableSpec
from cdcd.source.cql import quoted
from cdcd.source.decode import LogDecoder, RawRow, groups, log_columns
from cdcd.source.lanes import streams_of
from cdcd.source.session import Session, Statement, partition_token
from cdcd.source.together import together


class WindowTooWide(Exception):
    """A window holds more rows than may be in memory at once."""


class LogReader:
    """Reads one table; made anew when the table's columns change."""

    def __init__(
        self,
        session: Session,
        table: TableSpec,
        settings: SourceSettings,
        in_flight: asyncio.Semaphore,
    ) -> None:
        self._session = session
        self.table = table
        self._settings = settings
        self._in_flight = in_flight
        self._decoder = LogDecoder(table, partition_token)
        self._statement: Statement | None = None

    async def read(
        self, generation: Generation, lanes: LaneSet, window: Window
    ) -> list[ChangeEvent]:
        """The changes of a window in the given lanes.

        Changes of one partition are in the log's order, because a partition has one stream in a
        generation and a stream is read by one query. Raises WindowTooWide when more than
        `window_rows` rows are there and the window can be divided; Transient, StatementRefused
        and TableStopped.
        """
        if self._statement is None:
            page_rows = self._settings.page_rows
            self._statement = await self._session.prepare(_select(self.table), page_rows)
        streams = streams_of(generation, lanes)
        step = self._settings.streams_per_read_max
        divisible = window.end_ms - window.start_ms > 1
        bounds = [UUID(bytes=min_timeuuid(ms)) for ms in (window.start_ms, window.end_ms)]
        budget = _Budget(self._settings.window_rows if divisible else None)
        chunks = [streams[at : at + step] for at in range(0, len(streams), step)]
        statement = self._statement
        reads = await together(
            self._read(statement, (chunk, *bounds), lanes, budget) for chunk in chunks
        )
        return [event for events in reads for event in events]

    async def _read(
        self,
        statement: Statement,
        params: Sequence[object],
        lanes: LaneSet,
        budget: "_Budget",
    ) -> list[ChangeEvent]:
        events: list[ChangeEvent] = []
        waiting: list[RawRow] = []  # of a group that the next page may go on with
        async with self._in_flight:
            async for page in self._session.read(statement, params):
                budget.spend(len(page))
                whole = groups([*waiting, *page])
                waiting = list(whole.pop()) if whole else []
                for rows in whole:
                    self._decode(rows, lanes, events)
        if waiting:
            self._decode(waiting, lanes, events)
        return events

    def _decode(self, rows: Sequence[RawRow], lanes: LaneSet, events: list[ChangeEvent]) -> None:
        decoded = self._decoder.group(rows)
        # Streams on a lane's edge hold changes of the neighbour too, which its owner publishes.
        if decoded and lanes.holds(decoded[0].token):
            events += decoded


class _Budget:
    """Rows that the parallel reads of a window may still bring; None is no limit."""

    def __init__(self, rows: int | None) -> None:
        self._rows = rows

    def spend(self, rows: int) -> None:
        """Count a page. Raises WindowTooWide when the budget is used up."""
        if self._rows is None:
            return
        self._rows -= rows
        if self._rows < 0:
            raise WindowTooWide


def _select(table: TableSpec) -> str:
    """Columns are named one by one: `SELECT *` could meet stale metadata after an ALTER TABLE."""
    columns = ", ".join(quoted(c) for c in log_columns(table))
    return (
        f"SELECT {columns}"  # noqa: S608  names are quoted
        f" FROM {quoted(table.keyspace)}.{quoted(table.name + LOG_SUFFIX)}"
        ' WHERE "cdc$stream_id" IN ? AND "cdc$time" >= ? AND "cdc$time" < ? BYPASS CACHE'
    )
