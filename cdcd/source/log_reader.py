"""One window of one table's log as changes, whole groups only, in order for each partition."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from cdcd.config.settings import SourceSettings
from cdcd.model.change import ChangeEvent
from cdcd.model.lane import LaneSet
from cdcd.model.position import Window
from cdcd.model.table import TableSpec
from cdcd.source.decode import PORTION_ROWS, LogDecoder, log_columns, whole_groups
from cdcd.source.full_rows import Rows, filled
from cdcd.source.row_readers import RawRow
from cdcd.source.scan import Scan, Take, select
from cdcd.source.session import Session, partition_token


class Read(NamedTuple):
    """Changes of a window, and how many log rows were read for them, by how many queries. `weight`
    is the number of rows, of which a wide one counts for several.
    """

    events: list[ChangeEvent]
    rows: int
    queries: int
    weight: int


class LogReader:
    """Reads one table; made anew when the table's columns change."""

    def __init__(
        self,
        session: Session,
        table: TableSpec,
        settings: SourceSettings,
        in_flight: asyncio.Semaphore,
        rows: Rows | None = None,
    ) -> None:
        """With `rows` each change of a row is given with the whole row."""
        self.table = table
        self._rows = rows
        self._rows_max = settings.window_rows
        self._decoder = LogDecoder(table, partition_token)
        self._scan = Scan(session, select(table, log_columns(table)), settings, in_flight)

    async def read(self, streams: Sequence[bytes], lanes: LaneSet, window: Window) -> Read:
        """The changes of a window in the given lanes.

        Changes of one partition are in the log's order, because a partition has one stream in a
        generation and a stream is read by one query. Streams on a lane's edge hold changes of the
        neighbour too, which its owner publishes. Raises WindowTooWide when more than
        `window_rows` rows are there and the window can be divided; Transient, StatementRefused
        and TableStopped.
        """
        parts: list[list[RawRow]] = []

        def taker() -> Take:
            part: list[RawRow] = []
            parts.append(part)
            return part.extend

        divisible = window.end_ms - window.start_ms > 1
        rows_max = self._rows_max if divisible else None
        brought = await self._scan.read(streams, window, taker, rows_max)
        events: list[ChangeEvent] = []
        # Only now is it known that the window is not too wide.
        queries = len(parts)
        while parts:
            for rows in whole_groups(parts.pop(0), PORTION_ROWS):
                events += self._decoder.changes(rows, lanes.holds)
                # Others have their turn: a sink's statements wait for the loop, one by one.
                await asyncio.sleep(0)
        if self._rows is not None:
            events = await filled(self._rows, events)
        return Read(events, brought.rows, queries, brought.weight)
