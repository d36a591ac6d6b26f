"""From Avro forms to what PostgreSQL takes: exact at the edges, and refused past them."""

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdcd.model.cqltype import CqlType, UdtFields, parse
from cdcd.model.typemap import (
    ATOMIC,
    Converter,
    UnstorableValue,
    check_supported,
    postgres_type,
    to_json,
    to_postgres,
    unscaled,
)
from tests.unit import cql_values
from tests.unit.cql_values import twos_complement

UDTS: dict[str, UdtFields] = {"point": (("x", "int"), ("why?", "text"))}

# Days and microseconds from PostgreSQL's epoch, 2000-01-01, to the first and last that it takes.
FIRST_DAY, LAST_DAY = -2_451_545, 2_145_031_948
FIRST_MS = -210_866_803_200_000  # 4714-11-24 BC, from 1970
LAST_MS = 9_224_318_015_999_999  # 294276-12-31T23:59:59.999, from 1970
DAYS_TO_2000 = (date(2000, 1, 1) - date(1970, 1, 1)).days


def stored(text: str, value: object) -> Any:
    """What a value of the type is bound as."""
    return to_postgres(parse(text, UDTS))(value)


def inside(text: str, value: object) -> Any:
    """The JSON value that a value of the type is inside of a list."""
    return json.loads(stored(f"frozen<list<{text}>>", [value]))[0]


def number(unscaled_value: int, scale: int) -> dict[str, object]:
    """The Avro form of a decimal."""
    return {"scale": scale, "value": twos_complement(unscaled_value)}


@pytest.mark.parametrize(
    ("text", "postgres"),
    [
        ("tinyint", "smallint"),
        ("smallint", "smallint"),
        ("int", "integer"),
        ("bigint", "bigint"),
        ("varint", "numeric"),
        ("decimal", "numeric"),
        ("float", "real"),
        ("double", "double precision"),
        ("ascii", "text"),
        ("text", "text"),
        ("boolean", "boolean"),
        ("blob", "bytea"),
        ("uuid", "uuid"),
        ("timeuuid", "uuid"),
        ("inet", "inet"),
        ("timestamp", "timestamptz"),
        ("date", "date"),
        ("time", "time"),
        ("duration", "jsonb"),
        ("frozen<list<int>>", "jsonb"),
        ("frozen<map<text, int>>", "jsonb"),
        ("tuple<int, int>", "jsonb"),
        ("vector<float, 2>", "jsonb"),
        ("frozen<point>", "jsonb"),
    ],
)
def test_the_column_types(text: str, postgres: str) -> None:
    """Each CQL type has its type in PostgreSQL, and every nested one is jsonb."""
    assert postgres_type(parse(text, UDTS)) == postgres


