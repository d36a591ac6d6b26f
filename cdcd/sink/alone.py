"""Rows that a batch changes once, as rows for statements, without merging. Pure.

Where many keys change most rows are of this kind, and where few do there is little to write. What
merging and laying out come to for them is done for all at once, column by column. Whatever is not
plain goes the way of `cdcd.sink.merge`, and the tests hold the two against each other.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import repeat
from operator import add
from typing import Any

from cdcd.model.change import Operation
from cdcd.model.typemap import UnstorableValue, same
from cdcd.sink.merge import OF_MANY, BadValue, Key, Kind, key_form
from cdcd.sink.rows import EPOCH_US, Part
from cdcd.sink.statements import Shape, shape_columns
from cdcd.sink.target import Target, TargetColumn, Targets
from cdcd.transport.changes import Changes, Written

_KINDS = {
    Operation.CREATE: Kind.UPSERT,
    Operation.UPDATE: Kind.UPSERT,
    Operation.READ: Kind.REPLACE,
    Operation.DELETE: Kind.DELETE,
}


def lay_out_alone(targets: Targets, changes: Changes) -> tuple[list[Part], list[int]]:
    """The statements' work for changes of rows that no other change of the batch touches, and the
    places of the changes that are left. Raises BadValue.
    """
    if _touches_many(targets, changes):
        return [], list(range(len(changes)))
    keys = _keys(targets, changes)
    groups: dict[tuple[Operation, Written | None], list[int]] = {}
    left: list[int] = []
    marks = zip(changes.operations, changes.written, _are_plain(changes, keys), strict=True)
    for at, (operation, written, is_plain) in enumerate(marks):
        if not is_plain:
            left.append(at)
        elif (operation, written) in groups:
            groups[operation, written].append(at)
        else:
            groups[operation, written] = [at]
    layout = _Layout(targets.rows, changes, keys)
    parts = [part for mark, ats in groups.items() for part in layout.parts(*mark, ats)]
    return parts, left


def _touches_many(targets: Targets, changes: Changes) -> bool:
    """Whether something in the batch concerns more than one row, or a static row."""
    if not OF_MANY.isdisjoint(changes.operations):
        return True
    size = len(targets.partition_key)
    return bool(targets.clustering_key) and any(key[size] is None for key in changes.keys)


def _keys(targets: Targets, changes: Changes) -> list[Key]:
    """Each change's key in PostgreSQL's form."""
    if all(c.convert is same for c in targets.rows.key):
        return changes.keys
    size = len(targets.partition_key)
    partition, clustering = key_form(targets.partition_key), key_form(targets.clustering_key)
    return [
        partition(key[:size], at) + clustering(key[size:], at)
        for at, key in enumerate(changes.keys)
    ]


def _are_plain(changes: Changes, keys: Sequence[Key]) -> list[bool]:
    """Which changes need no merging: of a row that is changed once, by whole values that stay."""
    if len(set(keys)) == len(keys):
        found = [True] * len(keys)
    else:
        changed = Counter(keys)
        found = [changed[key] == 1 for key in keys]
    for at in (*changes.ttls, *changes.elements):
        found[at] = False
    if None in changes.written:
        for at, (operation, written) in enumerate(
            zip(changes.operations, changes.written, strict=True)
        ):
            if written is None and operation in (Operation.CREATE, Operation.UPDATE):
                found[at] = False
    return found


class _Layout:
    """Lays out changes of one kind and of the same columns."""

    def __init__(self, target: Target, changes: Changes, keys: Sequence[Key]) -> None:
        self._target = target
        self._changes = changes
        self._keys = keys

    def parts(
        self, operation: Operation, written: Written | None, ats: list[int]
    ) -> Iterator[Part]:
        """One part, or two where some of the changes have nothing but nulls."""
        kind, names = _KINDS[operation], written.names if written else ()
        if operation is not Operation.UPDATE:
            yield self._part(kind, names, ats)
            return
        live, null = self._divided(names, ats)
        if live:
            yield self._part(kind, names, live)
        if null:
            # Nulls alone do not make a row, and may leave one that does not exist in the source.
            checked = bool(self._target.columns) or self._target.is_partial
            yield self._part(Kind.UPDATE, names, null, checked=checked)

    def _divided(self, names: Sequence[str], ats: list[int]) -> tuple[list[int], list[int]]:
        """Which changes have a value, and which have only nulls."""
        null = ats
        for name in names:
            column = self._changes.values[name]
            null = [at for at in null if column[at] is None]
            if not null:
                return ats, []
        without = set(null)
        return [at for at in ats if at not in without], null

    def _part(
        self, kind: Kind, names: Sequence[str], ats: list[int], *, checked: bool = False
    ) -> Part:
        target, times_us = self._target, self._changes.times_us
        keys = _picked(self._keys, ats)
        stamps = [(times_us[at] - EPOCH_US,) for at in ats]
        if kind is Kind.DELETE:
            shape = Shape(kind, tuple(c.name for c in target.key))
            rest = zip(stamps, strict=True) if target.soft_delete else repeat(())
        else:
            columns = [c for c in target.columns if kind is Kind.REPLACE or c.source.name in names]
            shape = Shape(kind, tuple(c.name for c in columns))
            rest = zip(*(self._column(c, ats) for c in columns), stamps, strict=True)
        rows = list(map(add, keys, rest))
        return Part(target, shape, shape_columns(target, shape), rows, ats, (), checked)

    def _column(self, column: TargetColumn, ats: Sequence[int]) -> Sequence[Any]:
        """A column's values in PostgreSQL's form."""
        found = self._changes.values.get(column.source.name)
        if found is None:
            return [None] * len(ats)
        convert = column.convert
        if convert is same:
            return _picked(found, ats)
        try:
            return [None if v is None else convert(v) for v in _picked(found, ats)]
        except UnstorableValue:
            raise self._blamed(column, found, ats) from None

    def _blamed(self, column: TargetColumn, found: Sequence[Any], ats: Sequence[int]) -> BadValue:
        """Which of the values it was."""
        for at in ats:
            try:
                if found[at] is not None:
                    column.convert(found[at])
            except UnstorableValue as error:
                return BadValue(column, at, error)
        raise RuntimeError("a value that could not be converted can be now")


def _picked(found: Sequence[Any], ats: Sequence[int]) -> list[Any]:
    return list(map(found.__getitem__, ats))
