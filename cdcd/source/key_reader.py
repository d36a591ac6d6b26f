"""What a settling pass reads of the log: which rows there are, without their values."""

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from cdcd.config.settings import SourceSettings
from cdcd.model.fingerprint import Cell, Fingerprint
from cdcd.model.lane import LaneSet
from cdcd.model.position import Window
from cdcd.model.table import TableSpec
from cdcd.source.cells import hashes_by_cell
from cdcd.source.decode import PORTION_ROWS, KeyDecoder, LogKeys, key_columns
from cdcd.source.row_readers import RawRow
from cdcd.source.scan import Scan, Take, select
from cdcd.source.session import Session, partition_token


@dataclass(slots=True)
class Seen:
    """The rows of a window: a fingerprint, and the hashes behind it, for each lane and cell."""

    cells: dict[Cell, Fingerprint] = field(default_factory=dict)
    hashes: dict[Cell, "array[int]"] = field(default_factory=dict)

    def count(self, keys: LogKeys, lanes: LaneSet) -> None:
        """Take in the rows that have these keys, those in the owned lanes."""
        found = hashes_by_cell(*keys, lanes.lanes)
        for cell in [cell for cell in found if cell[0] in lanes.owned]:
            self.cells[cell] = self.cells.get(cell, Fingerprint()).with_rows(found[cell])
            self.hashes.setdefault(cell, array("Q")).extend(found[cell])


class KeyReader:
    """Reads one table's log; made anew when the table's columns change."""

    def __init__(
        self,
        session: Session,
        table: TableSpec,
        settings: SourceSettings,
        in_flight: asyncio.Semaphore,
    ) -> None:
        self.table = table
        self._decoder = KeyDecoder(table, partition_token)
        self._scan = Scan(session, select(table, key_columns(table)), settings, in_flight)

    async def read(self, streams: Sequence[bytes], lanes: LaneSet, window: Window) -> Seen:
        """The rows of a window in the given lanes. Raises Transient and StatementRefused."""
        seen = Seen()

        def taker() -> Take:
            return lambda rows: self._count(rows, lanes, seen)

        await self._scan.read(streams, window, taker)
        return seen

    def _count(self, rows: Sequence[RawRow], lanes: LaneSet, seen: Seen) -> None:
        for first in range(0, len(rows), PORTION_ROWS):
            seen.count(self._decoder.changes(rows[first : first + PORTION_ROWS]), lanes)
