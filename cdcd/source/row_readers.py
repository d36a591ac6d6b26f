"""Readers of the columns of a log row, as straight-line code for one table. Pure.

A row is a tuple of raw bytes, None for what is not there. What a value's bytes mean is
`cdcd.model.cqlvalue`'s to say.
"""

from collections.abc import Callable, Sequence

from cdcd.model.change import AvroValue
from cdcd.model.cqlvalue import decoder, empty_is_a_value
from cdcd.model.straight import straight_line
from cdcd.model.table import Column

RawRow = tuple[bytes | None, ...]

# Puts values into the dict; gives the names of the columns that were set to null, and the name of
# one that was both set and deleted, which no delta has.
AtomicReader = Callable[[RawRow, dict[str, AvroValue]], tuple[list[str], str | None]]
KeyReader = Callable[[RawRow], tuple[AvroValue, ...]]


def key_reader(columns: Sequence[Column], first: int) -> KeyReader:
    """Reads key columns, which lie side by side from `first` on; None for one that is not there,
    or has the empty value of a type that has none.
    """
    given = {f"decode_{n}": decoder(column.type) for n, column in enumerate(columns)}
    values = [
        f"None if row[{first + n}] is None else decode_{n}(row[{first + n}]),"
        for n in range(len(columns))
    ]
    return straight_line("read_key(row)", ["return (", *values, ")"], given)


def atomic_reader(columns: Sequence[tuple[int, Column]]) -> AtomicReader:
    """Reads columns that have one cell; each is given with the place of its value in the row, and
    next to it is the mark that it was deleted.
    """
    given: dict[str, object] = {}
    body = ["nulls = []", "conflict = None"]
    for n, (at, column) in enumerate(columns):
        given |= {f"decode_{n}": decoder(column.type), f"name_{n}": column.name}
        # The empty value of a type that has none is null, and was written all the same.
        is_value = "raw is not None" if empty_is_a_value(column.type) else "raw"
        body += [
            f"raw = row[{at}]",
            f"if {is_value}:",
            f"    values[name_{n}] = decode_{n}(raw)",
            f"    if row[{at + 1}] is not None: conflict = name_{n}",
            f"elif raw is not None or row[{at + 1}] is not None:",
            f"    nulls.append(name_{n})",
            f"    if raw is not None and row[{at + 1}] is not None: conflict = name_{n}",
        ]
    return straight_line("read_atomic(row, values)", [*body, "return nulls, conflict"], given)
