"""Digests of rows from their CQL bytes."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cdcd.model.cqltype import CqlType, parse
from cdcd.model.cqlvalue import decoder
from cdcd.model.jsonvalue import from_json, scaled
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.model.typemap import UnstorableValue, to_json, to_postgres, unscaled
from cdcd.reconcile.digest import UNSTORABLE, Form, RowForm, form_of, jsonb_text
from cdcd.sink.target import targets_of
from tests.unit import cql_values

Made = tuple[list[Column], list[bytes | None]]


@st.composite
def _rows(draw: st.DrawFn) -> Made:
    """Columns of some types, and a row of them."""
    cqls = draw(st.lists(cql_values.types, min_size=1, max_size=5))
    columns = [Column(f"v{n}", cql, ColumnKind.REGULAR) for n, cql in enumerate(cqls)]
    raws = [draw(st.none() | _raws(cql)) for cql in cqls]
    return columns, raws


def _raws(cql: CqlType) -> st.SearchStrategy[bytes]:
    return cql_values.values(cql).map(lambda v: cql_values.serialized(cql, v.driver))


KEY = [Column("id", CqlType("int"), ColumnKind.PARTITION_KEY)]
ID = b"\x00\x00\x00\x07"


def _digest(columns: Sequence[Column], raws: Sequence[bytes | None]) -> bytes:
    rows = targets_of(TableSpec("ks", "t", (*KEY, *columns)), "s").rows
    form = RowForm(rows.key, rows.columns)
    by_name = {c.name: raw for c, raw in zip(columns, raws, strict=True)}
    return form.digest([ID, *(by_name[c.name] for c in form.columns)])


def _form(cql: CqlType) -> Form:
    spec = TableSpec("ks", "t", (*KEY, Column("v", cql, ColumnKind.REGULAR)))
    return form_of(targets_of(spec, "s").rows.columns[0])


@settings(deadline=None)
@given(_rows(), st.randoms())
def test_order_of_columns_is_no_matter(made: Made, chance: object) -> None:
    """The digest is the same in whatever order the columns are given."""
    columns, raws = made
    pairs = list(zip(columns, raws, strict=True))
    chance.shuffle(pairs)  # type: ignore[attr-defined]
    assert _digest(columns, raws) == _digest([c for c, _ in pairs], [r for _, r in pairs])


@settings(deadline=None)
@given(_rows(), st.data())
def test_any_other_value_gives_another_digest(made: Made, data: st.DataObject) -> None:
    """A column with a value that PostgreSQL tells apart, or null, changes the digest."""
    columns, raws = made
    at = data.draw(st.integers(0, len(columns) - 1))
    cql = columns[at].type
    value = data.draw(st.none() | cql_values.values(cql))
    other = None if value is None else cql_values.serialized(cql, value.driver)
    assume(_bound(cql, raws[at]) != _bound(cql, other))
    changed = [*raws[:at], other, *raws[at + 1 :]]
    assert _digest(columns, raws) != _digest(columns, changed)


def _bound(cql: CqlType, raw: bytes | None) -> object:
    value = None if raw is None else decoder(cql)(raw)
    try:
        bound = None if value is None else to_postgres(cql)(value)
    except UnstorableValue:
        return UNSTORABLE
    return str(bound) if isinstance(bound, float) else bound


@settings(deadline=None)
@given(cql_values.types.flatmap(lambda c: st.tuples(st.just(c), cql_values.values(c))))
def test_keys_come_back_from_the_target(made: tuple[CqlType, cql_values.Value]) -> None:
    """The CQL bytes that are made of a target's value stand for the same value there; where the
    form says that it is exact they are the very same bytes.
    """
    cql, value = made
    raw = cql_values.serialized(cql, value.driver)
    form = _form(cql)
    canonical = form.canonical(raw)
    assume(canonical not in (None, UNSTORABLE) and _bound(cql, raw) != UNSTORABLE)
    assert canonical is not None
    back = form.to_cql(canonical)
    assert form.canonical(back) == canonical
    if form.is_exact:
        assert back == raw


@settings(deadline=None)
@given(cql_values.types.flatmap(lambda c: st.tuples(st.just(c), cql_values.values(c))))
def test_json_goes_both_ways(made: tuple[CqlType, cql_values.Value]) -> None:
    """A value's JSON gives the JSON again when it has gone back to its Avro form."""
    cql, value = made
    try:
        plain = to_json(cql)(value.avro)
    except UnstorableValue:
        assume(condition=False)
    assert to_json(cql)(from_json(cql)(plain)) == plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"bb": 1, "a": 2, "ü": 3}, '{"a": 2, "bb": 1, "ü": 3}'),
        ([1.0, -0.0, 1e22, 1.5e-7], "[1.0, 0.0, 10000000000000000000000, 0.00000015]"),
        (['\n\x01"\\', None, True, {}], '["\\n\\u0001\\"\\\\", null, true, {}]'),
    ],
)
def test_jsonb_is_written_as_postgresql_does(value: object, text: str) -> None:
    """Keys by length, numbers without exponent, and the escapes of `escape_json`."""
    assert jsonb_text(value) == text


def test_scale_of_a_number_is_no_difference() -> None:
    """1.5 and 1.50 are one number, as in PostgreSQL."""
    columns = [Column("v", parse("decimal"), ColumnKind.REGULAR)]
    one, other = b"\x00\x00\x00\x01\x0f", b"\x00\x00\x00\x02\x00\x96"
    assert _digest(columns, [one]) == _digest(columns, [other])
    assert unscaled(scaled(Decimal("-1.50"))) == Decimal("-1.50")


def test_null_empty_and_nothing_are_told_apart() -> None:
    """An empty text is a value, an "empty" int is null, as for the sink."""
    text = [Column("v", parse("text"), ColumnKind.REGULAR)]
    number = [Column("v", parse("int"), ColumnKind.REGULAR)]
    assert _digest(text, [b""]) != _digest(text, [None])
    assert _digest(number, [b""]) == _digest(number, [None])


def test_refused_keys_are_rows_of_their_own() -> None:
    """Rows whose keys are refused are neither each other nor the row that they look like."""
    for cql, raws in {
        "time": [(n).to_bytes(8, "big") for n in (1000, 1001, 1002)],
        "double": [bytes.fromhex(h + "00" * 7) for h in ("00", "80")],
        "frozen<list<float>>": [bytes.fromhex(f"0000000100000004{b}000000") for b in ("00", "80")],
    }.items():
        spec = TableSpec("ks", "t", (Column("p", parse(cql), ColumnKind.PARTITION_KEY),))
        form = RowForm(targets_of(spec, "s").rows.key, ())
        assert len({form.key_of([raw]) for raw in raws}) == len(raws)
        assert len({form.digest([raw]) for raw in raws}) == len(raws)


def test_scale_tells_partitions_apart() -> None:
    """1.5 and 1.50 are two partitions, and one clustering value."""
    one, other = b"\x00\x00\x00\x01\x0f", b"\x00\x00\x00\x02\x00\x96"
    for kind, keys in ((ColumnKind.PARTITION_KEY, 2), (ColumnKind.CLUSTERING, 1)):
        first = Column("p", parse("int"), ColumnKind.PARTITION_KEY)
        spec = TableSpec("ks", "t", (first, Column("n", parse("decimal"), kind)))
        form = RowForm(targets_of(spec, "s").rows.key, ())
        assert len({form.key_of([bytes(4), raw]) for raw in (one, other)}) == keys
