"""Merging of ranges, statics, elements and expiry: batches do what single changes do."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.model.change import Bounds, ChangeEvent, Elements, Operation
from cdcd.model.cqltype import parse
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.sink.elements import Patch, patched
from cdcd.sink.merge import Effect, Effects, Kind, RangeDelete, merge
from cdcd.sink.ranges import Ranges
from cdcd.sink.target import Options, targets_of

SET = parse("set<int>")
LIST = parse("list<int>")
TABLE = TableSpec(
    "ks",
    "t",
    (
        Column("p", parse("int"), ColumnKind.PARTITION_KEY),
        Column("c", parse("int"), ColumnKind.CLUSTERING, descending=True),
        Column("d", parse("int"), ColumnKind.CLUSTERING),
        Column("a", parse("int"), ColumnKind.REGULAR),
        Column("l", LIST, ColumnKind.REGULAR),
        Column("m", LIST, ColumnKind.REGULAR),
        Column("n", SET, ColumnKind.REGULAR),
        Column("s", parse("int"), ColumnKind.STATIC),
    ),
)
TARGETS = targets_of(TABLE, "s")
WITHOUT_LIST = targets_of(TABLE, "s", Options(excluded=frozenset({"l"})))
SECOND = 1_000_000
UUIDS = TableSpec(
    "ks",
    "t",
    (
        Column("p", parse("int"), ColumnKind.PARTITION_KEY),
        Column("c", parse("uuid"), ColumnKind.CLUSTERING),
        Column("a", parse("int"), ColumnKind.REGULAR),
    ),
)

# Rows with their values, and statics with theirs.
State = dict[tuple[Any, ...], dict[str, Any]]


def event(
    op: str,
    key: tuple[Any, ...],
    values: Mapping[str, Any] | None = None,
    table: TableSpec = TABLE,
    **more: Any,
) -> ChangeEvent:
    given_values = values or {}
    size = len(table.clustering_key)
    return ChangeEvent(
        table=table,
        op=Operation(op),
        partition=key[:1],
        clustering=key[1:] or (None,) * size,
        time_us=more.pop("time_us", 0),
        token=0,
        identity=None,
        values={
            n: v for n, v in given_values.items() if v is not None and not isinstance(v, Elements)
        },
        nulls=tuple(n for n, v in given_values.items() if v is None),
        elements={n: v for n, v in given_values.items() if isinstance(v, Elements)},
        **more,
    )


def put(*members: int) -> Elements:
    return Elements(list(members), ())


def remove(*members: int) -> Elements:
    return Elements(None, members)


def only(effects: Effects) -> Effect:
    (effect,) = effects.rows.values()
    return effect


def test_elements_on_what_is_not_known() -> None:
    """Changes of elements are folded; what they do to the row's value is for the target."""
    effect = only(
        merge(
            TARGETS,
            [event("u", (1, 1, 1), {"n": put(1, 2)}), event("u", (1, 1, 1), {"n": remove(2)})],
        )
    )
    assert effect.kind is Kind.UPSERT
    assert patched(SET, [2, 5], effect.values["n"]) == [1, 5]


def test_removals_alone_make_no_row() -> None:
    """A change that only removes elements changes a row that is there."""
    effect = only(merge(TARGETS, [event("u", (1, 1, 1), {"n": remove(2)})]))
    assert effect.kind is Kind.UPDATE
    assert effect.may_be_empty


def test_elements_of_a_known_value() -> None:
    """After an overwrite, a refresh or a delete in the batch the value is known."""
    key = (1, 1, 1)
    part = event("u", key, {"n": Elements([1], (3,))})
    for before, expected in (
        (event("u", key, {"n": [3, 4]}), [1, 4]),
        (event("u", key, {"n": None}), [1]),
        (event("r", key, {"n": [3]}), [1]),
        (event("r", key, {"a": 1}), [1]),
        (event("d", key), [1]),
    ):
        assert only(merge(TARGETS, [before, part])).values["n"] == expected


