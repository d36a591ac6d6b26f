"""What the change topic tells of a wide cell, against what the log shows of it. Pure.

A wide cell may have more rows than fit in memory. Narrow cells are added up first, and identities
are compared where these differ, as many at once as there is room for.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby

from cdcd.model.fingerprint import CELL_MS, Cell, Fingerprint, cell_of
from cdcd.model.lane import lane_of
from cdcd.model.position import Window
from cdcd.model.published import PublishedRow


def by_cell(rows: Iterable[PublishedRow], lanes: int) -> dict[Cell, list[int]]:
    """The hashes of published rows, by lane and narrow cell."""
    found: dict[Cell, list[int]] = {}
    for token, time_ms, row_hash in rows:
        found.setdefault((lane_of(token, lanes), cell_of(time_ms)), []).append(row_hash)
    return found


def by_lane(cells: Mapping[Cell, Fingerprint]) -> dict[int, Fingerprint]:
    """The fingerprints of lanes, of those of cells."""
    found: dict[int, Fingerprint] = {}
    for (lane, _), fingerprint in cells.items():
        found[lane] = found.get(lane, Fingerprint()) + fingerprint
    return found


def agreeing(saved: Mapping[int, Fingerprint], told: Mapping[Cell, Fingerprint]) -> set[int]:
    """The lanes of which the topic tells what was saved as published, no row less or more."""
    found = by_lane(told)
    return {lane for lane, each in saved.items() if found.get(lane, Fingerprint()) == each}


def differing(
    seen: Mapping[Cell, Fingerprint], told: Mapping[Cell, Fingerprint], lanes: Collection[int]
) -> list[Cell]:
    """The narrow cells of which the log shows other rows than the topic tells, in order of time."""
    cells = [cell for cell in seen.keys() | told.keys() if cell[0] in lanes]
    differ = [c for c in cells if seen.get(c, Fingerprint()) != told.get(c, Fingerprint())]
    return sorted(differ, key=lambda cell: (cell[1], cell[0]))


def grouped(
    cells: Iterable[Cell], rows: Mapping[int, int], rows_max: int
) -> Iterator[dict[int, list[Cell]]]:
    """Cells in order of time, by their start; as many starts at once as have so many rows, and one
    at least. `rows` are how many a start has.
    """
    group: dict[int, list[Cell]] = {}
    held = 0
    for start, at_start in groupby(cells, key=lambda cell: cell[1]):
        if group and held + rows[start] > rows_max:
            yield group
            group, held = {}, 0
        group[start] = list(at_start)
        held += rows[start]
    if group:
        yield group


def rows_by_start(*readings: Mapping[Cell, Fingerprint]) -> dict[int, int]:
    """How many rows the narrow cells of all lanes have in all readings, by their start."""
    found: dict[int, int] = {}
    for cells in readings:
        for (_, start), fingerprint in cells.items():
            found[start] = found.get(start, 0) + fingerprint.count
    return found


def span(starts: Collection[int]) -> Window:
    """The window from the first to the last of some narrow cells."""
    return Window(min(starts), max(starts) + CELL_MS)
