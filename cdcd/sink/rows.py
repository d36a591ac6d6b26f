"""Effects as rows for statements, grouped by the statement that serves them. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cdcd.model.change import ChangeEvent
from cdcd.model.refresh import Request
from cdcd.model.touched import touched
from cdcd.model.typemap import UnstorableValue
from cdcd.sink.elements import Patch, json_patcher
from cdcd.sink.merge import BadValue, Effect, Effects, Events, Key, Kind, row_form
from cdcd.sink.ranges import Ranges, RangeShape
from cdcd.sink.statements import Shape, range_columns, shape_columns
from cdcd.sink.target import Target, TargetColumn, Targets
from cdcd.transport.lane_records import encode_request

# Microseconds from 1970 to 2000, where PostgreSQL's clock begins.
EPOCH_US = 946_684_800_000_000

# Deletes before writes, so that a unique index of the target's owner finds the old row gone.
_ORDER = (Kind.DELETE, Kind.REPLACE, Kind.UPSERT, Kind.UPDATE)


@dataclass(frozen=True, slots=True)
class Part:
    """One statement's work: its shape, and rows of `columns`; `ats` are the rows' events.

    `patched` has places in a row that hold a Patch, for what is to be read and changed, with their
    columns. Of a `checked` part the rows that are left with nothing but nulls are to be found.
    """

    target: Target
    shape: Shape | RangeShape
    columns: list[tuple[str, str]]
    rows: list[tuple[Any, ...]]
    ats: list[int]
    patched: tuple[tuple[int, TargetColumn], ...] = ()
    checked: bool = False


def request_of(event: ChangeEvent, request_id: str = "") -> Request:
    """The wish to read again what the event touched: whole, where a range means nothing here."""
    name, is_range = event.table.full_name, event.bounds is not None
    return Request(request_id, name, touched(event), event.token, whole=is_range)


def lay_out(targets: Targets, effects: Effects, events: Events) -> list[Part]:
    """The statements' work in the order in which to run it; `events` are those that were merged.

    Raises BadValue.
    """
    layout = _Layout(events)
    rows, statics = targets.rows, targets.statics
    parts = []
    if effects.partition_deletes:
        deletes = effects.partition_deletes
        both = [rows] if statics is None else [rows, statics]
        parts += [_partition_deletes(target, deletes, events) for target in both]
    if effects.range_deletes:
        parts += _range_deletes(targets, effects, events)
    parts += layout.parts(rows, effects.rows)
    if statics is not None:
        parts += layout.parts(statics, effects.statics)
    return parts


def joined(parts: Iterable[Part]) -> list[Part]:
    """Parts of single rows, of disjoint keys, so that each statement runs once; in order."""
    alike: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts:
        alike.setdefault((part.target, part.shape, part.checked, part.patched), []).append(part)
    found = [
        replace(
            same[0],
            rows=[row for part in same for row in part.rows],
            ats=[at for part in same for at in part.ats],
        )
        if len(same) > 1
        else same[0]
        for same in alike.values()
    ]
    return sorted(found, key=_place)


def _place(part: Part) -> tuple[Any, ...]:
    # The same for all workers, so that none waits for another's locks crosswise.
    shape = part.shape
    if isinstance(shape, RangeShape):
        return (-1,)
    return _ORDER.index(shape.kind), shape.columns, shape.expires, part.checked


def _partition_deletes(target: Target, deletes: Mapping[Key, int], events: Events) -> Part:
    width = len(next(iter(deletes)))
    shape = Shape(Kind.DELETE, tuple(c.name for c in target.key[:width]))
    columns = shape_columns(target, shape)
    rows = [(*key, *_stamp(target, events, at)) for key, at in deletes.items()]
    return Part(target, shape, columns, rows, list(deletes.values()))


def _stamp(target: Target, events: Events, at: int) -> tuple[Any, ...]:
    """What a delete says beside the key, where the row stays."""
    return ((events[at].time_us - EPOCH_US,),) if target.soft_delete else ()


def _range_deletes(targets: Targets, effects: Effects, events: Events) -> Iterator[Part]:
    target, ranges = targets.rows, Ranges(targets.clustering_key)
    groups: dict[RangeShape, list[tuple[tuple[Any, ...], int]]] = {}
    for partition, deletes in effects.range_deletes.items():
        for bounds, at in deletes:
            shape, row = ranges.shape(bounds), ranges.row(bounds)
            if shape is None or row is None:
                raise RuntimeError("a range was merged that has no statement")
            stamp = _stamp(target, events, at)
            groups.setdefault(shape, []).append(((*partition, *row, *stamp), at))
    for shape, found in groups.items():
        columns = range_columns(target, shape)
        yield Part(target, shape, columns, [row for row, _ in found], [at for _, at in found])


class _Layout:
    """Lays out effects of single rows."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def parts(self, target: Target, effects: Mapping[Key, Effect]) -> Iterator[Part]:
        """A part for each kind and set of columns."""
        # First by what is cheap to tell of each effect; then the few groups by what it means.
        alike: dict[tuple[Any, ...], list[tuple[Key, Effect]]] = {}
        has_columns = bool(target.columns) or target.is_partial
        multicell = [c for c in target.columns if c.source.type.is_multicell]
        for key, effect in effects.items():
            kind, values = effect.kind, effect.values
            # The statement of a kind names all columns where it does not matter which were written.
            names = () if kind in _WHOLE else tuple(values)
            patches = frozenset(
                c.name for c in multicell if isinstance(values.get(c.source.name), Patch)
            )
            checked = has_columns and effect.may_be_empty
            mark = kind, names, effect.expires is not None, checked, patches
            if mark in alike:
                alike[mark].append((key, effect))
            else:
                alike[mark] = [(key, effect)]
        groups: dict[tuple[Shape, bool, frozenset[str]], list[tuple[Key, Effect]]] = {}
        for (kind, names, expires, checked, patches), found in alike.items():
            named = tuple(c.name for c in target.columns if c.source.name in names)
            group = Shape(kind, named, expires), checked, patches
            groups.setdefault(group, []).extend(found)
        for shape, checked, patches in sorted(groups, key=_order):
            found = groups[shape, checked, patches]
            yield self._part(target, shape, found, (checked, patches))

    def _part(
        self,
        target: Target,
        shape: Shape,
        found: list[tuple[Key, Effect]],
        how: tuple[bool, frozenset[str]],
    ) -> Part:
        ats = [effect.at for _, effect in found]
        if shape.kind is Kind.DELETE:
            shape = Shape(shape.kind, tuple(c.name for c in target.key))
            columns = shape_columns(target, shape)
            deleted = [(*key, *_stamp(target, self._events, effect.at)) for key, effect in found]
            return Part(target, shape, columns, deleted, ats)
        checked, patches = how
        written = tuple(
            c for c in target.columns if shape.kind is Kind.REPLACE or c.name in shape.columns
        )
        shape = replace(shape, columns=tuple(c.name for c in written))
        convert = _converter(written, patches)
        rows: list[tuple[Any, ...]] = [
            (*key, *convert(e.values, e.at), (e.time_us - EPOCH_US,)) for key, e in found
        ]
        if shape.expires:
            rows = [(*row, *self._expiry(e)) for row, (_, e) in zip(rows, found, strict=True)]
        first = len(target.key)
        patched = tuple((first + n, c) for n, c in enumerate(written) if c.name in patches)
        columns = shape_columns(target, shape)
        return Part(target, shape, columns, rows, ats, patched, checked)

    def _expiry(self, effect: Effect) -> tuple[Any, ...]:
        if effect.expires is None:
            return ()
        first, last = effect.expires
        key = encode_request(request_of(self._events[effect.at]))
        return (first - EPOCH_US,), (last - EPOCH_US,), key


