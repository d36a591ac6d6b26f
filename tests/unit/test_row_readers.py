"""Straight-line readers of a log row read what the decoders of the columns' types do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.cqltype import ATOMIC, CqlType
from cdcd.model.cqlvalue import decoder, empty_is_a_value
from cdcd.model.table import Column, ColumnKind
from cdcd.source.row_readers import atomic_reader, key_reader
from tests.unit import cql_values
from tests.unit.cql_values import serialized

MARK = b"\x01"


def _column(cql: CqlType) -> Column:
    return Column("a", cql, ColumnKind.REGULAR)


@given(st.data())
def test_values_of_every_type(data: st.DataObject) -> None:
    """A value of any type is what its decoder makes of it, in a key and elsewhere."""
    cql = data.draw(cql_values.types)
    raw = serialized(cql, data.draw(cql_values.values(cql)).driver)
    if not raw and not empty_is_a_value(cql):
        return
    expected = decoder(cql)(raw)
    (key,) = key_reader([_column(cql)], 1)((None, raw))
    values: dict[str, object] = {}
    said = atomic_reader([(1, _column(cql))])((None, raw, None), values)
    assert cql_values.same(key, expected)
    assert cql_values.same(values["a"], expected)
    assert said == ([], None)


@pytest.mark.parametrize("name", sorted(ATOMIC - {"counter"}))
@pytest.mark.parametrize("deleted", [None, MARK])
def test_what_is_not_there(name: str, deleted: bytes | None) -> None:
    """No bytes are no value, and null only where the column was deleted."""
    column = _column(CqlType(name))
    values: dict[str, object] = {}
    said = atomic_reader([(0, column)])((None, deleted), values)
    assert (said, values) == ((["a"] if deleted else [], None), {})
    assert key_reader([column], 0)((None,)) == (None,)


@pytest.mark.parametrize("name", sorted(ATOMIC - {"counter"}))
def test_the_empty_value(name: str) -> None:
    """Zero bytes are a value of text and blobs; of another type they are null, and were written."""
    cql = CqlType(name)
    values: dict[str, object] = {}
    said = atomic_reader([(0, _column(cql))])((b"", None), values)
    expected = decoder(cql)(b"")
    assert key_reader([_column(cql)], 0)((b"",)) == (expected,)
    if empty_is_a_value(cql):
        assert (said, values) == (([], None), {"a": expected})
    else:
        assert (said, values, expected) == ((["a"], None), {}, None)


@pytest.mark.parametrize("raw", [b"", b"\x00\x00\x00\x01"])
def test_set_and_deleted(raw: bytes) -> None:
    """A column that is both is named: no delta has one."""
    column = _column(CqlType("int"))
    assert atomic_reader([(0, column)])((raw, MARK), {})[1] == "a"
