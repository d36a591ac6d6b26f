"""Type overrides: what a column may be in the target, and what becomes of its values."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdcd.model.casts import cast, rules_of
from cdcd.model.cqltype import parse
from cdcd.model.typemap import ATOMIC, Replaced, UnstorableValue, postgres_type

NUMBER_1_25 = {"scale": 2, "value": (125).to_bytes(1, "big")}
BIG = {"scale": 0, "value": (2**63).to_bytes(9, "big")}
DURATION = {"months": 1, "days": -2, "nanoseconds": -1_999}


@pytest.mark.parametrize(
    ("text", "wanted", "value", "expected"),
    [
        ("int", "bigint", 7, 7),
        ("int", "NUMERIC", 7, Decimal(7)),
        ("int", "numeric(3)", 999, Decimal(999)),
        ("varint", "int8", {"scale": 0, "value": b"\x07"}, 7),
        ("decimal", "numeric(3, 2)", NUMBER_1_25, Decimal("1.25")),
        ("float", "double precision", 0.5, 0.5),
        ("double", "numeric", 0.1, Decimal("0.1")),
        ("text", "varchar(3)", "abc", "abc"),
        ("text", "character varying", "abc", "abc"),
        (
            "text",
            "uuid",
            "{00000000000040008000000000000000}",
            "00000000-0000-4000-8000-000000000000",
        ),
        ("text", "jsonb", '{"a": 1}', '{"a": 1}'),
        ("text", "jsonb", r'"\\u0000"', r'"\\u0000"'),
        ("timestamp", "timestamp", 946_684_800_000, (0,)),
        ("timestamp", "bigint", 5, 5),
        ("time", "bigint", 1, 1),
        ("duration", "interval", DURATION, (1, -2, -1)),
        ("uuid", "text", "x", "x"),
        ("boolean", "text", True, "true"),
        ("double", "text", float("-inf"), "-Infinity"),
        ("blob", "text", b"\x00", "AA=="),
        ("list<int>", "text", [1, 2], "[1,2]"),
        ("int", "jsonb", 7, "7"),
        ("date", "jsonb", 0, '"1970-01-01"'),
    ],
)
def test_a_value_in_another_type(text: str, wanted: str, value: Any, expected: Any) -> None:
    """The whole value is kept, by the rule of its two types."""
    found = cast(parse(text), wanted).convert(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ("varint", "bigint", BIG),
        ("int", "numeric(3)", 1000),
        ("decimal", "numeric(3,1)", NUMBER_1_25),
        ("double", "numeric", float("nan")),
        ("text", "varchar(3)", "abcd"),
        ("text", "varchar", "a\0"),
        ("text", "uuid", "abc"),
        ("text", "jsonb", "{"),
        ("text", "jsonb", "[NaN]"),
        ("text", "jsonb", '{"a": ["\\u0000"]}'),
        ("text", "jsonb", '{"\\ud800": 1}'),
        ("double", "jsonb", float("inf")),
        ("timestamp", "timestamp", 2**62),
    ],
)
def test_a_value_that_does_not_fit_is_refused(text: str, wanted: str, value: Any) -> None:
    """Nothing is cut or rounded to make it fit."""
    with pytest.raises(UnstorableValue):
        cast(parse(text), wanted).convert(value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("bigint", "int"),
        ("double", "real"),
        ("text", "int"),
        ("list<int>", "integer[]"),
        ("int", "bigint(3)"),
        ("text", "varchar(0)"),
        ("text", "varchar(1,2)"),
        ("decimal", "numeric(2,3)"),
        ("int", "text; DROP TABLE x"),
    ],
)
def test_another_cast_is_refused(text: str, wanted: str) -> None:
    """What would lose values, and what is no type, cannot be set."""
    with pytest.raises(ValueError, match=r"is not written to|is no type"):
        cast(parse(text), wanted)


def test_the_choices_are_listed() -> None:
    """A refusal names what may be set instead."""
    with pytest.raises(ValueError, match="integer, bigint, numeric, text, jsonb"):
        cast(parse("int"), "inet")


@pytest.mark.parametrize("name", [*ATOMIC, "list<int>", "map<int, int>", "tuple<int>"])
def test_every_type_has_jsonb_and_its_own(name: str) -> None:
    """Text and jsonb are for anything, and a type's own needs no rule."""
    cql = parse(name)
    kinds = {postgres_type(cql), *rules_of(cql)}
    assert {"jsonb", "text"} <= kinds
    assert cast(cql, postgres_type(cql)) == cast(cql, None)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_in_numeric_reads_as_itself(value: float) -> None:
    """The number is the float's own, whatever it is."""
    assert float(cast(parse("double"), "numeric").convert(value)) == value


def test_replaced_values() -> None:
    """What would be refused is replaced where that is asked for, and the rest is as ever."""
    replaced = Replaced(nul_characters=True, not_finite=True, dates=True)
    assert cast(parse("text"), None, replaced).convert("a\0b") == "a\ufffdb"
    assert cast(parse("text"), "varchar(2)", replaced).convert("\0b") == "\ufffdb"
    assert cast(parse("double"), "numeric", replaced).convert(float("nan")) is None
    assert cast(parse("double"), None, replaced).convert(float("inf")) == float("inf")
    nested = cast(parse("map<text, frozen<list<double>>>"), None, replaced)
    assert nested.convert({"k\0": [float("nan"), 1.5]}) == '{"k\ufffd":["NaN",1.5]}'
    assert cast(parse("date"), None, replaced).convert(2**31 - 1) == (2**31 - 1,)
    assert cast(parse("date"), None, replaced).convert(-(2**31)) == (-(2**31),)
    assert cast(parse("timestamp"), None, replaced).convert(2**62) == (2**63 - 1,)
    assert cast(parse("timestamp"), None, replaced).convert(-(2**62)) == (-(2**63),)
    with pytest.raises(UnstorableValue):
        cast(parse("text"), "uuid", replaced).convert("a\0")