# Kinds for which it does not matter which columns the events named.
_WHOLE = (Kind.DELETE, Kind.REPLACE)


def _order(group: tuple[Shape, bool, frozenset[str]]) -> tuple[Any, ...]:
    shape, checked, patches = group
    return _ORDER.index(shape.kind), shape.columns, shape.expires, checked, sorted(patches)


Converter = Callable[[Mapping[str, Any], int], tuple[Any, ...]]


def _converter(columns: tuple[TargetColumn, ...], patches: frozenset[str]) -> Converter:
    """Converts values, but leaves patches as they are."""
    convert = row_form(columns)
    if not patches:
        return convert
    patched = [c.source.name for c in columns if c.name in patches]

    def around(values: Mapping[str, Any], at: int) -> tuple[Any, ...]:
        row = convert({n: v for n, v in values.items() if n not in patched}, at)
        return tuple(
            values[c.source.name] if c.name in patches else v
            for c, v in zip(columns, row, strict=True)
        )

    return around


def patched_rows(part: Part, current: Mapping[int, Sequence[str | None]]) -> list[tuple[Any, ...]]:
    """The part's rows with patches applied to what the rows have now; `current` has the values of
    the patched columns by the event of the row, for those that are there. Raises BadValue.
    """
    patchers = [
        (place, column, json_patcher(column.source.type, column.replaced))
        for place, column in part.patched
    ]
    absent: tuple[None, ...] = (None,) * len(patchers)
    rows = []
    for row, at in zip(part.rows, part.ats, strict=True):
        changed = list(row)
        before = current.get(at, absent)
        for (place, column, patch_json), text in zip(patchers, before, strict=True):
            try:
                changed[place] = patch_json(text, row[place])
            except UnstorableValue as error:
                raise BadValue(column, at, error) from None
        rows.append(tuple(changed))
    return rows
