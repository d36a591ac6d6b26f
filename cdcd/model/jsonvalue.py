"""Values inside of the target's jsonb back to their Avro form: the inverse of `typemap.to_json`.

Keys of nested types are read from the target this way, to ask the source for their rows.
"""

import base64
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import field_names, has_text_keys
from cdcd.model.typemap import EXACT

Converter = Callable[[Any], Any]

_DATE = re.compile(r"([+-]?\d+)-(\d\d)-(\d\d)")
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)\.(\d+)")


def _same(value: Any) -> Any:
    return value


def scaled(number: Decimal) -> dict[str, Any]:
    """A number as a `{scale, value}` record, with the digits that it is written with."""
    scale = -int(number.as_tuple().exponent)
    value = int(number.scaleb(scale, EXACT))
    size = (value + (value < 0)).bit_length() // 8 + 1
    return {"scale": scale, "value": value.to_bytes(size, "big", signed=True)}


def _number(text: str) -> dict[str, Any]:
    return scaled(Decimal(text))


def _date(text: str) -> int:
    found = _DATE.match(text)
    if found is None:
        raise ValueError("not a date")
    return _days(*map(int, found.groups()))


def _time(text: str) -> int:
    found = _TIME.match(text)
    if found is None:
        raise ValueError("not a time")
    hours, minutes, seconds = map(int, found.groups()[:3])
    return (hours * 3600 + minutes * 60 + seconds) * 10**9 + int(found[4].ljust(9, "0"))


def _timestamp(text: str) -> int:
    day, time = text.removesuffix("Z").split("T")
    return _date(day) * 86_400_000 + _time(time) // 1_000_000


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 of a proleptic Gregorian date, without limits.

    Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
    """
    era, year_of_era = divmod(year - (month <= 2), 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


_ATOMIC: dict[str, Converter] = {
    "varint": _number,
    "decimal": _number,
    "blob": base64.b64decode,
    "timestamp": _timestamp,
    "date": _date,
    "time": _time,
}


@lru_cache(maxsize=4096)
def from_json(cql: CqlType) -> Converter:
    """From plain JSON values to the Avro form. The converter raises ValueError and its kin."""
    if not cql.args:
        return _ATOMIC.get(cql.name, _same)
    parts = [_nullable(from_json(a)) for a in cql.args]
    if cql.name in {"list", "set", "vector"}:
        return lambda value: [parts[0](e) for e in value]
    if cql.name in {"tuple", "udt"}:
        names = field_names(cql)
        return lambda value: {
            n: p(v) for n, p, v in zip(names, parts, _fields(value, names), strict=True)
        }
    if has_text_keys(cql):
        return lambda value: {k: parts[1](v) for k, v in value.items()}
    return lambda value: [{"key": parts[0](k), "value": parts[1](v)} for k, v in value]


def _fields(value: Any, names: tuple[str, ...]) -> list[Any]:
    # What lacks a field has null there.
    return [value.get(n) for n in names] if isinstance(value, dict) else list(value)


def _nullable(convert: Converter) -> Converter:
    return lambda value: None if value is None else convert(value)
