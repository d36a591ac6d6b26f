"""Effects as rows for statements, grouped by the statement that serves them. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cdcd.sink.merge import Effect, Effects, Key, Kind, row_form
from cdcd.sink.statements import Shape, Target, shape_columns

# Microseconds from 1970 to 2000, where PostgreSQL's clock begins.
_EPOCH_US = 946_684_800_000_000

# Deletes before writes, so that a unique index of the target's owner finds the old row gone.
_ORDER = (Kind.DELETE, Kind.REPLACE, Kind.UPSERT, Kind.UPDATE)


@dataclass(frozen=True, slots=True)
class Part:
    """One statement's work: its shape, and rows of `shape_columns(target, shape)`."""

    shape: Shape
    columns: list[tuple[str, str]]
    rows: list[tuple[Any, ...]]


def lay_out(target: Target, effects: Effects) -> list[Part]:
    """The statements' work in the order in which to run it. Raises BadValue."""
    parts = []
    if effects.partition_deletes:
        width = len(next(iter(effects.partition_deletes)))
        shape = Shape(Kind.DELETE, tuple(c.name for c in target.key[:width]))
        parts.append(_part(target, shape, list(effects.partition_deletes)))
    groups: dict[tuple[Kind, frozenset[str]], list[tuple[Key, Effect]]] = {}
    for key, effect in effects.rows.items():
        named = frozenset() if effect.kind in _WHOLE else frozenset(effect.values)
        groups.setdefault((effect.kind, named), []).append((key, effect))
    for kind, named in sorted(groups, key=lambda g: (_ORDER.index(g[0]), sorted(g[1]))):
        parts.append(_rows_part(target, kind, named, groups[kind, named]))
    return parts


# Kinds for which it does not matter which columns the events named.
_WHOLE = (Kind.DELETE, Kind.REPLACE)


def _rows_part(
    target: Target, kind: Kind, named: frozenset[str], found: list[tuple[Key, Effect]]
) -> Part:
    if kind is Kind.DELETE:
        shape = Shape(kind, tuple(c.name for c in target.key))
        return _part(target, shape, [key for key, _ in found])
    columns = tuple(c for c in target.columns if kind is Kind.REPLACE or c.name in named)
    convert: Callable[[dict[str, Any], int], tuple[Any, ...]] = row_form(columns)
    rows = [(*key, *convert(e.values, e.at), (e.time_us - _EPOCH_US,)) for key, e in found]
    return _part(target, Shape(kind, tuple(c.name for c in columns)), rows)


def _part(target: Target, shape: Shape, rows: list[tuple[Any, ...]]) -> Part:
    return Part(shape, shape_columns(target, shape), rows)