def test_lists_are_read_again() -> None:
    """A change of some elements of a list asks for a refresh; what else it wrote is applied."""
    effects = merge(TARGETS, [event("u", (1, 1, 1), {"l": Elements([], ("k",)), "a": 5})])
    assert effects.refreshes == [0]
    assert only(effects).values == {"a": 5}


def test_several_lists_are_read_again() -> None:
    """Each list that a change has changed in part is one to be read, in whatever order."""
    part = Elements([], ("k",))
    for names in (("l", "m"), ("m", "l")):
        effect = only(merge(TARGETS, [event("u", (1, 1, 1), dict.fromkeys(names, part))]))
        assert effect.lists == {"l", "m"}


def test_a_list_that_the_target_leaves_out() -> None:
    """What was put into it says that the row lives; if what was taken out of it was the last cell,
    only a refresh can tell. What comes behind it in the change is applied.
    """
    entry = {"key": "k", "value": 1}
    filled = only(merge(WITHOUT_LIST, [_of_list(Elements([entry], ()))]))
    emptied = only(merge(WITHOUT_LIST, [_of_list(Elements(None, ("k",)))]))
    assert (filled.lists, filled.values["l"], filled.may_be_empty) == (frozenset(), [entry], False)
    assert (emptied.lists, emptied.may_be_empty) == (frozenset({"l"}), True)
    assert patched(SET, [1, 2], filled.values["n"]) == [2]


def _of_list(elements: Elements) -> ChangeEvent:
    return event("u", (1, 1, 1), {"l": elements, "n": remove(1)})


def test_a_list_that_was_overwritten_since_is_known() -> None:
    """An overwrite, a delete and a refresh behind it make the refresh needless."""
    part = event("u", (1, 1, 1), {"l": Elements([{"key": "k", "value": 1}], ())})
    for later in (
        event("u", (1, 1, 1), {"l": [1]}),
        event("u", (1, 1, 1), {"l": None}),
        event("d", (1, 1, 1)),
        event("r", (1, 1, 1), {"l": [1]}),
        event("p", (1,)),
    ):
        assert merge(TARGETS, [part, later]).refreshes == []
        assert merge(TARGETS, [later, part]).refreshes == [1]


def test_rows_that_may_not_exist() -> None:
    """Nothing but nulls, and no marker known in the batch: only the source can tell."""
    key = (1, 1, 1)
    null = event("u", key, {"a": None})
    for before, unclear in (
        ([], True),
        ([event("u", key, {"a": 1})], True),
        ([event("r", key, {"a": 1})], True),
        ([event("d", key), event("u", key, {"a": 1})], True),
        ([event("c", key, {"a": 1})], False),
        ([event("r", key)], False),
        ([event("u", key, {"n": put(1)})], False),
        ([event("c", key), event("d", key), event("u", key, {"a": 1})], True),
        ([event("d", key)], False),
    ):
        assert only(merge(TARGETS, [*before, null])).may_be_empty is unclear, before


def test_a_static_row_is_not_a_row() -> None:
    """Statics have effects of their own; a refresh without values is their end."""
    effects = merge(TARGETS, [event("u", (1,), {"s": 1}), event("c", (1, 1, 1))])
    assert list(effects.statics) == [(1,)]
    assert list(effects.rows) == [(1, 1, 1)]
    gone = merge(TARGETS, [event("u", (1,), {"s": 1}), event("r", (1,))])
    assert gone.statics[1,].kind is Kind.DELETE


def test_a_partition_delete_takes_the_statics() -> None:
    """What the batch wrote to the static row before goes, and what comes after stays."""
    write, delete = event("u", (1,), {"s": 1}), event("p", (1,))
    assert merge(TARGETS, [write, delete]).statics == {}
    assert merge(TARGETS, [delete, write]).statics[1,].values == {"s": 1}


