"""A batch of changes as effects: at most one for each row, and deletes of more than one row. Pure.

Deletes of partitions and ranges run first. One that comes later in the batch drops the effects
before it on its rows, and what comes after it finds no row, so running it first changes nothing.
Keys are compared in PostgreSQL's form; what has there the form of another key is refused
(`cdcd.model.keys`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from cdcd.model.change import Bounds, ChangeEvent, Operation
from cdcd.model.keys import SharedValue
from cdcd.model.straight import straight_line
from cdcd.model.typemap import Converter, UnstorableValue, same
from cdcd.sink.elements import Patch, patch_of, patched
from cdcd.sink.ranges import Ranges
from cdcd.sink.target import TargetColumn, Targets

Key = tuple[Any, ...]
# Changes in order, by their places in the batch where they are not all of it.
Events = Sequence[ChangeEvent] | Mapping[int, ChangeEvent]


class Kind(IntEnum):
    """What happens to a row."""

    UPSERT = 1
    """Set the named columns; make the row where it is absent."""
    UPDATE = 2
    """Set the named columns of a row that is there. Nulls alone do not make a row."""
    REPLACE = 3
    """The whole row; columns that are not named become null."""
    DELETE = 4

    # Enum's own is written in Python, and these are looked up for each effect.
    __hash__ = int.__hash__


class Expiry(NamedTuple):
    """When the first cell expires, and when at the latest all of them have. The clock that counts
    is the server's at the write: the write time, unless the writer gave one, and in any case
    not after the change was published.
    """

    first_us: int
    last_us: int


@dataclass(slots=True)
class Effect:
    """What the batch does to one row; None in `values` is null, `at` is the last event's index.

    A Patch in `values` changes a part of what the row has. `lists` were changed in part, which only
    a refresh can tell. `is_marked` says that the row exists even if all its columns are null.
    """

    kind: Kind
    values: Mapping[str, Any]
    time_us: int
    at: int
    is_marked: bool = False
    expires: Expiry | None = None
    lists: frozenset[str] = frozenset()

    @property
    def may_be_empty(self) -> bool:
        """Whether it may leave a row with nothing but nulls, which may not exist in the source."""
        return (
            self.kind is not Kind.DELETE
            and not self.is_marked
            and not any(map(_is_live, self.values.values()))
        )


def _is_live(value: Any) -> bool:
    return value.puts if isinstance(value, Patch) else value is not None


class BadValue(Exception):
    """A value that the target's column cannot hold: which column, of which event. Not the value."""

    def __init__(self, column: TargetColumn, at: int, error: UnstorableValue) -> None:
        source = column.source
        # Other errors may quote the value.
        self.condition = (
            str(error)
            if isinstance(error, SharedValue)
            else f"a value that PostgreSQL's {column.kind} cannot hold"
        )
        super().__init__(f'column "{source.name}" ({source.type}) has {self.condition}')
        self.column = column
        self.at = at


class RangeDelete(NamedTuple):
    """A delete of the rows between two bounds; `at` is its event's index."""

    bounds: Bounds
    at: int


