"""Readers of the columns of a log row, as straight-line code for one table. Pure.

A row is a tuple of raw bytes, None for what is not there. What a value's bytes mean is
`cdcd.model.cqlvalue`'s to say.
"""

from collections.abc import Callable, Sequence

from cdcd.model.change import AvroValue
from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import empty_is_a_value, inline_decoder
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
    given: dict[str, object] = {}
    values = []
    for n, column in enumerate(columns):
        part, given[f"decode_{n}"] = inline_decoder(column.type)
        is_value = _is_value(f"row[{first + n}]", column.type)
        values.append(f"decode_{n}(row[{first + n}]){part} if {is_value} else None,")
    return straight_line("read_key(row)", ["return (", *values, ")"], given)


def atomic_reader(columns: Sequence[tuple[int, Column]]) -> AtomicReader:
    """Reads columns that have one cell; each is given with the place of its value in the row, and
    next to it is the mark that it was deleted.
    """
    given: dict[str, object] = {}
    body = ["nulls = []", "conflict = None"]
    for n, (at, column) in enumerate(columns):
        part, given[f"decode_{n}"] = inline_decoder(column.type)
        given[f"name_{n}"] = column.name
        body += [
            f"raw = row[{at}]",
            f"if {_is_value('raw', column.type)}:",
            f"    values[name_{n}] = decode_{n}(raw){part}",
            f"    if row[{at + 1}] is not None: conflict = name_{n}",
            f"elif raw is not None or row[{at + 1}] is not None:",
            f"    nulls.append(name_{n})",
            f"    if raw is not None and row[{at + 1}] is not None: conflict = name_{n}",
        ]
    return straight_line("read_atomic(row, values)", [*body, "return nulls, conflict"], given)


def _is_value(raw: str, cql: CqlType) -> str:
    """Whether bytes are a value. The empty one of a type that has none is null, and was written all
    the same.
    """
    return f"{raw} is not None" if empty_is_a_value(cql) else raw