def test_a_range_of_which_postgres_finds_the_rows() -> None:
    """The delete has its place in the batch; one of the whole partition behind it makes it
    needless.
    """
    bounds = Bounds((1,), True, (), True)
    delete = event("g", (1,), bounds=bounds)
    effects = merge(TARGETS, [event("c", (2, 1, 1)), delete])
    assert effects.range_deletes == {(1,): [RangeDelete(bounds, 1)]}
    assert merge(TARGETS, [delete, event("p", (1,))]).range_deletes == {}


def test_a_range_that_postgres_cannot_find() -> None:
    """Its rows of the batch are deleted one by one, and the partition is read for the others."""
    low, high = "00000000-0000-4000-8000-000000000000", "f0000000-0000-4000-8000-000000000000"
    effects = merge(
        targets_of(UUIDS, "s"),
        [
            event("c", (1, high), table=UUIDS),
            event("c", (1, low), table=UUIDS),
            event("g", (1,), table=UUIDS, bounds=Bounds((high,), True, (), True)),
            event("u", (1, high), {"a": 1}, table=UUIDS),
        ],
    )
    assert effects.range_deletes == {}
    assert effects.refreshes == [2]
    deleted = merge(
        targets_of(UUIDS, "s"),
        [
            event("c", (1, high), {"a": 1}, table=UUIDS),
            event("g", (1,), table=UUIDS, bounds=Bounds((high,), True, (), True), time_us=7),
        ],
    )
    assert only(deleted) == Effect(Kind.DELETE, {}, 7, 1)
    assert {k: e.kind for k, e in effects.rows.items()} == {
        (1, high): Kind.REPLACE,
        (1, low): Kind.UPSERT,
    }


