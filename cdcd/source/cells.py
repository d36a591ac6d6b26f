"""Which rows of the log are of which lane and cell of time. Pure."""

from collections.abc import Iterable, Sequence

from cdcd.model.change import Identity
from cdcd.model.fingerprint import Cell, cells_of, identity_hashes
from cdcd.model.lane import lanes_of


def hashes_by_cell(
    tokens: Iterable[int], times_us: Iterable[int], identities: Sequence[Identity], lanes: int
) -> dict[Cell, list[int]]:
    """The hashes of the rows of each cell: of rows whose partitions have these tokens, which were
    written at these times, in microseconds since 1970. Lanes are one of so many.
    """
    starts = cells_of(time_us // 1000 for time_us in times_us)
    cells = zip(lanes_of(tokens, lanes), starts, strict=True)
    found: dict[Cell, list[int]] = {}
    for cell, row_hash in zip(cells, identity_hashes(identities), strict=True):
        if cell in found:
            found[cell].append(row_hash)
        else:
            found[cell] = [row_hash]
    return found
