"""What was published of one table and is not settled yet. Pure.

The ledger holds a fingerprint for each lane and cell, which is saved with what it describes, and
the hashes of the published rows, which only this process has. Hashes are a cache: past its limit
the oldest go, and after a take-over there are none. Without them a cell that differs is compared
with what the change topic holds.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence

from cdcd.model.change import ChangeEvent
from cdcd.model.fingerprint import Cell, Fingerprint, cell_of
from cdcd.source.cells import hashes_by_cell

_HASH_BYTES = 8


class Ledger:
    """Fingerprints and hashes of one table in the owned lanes."""

    def __init__(
        self,
        saved: Mapping[Cell, Fingerprint],
        settled_ms: Mapping[int, int],
        lanes: int,
        identities_bytes_max: int,
    ) -> None:
        self._fingerprints = dict(saved)
        # Lanes that came from different owners were settled differently far: below that their
        # fingerprints are gone, and say nothing.
        self._first_cells = {lane: cell_of(ms) for lane, ms in settled_ms.items()}
        self._lanes = lanes
        self._hashes: dict[int, array[int]] = {}
        self._held = 0
        self._held_max = identities_bytes_max // _HASH_BYTES

    def add(self, events: Iterable[ChangeEvent], settled_ms: int) -> dict[Cell, Fingerprint]:
        """Count changes that are about to be published; gives the fingerprints that changed.

        Cells that are settled already, because they were read for the first time so late, are not
        kept.
        """
        settled_cell_us = cell_of(settled_ms) * 1000
        kept = [e for e in events if e.identity is not None and e.time_us >= settled_cell_us]
        added = hashes_by_cell(
            [event.token for event in kept],
            [event.time_us for event in kept],
            [identity for event in kept if (identity := event.identity) is not None],
            self._lanes,
        )
        changed = {cell: self._count(cell, hashes) for cell, hashes in added.items()}
        while self._held > self._held_max:
            self._held -= len(self._hashes.pop(min(self._hashes)))
        return changed

    def _count(self, cell: Cell, hashes: Sequence[int]) -> Fingerprint:
        fingerprint = self._fingerprints.get(cell, Fingerprint()).with_rows(hashes)
        self._fingerprints[cell] = fingerprint
        self._hashes.setdefault(cell[1], array("Q")).extend(hashes)
        self._held += len(hashes)
        return fingerprint

    def differing(self, start_ms: int, end_ms: int, seen: Mapping[Cell, Fingerprint]) -> list[Cell]:
        """The cells of a range in which a reading saw other rows than were published."""
        ours = {c: f for c, f in self._fingerprints.items() if start_ms <= c[1] < end_ms}
        return sorted(
            cell
            for cell in ours.keys() | seen.keys()
            if cell[1] >= self._first_cells.get(cell[0], 0)
            and ours.get(cell, Fingerprint()) != seen.get(cell, Fingerprint())
        )

    def published(self, cell: Cell) -> Fingerprint:
        """What was published of a cell."""
        return self._fingerprints.get(cell, Fingerprint())

    def hashes(self, start: int) -> frozenset[int] | None:
        """The hashes of a cell's published rows; None when this process does not have them all."""
        held = self._hashes.get(start, array("Q"))
        total = sum(f.count for (_, at), f in self._fingerprints.items() if at == start)
        return frozenset(held) if len(held) == total else None

    def settle(self, settled_ms: int) -> dict[Cell, Fingerprint]:
        """Forget the cells that end by a time; gives them."""
        first = cell_of(settled_ms)
        gone = {cell: each for cell, each in self._fingerprints.items() if cell[1] < first}
        for cell in gone:
            del self._fingerprints[cell]
        for start in [s for s in self._hashes if s < first]:
            self._held -= len(self._hashes.pop(start))
        return gone
