"""The one table of types: CQL, Avro, PostgreSQL, and the values between them.

An atomic type is one row of `ATOMIC`; nested types are composed. Values are decoded from CQL by
`cdcd.model.cqlvalue`. On the wire a value has its Avro form, as `docs/TYPES.md` shows; from there
`to_postgres` makes what the PostgreSQL driver binds, and nested values become JSON text.
"""

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import lru_cache
from typing import Any

from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import field_names, has_text_keys

Converter = Callable[[Any], Any]

# PostgreSQL counts from 2000-01-01 (its `POSTGRES_EPOCH_JDATE`).
_PG_EPOCH_DAYS = 10_957
_PG_EPOCH_US = _PG_EPOCH_DAYS * 86_400_000_000
# Bounds of PostgreSQL's date (5874897-12-31) and timestamptz (294276-12-31), as it counts them.
_PG_DATE_MIN, _PG_DATE_MAX = -2_451_545, 2_145_031_948
_PG_TIMESTAMP_MIN, _PG_TIMESTAMP_END = -211_813_488_000_000_000, 9_223_371_331_200_000_000

# How its binary protocol has `-infinity` and `infinity`.
_PG_DATE_INFINITIES = -(2**31), 2**31 - 1
_PG_TIMESTAMP_INFINITIES = -(2**63), 2**63 - 1

# Digits of PostgreSQL's numeric before and after the decimal point. Past them a value of ten bytes
# would be gigabytes of zeros.
_PG_NUMERIC_WHOLE, _PG_NUMERIC_FRACTION = 131_072, 16_383

EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


# Types of clustering columns that PostgreSQL can be told to order as CQL does; `cdcd.sink.orders`
# says how. Of a partition with others a range of rows is not known there.
ORDERED_ALIKE = frozenset(
    {
        *("tinyint", "smallint", "int", "bigint", "varint", "decimal"),
        *("boolean", "blob", "timestamp", "date", "ascii", "text", "timeuuid"),
    }
)


class UnstorableValue(ValueError):
    """A value that the source can hold and PostgreSQL's type cannot."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """Which values that PostgreSQL cannot hold are replaced; the others raise UnstorableValue."""

    nul_characters: bool = False
    """A NUL character in text becomes U+FFFD."""
    not_finite: bool = False
    """NaN and infinities become the texts "NaN", "Infinity" and "-Infinity" inside of jsonb, which
    PostgreSQL casts to floats, and null in numeric.
    """
    dates: bool = False
    """A date or a timestamp past PostgreSQL's ends becomes `-infinity` or `infinity`."""


NOTHING_REPLACED = Replaced()


@dataclass(frozen=True, slots=True)
class AtomicType:
    """One row of the table. `avro` is a schema; the converters take the Avro form."""

    cql: str
    avro: Any
    postgres: str
    to_postgres: Converter
    to_json: Converter


def same(value: Any) -> Any:
    """The form of a type whose Avro form is what the driver binds."""
    return value


def unscaled(value: dict[str, Any]) -> Decimal:
    """The number of a `{scale, value}` record, exactly. Raises UnstorableValue past numeric."""
    scale = value["scale"]
    digits = int.from_bytes(value["value"], "big", signed=True)
    number = Decimal(digits).scaleb(-scale, EXACT)
    if scale > _PG_NUMERIC_FRACTION or number.adjusted() >= _PG_NUMERIC_WHOLE:
        raise UnstorableValue(f"a number with scale {scale} is outside of numeric")
    return number


def _pg_timestamp(ms: int) -> tuple[int]:
    us = ms * 1000 - _PG_EPOCH_US
    if not _PG_TIMESTAMP_MIN <= us < _PG_TIMESTAMP_END:
        raise UnstorableValue(f"timestamp {ms} ms is outside of timestamptz")
    return (us,)


def _pg_date(days: int) -> tuple[int]:
    moved = days - _PG_EPOCH_DAYS
    if not _PG_DATE_MIN <= moved <= _PG_DATE_MAX:
        raise UnstorableValue(f"date {days} days from 1970 is outside of date")
    return (moved,)


def _pg_timestamp_or_infinity(ms: int) -> tuple[int]:
    us = ms * 1000 - _PG_EPOCH_US
    if us < _PG_TIMESTAMP_MIN:
        return (_PG_TIMESTAMP_INFINITIES[0],)
    return (us,) if us < _PG_TIMESTAMP_END else (_PG_TIMESTAMP_INFINITIES[1],)


def _pg_date_or_infinity(days: int) -> tuple[int]:
    moved = days - _PG_EPOCH_DAYS
    if moved < _PG_DATE_MIN:
        return (_PG_DATE_INFINITIES[0],)
    return (moved,) if moved <= _PG_DATE_MAX else (_PG_DATE_INFINITIES[1],)


def _pg_time(ns: int) -> tuple[int]:
    return (ns // 1000,)  # cut, not rounded: PostgreSQL has microseconds


def _pg_text(text: str) -> str:
    if "\x00" in text:
        raise UnstorableValue("text with a NUL character")
    return text


def _text_without_nul(text: str) -> str:
    return text.replace("\x00", "\ufffd")


def _json_number_or_text(value: float) -> float | str:
    return value if math.isfinite(value) else json.dumps(value)


def _json_number(value: float) -> float:
    if not math.isfinite(value):
        raise UnstorableValue(f"{value} inside of jsonb")
    return value


def _json_date(days: int) -> str:
    year, month, day = _civil(days)
    sign = "" if 0 <= year <= 9999 else "-" if year < 0 else "+"
    return f"{sign}{abs(year):0{4 if not sign else 6}d}-{month:02d}-{day:02d}"


def _json_time(ns: int) -> str:
    seconds, fraction = divmod(ns, 1_000_000_000)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}.{fraction:09d}"


