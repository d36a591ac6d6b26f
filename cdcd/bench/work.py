"""What a benchmark writes: eight columns, 50,000 keys; half of the changes are inserts, four in ten
update three columns, one in ten is a delete. Pure.
"""

from collections.abc import Iterable, Sequence

KEYS = 50_000
COLUMNS = (
    "id bigint PRIMARY KEY, name text, city text, amount double, quantity int, active boolean,"
    " updated timestamp, note text"
)

INSERT = (
    "INSERT INTO {t} (id, name, city, amount, quantity, active, updated, note)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
UPDATE = "UPDATE {t} SET amount = ?, quantity = ?, updated = ? WHERE id = ?"
DELETE = "DELETE FROM {t} WHERE id = ?"

# Rows that no change of the work touches: marks behind a backlog, and probes on the way.
MARKS, PROBES = 64, 256
MARK = "INSERT INTO {t} (id, quantity) VALUES (?, ?)"

_EPOCH_MS = 1_700_000_000_000
_Row = tuple[object, ...]


def changes(numbers: Iterable[int]) -> Sequence[tuple[str, list[_Row]]]:
    """The changes of these numbers, by statement."""
    found: dict[str, list[_Row]] = {INSERT: [], UPDATE: [], DELETE: []}
    for number in numbers:
        # Neighbours have keys that are far apart, and the kind has nothing to do with the key.
        key, kind = number * 7_919 % KEYS, (number * 2_654_435_761 >> 16) % 10
        at = _EPOCH_MS + number
        if kind < 5:
            names = f"name {number}", f"city {key % 997}"
            found[INSERT].append((key, *names, number / 8, kind, kind < 3, at, f"note {key}"))
        elif kind < 9:
            found[UPDATE].append((number / 8, number % 100, at, key))
        else:
            found[DELETE].append((key,))
    return [(cql, rows) for cql, rows in found.items() if rows]


def mark_rows(value: int) -> list[tuple[int, int]]:
    """A row in each of many partitions, so that nearly every lane has one."""
    return [(-1 - PROBES - number, value) for number in range(MARKS)]


def probe_id(number: int) -> int:
    """The row that a probe writes; the same one again after all others had their turn."""
    return -1 - number % PROBES


def probe_row(number: int) -> tuple[int, int]:
    """A probe."""
    return (probe_id(number), number)