def test_expiry_is_that_of_what_the_row_holds() -> None:
    """The earliest and the latest are kept; what a delete removed expires no more."""
    key = (1, 1, 1)
    long = event("u", key, {"a": 1}, ttl_seconds=9, time_us=SECOND)
    short = event("u", key, {"n": put(1)}, ttl_seconds=2, time_us=SECOND)
    expires = only(merge(TARGETS, [long, short], [1500, 1500])).expires
    assert expires == (3 * SECOND, 11 * SECOND + SECOND // 2)
    assert merge(TARGETS, [long, short]).expires_ms == 3000
    assert only(merge(TARGETS, [long, event("d", key)])).expires is None
    assert merge(TARGETS, [event("u", key, {"a": 1})]).expires_ms is None


def test_a_write_time_of_the_writers_choice() -> None:
    """With a time of its own a write expires by the server's clock, which is not known: not after
    its publication and the TTL.
    """
    future = event("u", (1, 1, 1), {"a": 1}, ttl_seconds=2, time_us=500 * SECOND)
    past = event("u", (1, 1, 1), {"a": 1}, ttl_seconds=2, time_us=SECOND)
    assert only(merge(TARGETS, [future], [10_000])).expires == (12 * SECOND, 13 * SECOND)
    assert only(merge(TARGETS, [past], [10_000])).expires == (3 * SECOND, 13 * SECOND)


RANGES = Ranges(TARGETS.clustering_key)


def apply_one(rows: State, statics: State, change: ChangeEvent) -> None:
    """What one change does, written without looking at the code under test."""
    key = (*change.partition, *change.clustering)
    if change.op is Operation.PARTITION_DELETE:
        statics.pop(change.partition, None)
        for found in [k for k in rows if k[:1] == change.partition]:
            del rows[found]
    elif change.bounds is not None:
        for found in [k for k in rows if k[:1] == change.partition]:
            if RANGES.covers(change.bounds, found[1:]):
                del rows[found]
    elif change.is_static:
        _write(statics, change.partition, change, exists=False)
    elif change.op is Operation.DELETE:
        rows.pop(key, None)
    else:
        _write(rows, key, change, exists=change.op is not Operation.UPDATE)


def _write(state: State, key: tuple[Any, ...], change: ChangeEvent, *, exists: bool) -> None:
    if change.op is Operation.READ:
        state.pop(key, None)
    row = state.get(key, {})
    makes = exists or bool(change.values) or any(e.put for e in change.elements.values())
    if key not in state and not makes:
        return
    row |= dict(change.values) | dict.fromkeys(change.nulls)
    for name, part in change.elements.items():
        put_now: Any = part.put or ()
        members = {*(row.get(name) or ()), *put_now} - {*part.removed}
        row[name] = sorted(members) or None
    state[key] = {n: v for n, v in row.items() if v is not None}
    if change.is_static and not state[key]:
        del state[key]


def apply_batch(rows: State, statics: State, batch: Sequence[ChangeEvent]) -> None:
    """What the merged effects of a batch do, as the statements would."""
    merged = merge(TARGETS, batch)
    for partition in merged.partition_deletes:
        statics.pop(partition, None)
        for found in [k for k in rows if k[:1] == partition]:
            del rows[found]
    for partition, deletes in merged.range_deletes.items():
        for found in [k for k in rows if k[:1] == partition]:
            if any(RANGES.covers(d.bounds, found[1:]) for d in deletes):
                del rows[found]
    _apply_effects(rows, merged.rows)
    _apply_effects(statics, merged.statics)
    for key in [k for k, v in statics.items() if not v]:
        del statics[key]


def _apply_effects(state: State, effects: Mapping[tuple[Any, ...], Effect]) -> None:
    for key, effect in effects.items():
        if effect.kind in (Kind.DELETE, Kind.REPLACE):
            before = state.pop(key, {})
        if effect.kind is Kind.DELETE or (effect.kind is Kind.UPDATE and key not in state):
            continue
        before = state.get(key, {})
        for name, value in effect.values.items():
            after = patched(SET, before.get(name), value) if isinstance(value, Patch) else value
            before[name] = after
        state[key] = {n: v for n, v in before.items() if v is not None}


SMALL = st.integers(0, 2)
KEYS = st.tuples(st.integers(0, 1), SMALL, SMALL)
PARTITIONS = st.tuples(st.integers(0, 1))
ELEMENTS = st.builds(
    lambda added, removed: Elements(added or None, tuple(removed)),
    st.lists(SMALL, max_size=2, unique=True),
    st.lists(SMALL, max_size=2),
)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from([None, 1, 2]),
        "n": st.one_of(st.none(), st.just([1]), ELEMENTS, ELEMENTS),
    },
)
FULL = st.fixed_dictionaries({}, optional={"a": SMALL, "n": st.just([0, 2])})
PREFIX = st.lists(SMALL, max_size=2).map(tuple)
BOUNDS = st.builds(Bounds, PREFIX, st.booleans(), PREFIX, st.booleans())
STATICS = st.fixed_dictionaries({"s": st.sampled_from([None, 1, 2])})
EVENTS = st.lists(
    st.one_of(
        st.builds(event, st.sampled_from(["c", "u", "u"]), KEYS, VALUES),
        st.builds(event, st.just("r"), KEYS, FULL),
        st.builds(event, st.just("d"), KEYS),
        st.builds(event, st.just("p"), PARTITIONS),
        st.builds(event, st.just("u"), PARTITIONS, STATICS),
        st.builds(lambda key, bounds: event("g", key, bounds=bounds), PARTITIONS, BOUNDS),
    ),
    max_size=10,
)


@settings(max_examples=500)
@given(EVENTS, st.lists(st.integers(0, 10), max_size=2))
def test_batches_do_what_single_changes_do(events: list[ChangeEvent], cuts: list[int]) -> None:
    """However changes are cut into batches, rows and statics are those of one after another."""
    expected: tuple[State, State] = {}, {}
    for change in events:
        apply_one(*expected, change)
    found: tuple[State, State] = {}, {}
    bounds = [0, *sorted(min(c, len(events)) for c in cuts), len(events)]
    for start, end in itertools.pairwise(bounds):
        apply_batch(*found, events[start:end])
    assert found == expected