@given(st.integers(0, 86_399_999_999_999))
def test_times_are_cut_to_microseconds(nanoseconds: int) -> None:
    """A time loses what is below a microsecond, and is never rounded up."""
    assert stored("time", nanoseconds) == (nanoseconds // 1000,)


def test_the_last_nanosecond_of_a_day_stays_in_it() -> None:
    """The last time of a day does not become 24:00."""
    assert stored("time", 86_399_999_999_999) == (86_399_999_999,)


@pytest.mark.parametrize("days", [FIRST_DAY, -1, 0, 1, LAST_DAY])
def test_dates_that_postgresql_takes(days: int) -> None:
    """Dates between 4714 BC and 5874897 count from 2000-01-01."""
    assert stored("date", days + DAYS_TO_2000) == (days,)


@pytest.mark.parametrize("days", [-(2**31), FIRST_DAY + DAYS_TO_2000 - 1, 2**31 - 1])
def test_dates_that_postgresql_refuses(days: int) -> None:
    """Dates outside of PostgreSQL's range raise UnstorableValue."""
    with pytest.raises(UnstorableValue, match="date"):
        stored("date", days)


def test_a_date_past_the_last_is_refused() -> None:
    """The day after PostgreSQL's last date raises UnstorableValue."""
    stored("date", LAST_DAY + DAYS_TO_2000)
    with pytest.raises(UnstorableValue, match="date"):
        stored("date", LAST_DAY + DAYS_TO_2000 + 1)


@pytest.mark.parametrize("ms", [FIRST_MS, -1, 0, 946_684_800_000, LAST_MS])
def test_timestamps_that_postgresql_takes(ms: int) -> None:
    """Timestamps between 4714 BC and 294276 count microseconds from 2000-01-01."""
    assert stored("timestamp", ms) == ((ms - 946_684_800_000) * 1000,)


@pytest.mark.parametrize("ms", [-(2**63), FIRST_MS - 1, LAST_MS + 1, 2**63 - 1])
def test_timestamps_that_postgresql_refuses(ms: int) -> None:
    """Timestamps outside of PostgreSQL's range raise UnstorableValue."""
    with pytest.raises(UnstorableValue, match="timestamp"):
        stored("timestamp", ms)


@pytest.mark.parametrize("text", ["text", "ascii"])
def test_nul_in_text_is_refused(text: str) -> None:
    """A NUL character, which PostgreSQL's text cannot hold, raises UnstorableValue."""
    with pytest.raises(UnstorableValue, match="NUL"):
        stored(text, "a\x00b")
    with pytest.raises(UnstorableValue, match="NUL"):
        inside(text, "\x00")
    with pytest.raises(UnstorableValue, match="NUL"):
        stored("frozen<map<text, int>>", {"\x00": 1})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("text", ["float", "double"])
def test_odd_floats_are_stored_but_not_inside_of_json(text: str, value: float) -> None:
    """NaN and infinities are values of a column, and raise UnstorableValue inside of jsonb."""
    assert repr(stored(text, value)) == repr(value)
    with pytest.raises(UnstorableValue, match="jsonb"):
        inside(text, value)


@given(st.integers(-(2**400), 2**400), st.integers(-20_000, 16_383))
def test_decimals_are_exact(digits: int, scale: int) -> None:
    """A decimal keeps every digit and its scale."""
    found = stored("decimal", number(digits, scale))
    sign, parts, exponent = found.as_tuple()
    assert (int("".join(map(str, parts))) * (-1) ** sign, exponent) == (digits, -scale)


@pytest.mark.parametrize("scale", [16_384, 2**31 - 1, -131_072, -1_000_001, -(2**31)])
@pytest.mark.parametrize("convert", [unscaled, to_json(CqlType("decimal"))])
def test_numbers_outside_of_numeric_are_refused(scale: int, convert: Converter) -> None:
    """A number with more digits than PostgreSQL's numeric raises UnstorableValue.

    Written out, ten bytes from the source would be two gigabytes of zeros.
    """
    with pytest.raises(UnstorableValue, match="numeric"):
        convert(number(7, scale))


@pytest.mark.parametrize("scale", [16_383, -131_071])
def test_the_farthest_numbers_are_exact(scale: int) -> None:
    """The farthest scales that PostgreSQL's numeric takes give the exact number."""
    assert unscaled(number(7, scale)) == Decimal((0, (7,), -scale))


def test_varints_are_whole_numbers() -> None:
    """A varint is a numeric without a fraction, of any length."""
    huge = -(10**4000) + 1
    assert stored("varint", number(huge, 0)) == Decimal(huge)


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("tinyint", -128, -128),
        ("bigint", 2**63 - 1, 2**63 - 1),
        ("float", 0.5, 0.5),
        ("double", 1e-300, 1e-300),
        ("boolean", False, False),
        ("decimal", number(-150, 2), "-1.50"),
        ("decimal", number(15, -3), "15000"),
        ("varint", number(-(2**127) - 1, 0), "-170141183460469231731687303715884105729"),
        ("uuid", "6ecd8c99-4036-403d-bf84-cf8400f67836", "6ecd8c99-4036-403d-bf84-cf8400f67836"),
        ("inet", "::1", "::1"),
        ("text", 'ż"ó\\', 'ż"ó\\'),
        ("blob", b"\x00\xff", "AP8="),
        ("date", 0, "1970-01-01"),
        ("date", -719_528, "0000-01-01"),
        ("date", -719_529, "-000001-12-31"),
        ("date", 2_932_897, "+010000-01-01"),
        ("time", 3_723_000_000_004, "01:02:03.000000004"),
        ("timestamp", -1, "1969-12-31T23:59:59.999Z"),
        ("timestamp", 253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        ("duration", dict.fromkeys(("months", "days", "nanoseconds"), -1), None),
    ],
)
def test_forms_inside_of_json(text: str, value: object, expected: object) -> None:
    """Inside of jsonb each type has the one form that the documentation promises."""
    assert inside(text, value) == (value if expected is None else expected)


