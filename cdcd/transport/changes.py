"""The changes of many records, column by column. Pure.

One object for each change costs more than all else that is done with most of them; they are made
where somebody looks at one change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from cdcd.model.change import Bounds, ChangeEvent, Elements, Operation
from cdcd.model.table import TableSpec

Key = tuple[Any, ...]


class Written:
    """Which columns a statement wrote, in the order in which the record names them. Statements that
    wrote the same columns mostly share one.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(dict.fromkeys(names))


@dataclass(slots=True)
class Changes(Sequence[ChangeEvent]):
    """Changes of one table in order; each list has an item for each of them.

    `keys` are those of the records, `values` have what is not null by column; of a change that is
    `written`, columns that were not do not count. What is None for most is in no list but in a
    dict, by the change's place. No change has an `identity`, for applying takes none; `refreshed`
    are those that came from none, for a refresh has published them.
    """

    tables: list[TableSpec] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    times_us: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    written: list[Written | None] = field(default_factory=list)
    values: dict[str, list[Any]] = field(default_factory=dict)
    ttls: dict[int, int] = field(default_factory=dict)
    elements: dict[int, dict[str, Elements]] = field(default_factory=dict)
    bounds: dict[int, Bounds] = field(default_factory=dict)
    refreshed: dict[int, bool] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[ChangeEvent]:
        return map(self._change, range(len(self)))

    @overload
    def __getitem__(self, at: int) -> ChangeEvent: ...
    @overload
    def __getitem__(self, at: slice) -> list[ChangeEvent]: ...
    def __getitem__(self, at: int | slice) -> ChangeEvent | list[ChangeEvent]:
        if isinstance(at, slice):
            return [self._change(n) for n in range(*at.indices(len(self)))]
        return self._change(range(len(self))[at])

    def _change(self, at: int) -> ChangeEvent:
        table, key, written = self.tables[at], self.keys[at], self.written[at]
        size = len(table.partition_key)
        nulls: tuple[str, ...] = ()
        if written is None:
            found = {n: column[at] for n, column in self.values.items()}
            values = {n: value for n, value in found.items() if value is not None}
        else:
            # What an image shows was not written.
            found = {n: self.values[n][at] for n in written.names}
            values = {n: value for n, value in found.items() if value is not None}
            if len(values) < len(found):
                nulls = tuple([n for n, value in found.items() if value is None])
        return ChangeEvent(
            table,
            self.operations[at],
            key[:size],
            key[size:],
            self.times_us[at],
            self.tokens[at],
            None,
            values,
            nulls,
            self.ttls.get(at),
            self.elements.get(at, {}),
            self.bounds.get(at),
        )

    def take(self, places: Sequence[int]) -> "Changes":
        """Those at some places, which are in order."""
        found = Changes()
        for name in _LISTS:
            setattr(found, name, list(map(getattr(self, name).__getitem__, places)))
        found.values = {
            name: list(map(column.__getitem__, places)) for name, column in self.values.items()
        }
        for name in _SPARSE:
            sparse = getattr(self, name)
            setattr(found, name, {n: sparse[at] for n, at in enumerate(places) if at in sparse})
        return found

    def extend(self, more: "Changes") -> None:
        """Put others behind these."""
        before, count = len(self), len(more)
        for name in _LISTS:
            getattr(self, name).extend(getattr(more, name))
        for name in self.values.keys() - more.values.keys():
            self.values[name] += [None] * count
        for name, column in more.values.items():
            self.values.setdefault(name, [None] * before).extend(column)
        for name in _SPARSE:
            sparse = getattr(more, name)
            getattr(self, name).update({before + at: found for at, found in sparse.items()})


_LISTS = ("tables", "keys", "operations", "times_us", "tokens", "written")
_SPARSE = ("ttls", "elements", "bounds", "refreshed")