def _json_timestamp(ms: int) -> str:
    days, rest = divmod(ms, 86_400_000)
    return f"{_json_date(days)}T{_json_time(rest * 1_000_000)[:12]}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Proleptic Gregorian year, month, day of a day count from 1970-01-01, without limits.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    return year_of_era + era * 400 + (month <= 2), month, day


_DECIMAL = {
    "type": "record",
    "name": "io.debezium.data.VariableScaleDecimal",
    "fields": [{"name": "scale", "type": "int"}, {"name": "value", "type": "bytes"}],
}
_DURATION = {
    "type": "record",
    "name": "cdcd.Duration",
    "fields": [
        {"name": "months", "type": "int"},
        {"name": "days", "type": "int"},
        {"name": "nanoseconds", "type": "long"},
    ],
}
_UUID = {"type": "string", "logicalType": "uuid"}
_NANO_TIME = {"type": "long", "connect.name": "io.debezium.time.NanoTime"}


def _number_text(value: dict[str, Any]) -> str:
    return format(unscaled(value), "f")


ATOMIC: dict[str, AtomicType] = {
    row.cql: row
    for row in (
        AtomicType("ascii", "string", "text", _pg_text, _pg_text),
        AtomicType("text", "string", "text", _pg_text, _pg_text),
        AtomicType("tinyint", "int", "smallint", same, same),
        AtomicType("smallint", "int", "smallint", same, same),
        AtomicType("int", "int", "integer", same, same),
        AtomicType("bigint", "long", "bigint", same, same),
        AtomicType("varint", _DECIMAL, "numeric", unscaled, _number_text),
        AtomicType("decimal", _DECIMAL, "numeric", unscaled, _number_text),
        AtomicType("float", "float", "real", same, _json_number),
        AtomicType("double", "double", "double precision", same, _json_number),
        AtomicType("boolean", "boolean", "boolean", same, same),
        AtomicType("blob", "bytes", "bytea", same, lambda b: base64.b64encode(b).decode()),
        AtomicType("uuid", _UUID, "uuid", same, same),
        AtomicType("timeuuid", _UUID, "uuid", same, same),
        AtomicType("inet", "string", "inet", same, same),
        AtomicType(
            "timestamp",
            {"type": "long", "logicalType": "timestamp-millis"},
            "timestamptz",
            _pg_timestamp,
            _json_timestamp,
        ),
        AtomicType("date", {"type": "int", "logicalType": "date"}, "date", _pg_date, _json_date),
        AtomicType("time", _NANO_TIME, "time", _pg_time, _json_time),
        AtomicType(
            "duration", _DURATION, "jsonb", lambda v: json.dumps(v, separators=(",", ":")), same
        ),
    )
}


def check_supported(cql: CqlType) -> None:
    """Raise ValueError, naming the type, when a column of this type cannot be replicated yet."""
    if cql.args:
        for arg in cql.args:
            check_supported(arg)
    elif cql.name not in ATOMIC:
        raise ValueError(f"type {cql} is not supported")


def postgres_type(cql: CqlType) -> str:
    """The column type in PostgreSQL; everything nested is jsonb."""
    return ATOMIC[cql.name].postgres if cql.name in ATOMIC else "jsonb"


# For each strict form: which rule replaces what it refuses, and the form that does.
_REPLACING: Mapping[Converter, tuple[str, Converter]] = {
    _pg_text: ("nul_characters", _text_without_nul),
    _json_number: ("not_finite", _json_number_or_text),
    _pg_date: ("dates", _pg_date_or_infinity),
    _pg_timestamp: ("dates", _pg_timestamp_or_infinity),
}


def _by_rule(strict: Converter, replaced: Replaced) -> Converter:
    rule, replacing = _REPLACING.get(strict, ("", strict))
    return replacing if rule and getattr(replaced, rule) else strict


@lru_cache(maxsize=4096)
def to_postgres(cql: CqlType, replaced: Replaced = NOTHING_REPLACED) -> Converter:
    """From a value's Avro form to what the driver binds.

    timestamptz, date and time are the one-element tuples of the binary protocol (see
    `cdcd.sink.pool`). The converter raises UnstorableValue.
    """
    if cql.name in ATOMIC:
        return _by_rule(ATOMIC[cql.name].to_postgres, replaced)
    form = to_json(cql, replaced)
    return lambda value: json_text(form(value))


def json_text(value: Any) -> str:
    """A document for jsonb, of what `to_json` has made."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@lru_cache(maxsize=4096)
def to_json(cql: CqlType, replaced: Replaced = NOTHING_REPLACED) -> Converter:
    """From a value's Avro form to plain JSON values, as they stand inside of jsonb."""
    if cql.name in ATOMIC:
        return _by_rule(ATOMIC[cql.name].to_json, replaced)
    parts = [_nullable(to_json(a, replaced)) for a in cql.args]
    if cql.name in ("list", "set", "vector"):
        return lambda value: [parts[0](e) for e in value]
    text = _by_rule(_pg_text, replaced)
    if cql.name in ("tuple", "udt"):
        names = field_names(cql)
        if cql.name == "tuple":
            return lambda value: [p(value[n]) for n, p in zip(names, parts, strict=True)]
        # A value that was written before the type gained a field lacks it, which is NULL.
        return lambda value: {text(n): p(value.get(n)) for n, p in zip(names, parts, strict=True)}
    if has_text_keys(cql):
        return lambda value: {text(k): parts[1](v) for k, v in value.items()}
    return lambda value: [[parts[0](e["key"]), parts[1](e["value"])] for e in value]


def _nullable(convert: Converter) -> Converter:
    return lambda value: None if value is None else convert(value)