def test_a_duration_is_json_of_its_parts() -> None:
    """A duration column is an object of months, days and nanoseconds."""
    value = {"months": 1, "days": -2, "nanoseconds": 3}
    assert json.loads(stored("duration", value)) == value


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("frozen<list<int>>", [2, 1, 2], [2, 1, 2]),
        ("frozen<set<text>>", ["b", "a"], ["b", "a"]),
        ("vector<float, 2>", [0.5, -1.0], [0.5, -1.0]),
        ("tuple<int, text>", {"f0": 1, "f1": None}, [1, None]),
        ("frozen<map<text, int>>", {"b": 1, "": 2}, {"b": 1, "": 2}),
        (
            "frozen<map<int, text>>",
            [{"key": 2, "value": "b"}, {"key": 1, "value": "a"}],
            [[2, "b"], [1, "a"]],
        ),
        ("frozen<point>", {"x": None, "why?": "so"}, {"x": None, "why?": "so"}),
        ("frozen<map<text, frozen<list<point>>>>", {"k": []}, {"k": []}),
    ],
)
def test_nested_values_are_json(text: str, value: object, expected: object) -> None:
    """Sequences are arrays in their order, text-keyed maps and UDTs objects, other maps pairs."""
    assert json.loads(stored(text, value)) == expected


def test_a_field_that_came_later_is_null() -> None:
    """A value from before its type gained a field, as records of an older schema have it."""
    assert json.loads(stored("point", {"x": 1})) == {"x": 1, "why?": None}


def test_text_in_json_is_not_escaped() -> None:
    """Text in jsonb is written as it is, without spaces between the parts."""
    assert stored("frozen<map<text, int>>", {"ż": 1, "b": 2}) == '{"ż":1,"b":2}'


@settings(max_examples=200)
@given(st.integers(-719_162, 2_932_896))
def test_dates_in_json_are_the_calendars(days: int) -> None:
    """A date inside of jsonb is the one that Python's own calendar gives."""
    assert inside("date", days) == (date(1970, 1, 1) + timedelta(days)).isoformat()


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_timestamps_in_json_are_utc(ms: int) -> None:
    """A timestamp inside of jsonb is the ISO 8601 text of its UTC time in milliseconds."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    expected = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert inside("timestamp", ms) == expected


@given(st.integers(-(2**31), 2**31 - 1))
def test_far_dates_in_json_have_a_sign(days: int) -> None:
    """A year outside of four digits is written with its sign and at least six digits."""
    text = inside("date", days)
    year = text.rsplit("-", 2)[0]
    assert len(year) == 4 or (year[0] in "+-" and len(year) >= 7)


@settings(max_examples=50)
@given(st.data())
def test_every_nested_value_is_json_or_refused(data: st.DataObject) -> None:
    """Any value of any nested type becomes JSON text, or raises UnstorableValue."""
    cql = data.draw(cql_values.types)
    value = data.draw(cql_values.values(CqlType("list", (cql,), frozen=True)))
    bounded = "decimal" not in str(cql)  # huge scales have tests of their own
    try:
        text = to_postgres(CqlType("list", (cql,), frozen=True))(value.avro if bounded else [])
    except UnstorableValue:
        return
    assert isinstance(json.loads(text), list)


@pytest.mark.parametrize("name", sorted(ATOMIC))
def test_every_atomic_type_is_supported(name: str) -> None:
    """Every type of the table can be a column."""
    check_supported(CqlType(name))


def test_what_is_not_supported_is_named() -> None:
    """A counter, alone or inside of a type, is refused by name."""
    for cql in (CqlType("counter"), CqlType("tuple", (CqlType("counter"),), frozen=True)):
        with pytest.raises(ValueError, match="counter"):
            check_supported(cql)