@dataclass(slots=True)
class Effects:
    """Deletes of more than one row first, then one effect for each row and each static row.

    `refreshes` are indices of events after which what they touched is to be read again.
    """

    partition_deletes: dict[Key, int] = field(default_factory=dict)
    range_deletes: dict[Key, list[RangeDelete]] = field(default_factory=dict)
    rows: dict[Key, Effect] = field(default_factory=dict)
    statics: dict[Key, Effect] = field(default_factory=dict)
    refreshes: list[int] = field(default_factory=list)

    @property
    def expires_ms(self) -> int | None:
        """When the first of what was written expires, rounded up."""
        both = (*self.rows.values(), *self.statics.values())
        first = [e.expires.first_us for e in both if e.expires is not None]
        return -(min(first) // -1000) if first else None


def merge(targets: Targets, events: Events, published_ms: Sequence[int] = ()) -> Effects:
    """The effects of changes of one table on its targets, in order.

    Raises BadValue for a key that cannot be.

    `published_ms` says when each was published, where that is known, by the change's place.
    """
    places = list(events.items() if isinstance(events, Mapping) else enumerate(events))
    merging = _Merging(targets, any(event.op in OF_MANY for _, event in places))
    for at, event in places:
        published_us = published_ms[at] * 1000 if published_ms else event.time_us
        merging.add(event, at, published_us)
    return merging.done()


_PARTIAL = (Operation.CREATE, Operation.UPDATE)
# Operations that concern more than one row.
OF_MANY = frozenset({Operation.PARTITION_DELETE, Operation.RANGE_DELETE})
# The servers count expiry in whole seconds, and clocks differ a little.
_EXPIRY_SLACK_US = 1_000_000


class _Merging:
    """Effects in the making."""

    def __init__(self, targets: Targets, deletes_many: bool) -> None:
        self._kept = targets.kept
        self._partition_form = key_form(targets.partition_key)
        self._clustering_form = key_form(targets.clustering_key)
        self._ranges = Ranges(targets.clustering_key)
        self._deletes_many = deletes_many
        self._found = Effects()
        # Which rows of a partition have effects, so that a delete of many finds them.
        self._members: dict[Key, dict[Key, tuple[Any, ...]]] = {}

    def add(self, event: ChangeEvent, at: int, published_us: int) -> None:
        """Change the effects into those of the events so far and this one."""
        found, op, clustering = self._found, event.op, event.clustering
        key = partition = self._partition_form(event.partition, at)
        if op is Operation.PARTITION_DELETE:
            for member in self._members.pop(partition, ()):
                del found.rows[member]
            found.statics.pop(partition, None)
            found.range_deletes.pop(partition, None)
            found.partition_deletes[partition] = at
            return
        if event.bounds is not None:
            self._delete_range(partition, event.bounds, at, event.time_us)
            return
        effects = found.rows
        if clustering and clustering[0] is None and event.is_static:
            effects = found.statics
        elif clustering:
            key += self._clustering_form(clustering, at)
            if self._deletes_many:
                self._members.setdefault(partition, {})[key] = clustering
        effect = effects.get(key)
        if effect is None:
            effect = effects[key] = Effect(Kind.UPDATE, {}, event.time_us, at)
            if op in _PARTIAL and not event.elements:
                _begin(effect, event)
            else:
                self._fold(effect, event, at)
        else:
            self._fold(effect, event, at)
        if event.ttl_seconds is not None and effect.kind is not Kind.DELETE:
            _expire(effect, event.ttl_seconds * 1_000_000, event.time_us, published_us)

    def done(self) -> Effects:
        """The effects of all that was added."""
        for effects in (self._found.rows, self._found.statics):
            self._found.refreshes += [e.at for e in effects.values() if e.lists]
        return self._found

    def _delete_range(self, partition: Key, bounds: Bounds, at: int, time_us: int) -> None:
        """Drop the effects in the range; where PostgreSQL cannot find the rest, have it read."""
        ranges, found = self._ranges, self._found
        is_known = ranges.shape(bounds) is not None and ranges.row(bounds) is not None
        members = self._members.get(partition, {})
        for key in [k for k, c in members.items() if ranges.covers(bounds, c)]:
            if is_known:
                del found.rows[key], members[key]
            else:
                found.rows[key] = Effect(Kind.DELETE, {}, time_us, at)
        if is_known:
            found.range_deletes.setdefault(partition, []).append(RangeDelete(bounds, at))
        else:
            found.refreshes.append(at)

    def _fold(self, effect: Effect, event: ChangeEvent, at: int) -> None:
        if event.op is Operation.DELETE or _is_empty_static(event):
            effect.kind, effect.values, effect.lists = Kind.DELETE, {}, frozenset()
            effect.is_marked, effect.expires = False, None
        elif event.op is Operation.READ:
            effect.kind, effect.values, effect.lists = Kind.REPLACE, event.values, frozenset()
            # A row of nothing but nulls was read because it has a marker.
            effect.is_marked = not event.values
        elif effect.kind is Kind.DELETE and not _makes_row(event):
            return
        else:
            if effect.kind is Kind.DELETE:
                effect.kind = Kind.REPLACE
            elif effect.kind is Kind.UPDATE and _makes_row(event):
                effect.kind = Kind.UPSERT
            effect.is_marked |= event.op is Operation.CREATE
            self._write(effect, event)
        effect.time_us, effect.at = event.time_us, at

    def _write(self, effect: Effect, event: ChangeEvent) -> None:
        values = effect.values = _written(event, effect.values)
        if effect.lists:
            effect.lists -= {*event.values, *event.nulls}
        for name, elements in event.elements.items():
            cql = event.table.by_name[name].type
            if cql.name == "list":
                # One that the target does not have only says whether the row lives.
                if name in self._kept or elements.put is None:
                    effect.lists |= {name}
                else:
                    values[name] = elements.put
                continue
            patch = patch_of(cql, elements)
            before = values.get(name)
            if isinstance(before, Patch):
                values[name] = before.then(patch)
            elif name in values or effect.kind is Kind.REPLACE:
                values[name] = patched(cql, before, patch)
            else:
                values[name] = patch


def _begin(effect: Effect, event: ChangeEvent) -> None:
    """Make the effect of a row's first change, which writes whole columns: most are of this kind,
    and few rows have a second one in a batch.
    """
    effect.is_marked = event.op is Operation.CREATE
    if effect.is_marked or event.values:
        effect.kind = Kind.UPSERT
    effect.values = _written(event) if event.nulls else event.values


def _written(event: ChangeEvent, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What was written, on top of what was there before."""
    return {**(before or {}), **event.values, **dict.fromkeys(event.nulls)}


def _makes_row(event: ChangeEvent) -> bool:
    """Whether the row exists afterwards whatever was before: by its marker or by a live cell."""
    return (
        event.op is not Operation.UPDATE
        or bool(event.values)
        or any(e.put is not None for e in event.elements.values())
    )


def _is_empty_static(event: ChangeEvent) -> bool:
    """Static rows have no marker: one without values is not there."""
    return event.op is Operation.READ and not event.values and event.is_static


def _expire(effect: Effect, ttl_us: int, time_us: int, published_us: int) -> None:
    first = min(time_us, published_us) + ttl_us
    last = published_us + ttl_us + _EXPIRY_SLACK_US
    if effect.expires is not None:
        first, last = min(first, effect.expires.first_us), max(last, effect.expires.last_us)
    effect.expires = Expiry(first, last)


def key_form(columns: tuple[TargetColumn, ...]) -> Callable[[tuple[Any, ...], int], Key]:
    """Turns key values into PostgreSQL's form; `at` is for the message of a bad one."""
    forms = [c.convert for c in columns]
    if all(form is same for form in forms):
        return lambda values, _: values

    def convert(values: tuple[Any, ...], at: int) -> Key:
        try:
            return tuple([form(v) for form, v in zip(forms, values, strict=True)])
        except UnstorableValue:
            raise _blamed(dict(zip(columns, values, strict=True)), at) from None

    return convert


def row_form(
    columns: tuple[TargetColumn, ...],
) -> Callable[[Mapping[str, Any], int], tuple[Any, ...]]:
    """Turns named values into a tuple of PostgreSQL's form; a name that is absent is null."""
    read = _row_reader(tuple(c.source.name for c in columns), tuple(c.convert for c in columns))

    def convert(values: Mapping[str, Any], at: int) -> tuple[Any, ...]:
        try:
            row: tuple[Any, ...] = read(values.get)
        except UnstorableValue:
            raise _blamed({c: values.get(c.source.name) for c in columns}, at) from None
        return row

    return convert


@lru_cache(maxsize=4096)
def _row_reader(
    names: tuple[str, ...], forms: tuple[Converter, ...]
) -> Callable[[Callable[[str], Any]], tuple[Any, ...]]:
    """Makes a tuple of values from the `get` of a dict."""
    given: dict[str, Any] = {}
    items = []
    for n, (name, form) in enumerate(zip(names, forms, strict=True)):
        given |= {f"name_{n}": name, f"form_{n}": form}
        value = f"get(name_{n})"
        changed = f"None if (v := {value}) is None else form_{n}(v)"
        items.append(f"{value if form is same else changed},")
    return straight_line("read_row(get)", ["return (", *items, ")"], given)


def _blamed(values: Mapping[TargetColumn, Any], at: int) -> BadValue:
    """Which of the values it was: looked for only once there is one."""
    found = ((column, _fault(column, value)) for column, value in values.items())
    return next(BadValue(column, at, fault) for column, fault in found if fault is not None)


def _fault(column: TargetColumn, value: Any) -> UnstorableValue | None:
    try:
        if value is not None:
            column.convert(value)
    except UnstorableValue as error:
        return error
    return None
