"""The order of CQL values as sort keys: in clustering order, in sets, among a map's keys. Pure.

A key is made of a value's Avro form or of its form inside jsonb; keys of one type and one form
compare as the servers compare the values, and are equal where the servers see one value.
"""

import base64
import socket
from collections.abc import Callable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import lru_cache
from typing import Any

from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import field_names, has_text_keys

SortKey = Any
OrderKey = Callable[[Any], SortKey]

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _same(value: Any) -> SortKey:
    return value


def _text(text: str) -> bytes:
    return text.encode()


def _number(value: float) -> tuple[bool, float]:
    """Not a number comes last."""
    return (False, value) if value == value else (True, 0.0)  # noqa: PLR0124  it is the test for NaN


def _json_number(value: float | str) -> tuple[bool, float]:
    """What JSON has no number for may stand there as text."""
    return _number(float(value))


def _timeuuid(text: str) -> tuple[int, bytes]:
    """Ticks, then the low bytes as signed bytes (ScyllaDB's `timeuuid_tri_compare`)."""
    raw = bytes.fromhex(text.replace("-", ""))
    return _ticks(raw), bytes(b ^ 0x80 for b in raw[8:])


def _uuid(text: str) -> tuple[int, int, bytes]:
    """Version first, then ticks where the version has them, then unsigned bytes."""
    raw = bytes.fromhex(text.replace("-", ""))
    version = raw[6] >> 4
    return version, _ticks(raw) if version == 1 else 0, raw[8:] if version == 1 else raw


def _ticks(raw: bytes) -> int:
    high = (raw[6] & 0x0F) << 56 | raw[7] << 48
    return high | int.from_bytes(raw[4:6], "big") << 32 | int.from_bytes(raw[:4], "big")


def _inet(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def _scaled(value: dict[str, Any]) -> Decimal:
    digits = int.from_bytes(value["value"], "big", signed=True)
    return Decimal(digits).scaleb(-value["scale"], _EXACT)


def _duration(value: dict[str, int]) -> tuple[int, ...]:
    # CQL does not order durations; inside of a bigger value they only have to differ.
    return value["months"], value["days"], value["nanoseconds"]


def _json_date(text: str) -> tuple[int, ...]:
    sign = -1 if text.startswith("-") else 1
    year, month, day = text.lstrip("+-").split("-")
    return sign * int(year), int(month), int(day)


def _json_timestamp(text: str) -> tuple[tuple[int, ...], str]:
    date, _, time = text.partition("T")
    return _json_date(date), time


# By type: the key of the Avro form, and of the form inside jsonb.
_ATOMIC: dict[str, tuple[OrderKey, OrderKey]] = {
    "ascii": (_text, _text),
    "text": (_text, _text),
    "tinyint": (_same, _same),
    "smallint": (_same, _same),
    "int": (_same, _same),
    "bigint": (_same, _same),
    "varint": (_scaled, Decimal),
    "decimal": (_scaled, Decimal),
    "float": (_number, _json_number),
    "double": (_number, _json_number),
    "boolean": (_same, _same),
    "blob": (_same, base64.b64decode),
    "uuid": (_uuid, _uuid),
    "timeuuid": (_timeuuid, _timeuuid),
    "inet": (_inet, _inet),
    "timestamp": (_same, _json_timestamp),
    "date": (_same, _json_date),
    "time": (_same, _same),
    "duration": (_duration, _duration),
}


def order_key(cql: CqlType) -> OrderKey:
    """The key of a value in its Avro form."""
    return _order_key(cql, json=False)


def json_order_key(cql: CqlType) -> OrderKey:
    """The key of a value as it stands inside jsonb."""
    return _order_key(cql, json=True)


@lru_cache(maxsize=4096)
def _order_key(cql: CqlType, *, json: bool) -> OrderKey:
    if cql.name in _ATOMIC:
        return _ATOMIC[cql.name][json]
    parts = [_nulls_first(_order_key(a, json=json)) for a in cql.args]
    if cql.name in ("list", "set", "vector"):
        return lambda value: [parts[0](e) for e in value]
    if cql.name == "map":
        return _map(cql, parts, json=json)
    names = field_names(cql)
    if json and cql.name == "tuple":
        return lambda value: [p(v) for p, v in zip(parts, value, strict=True)]
    return lambda value: [p(value.get(n)) for n, p in zip(names, parts, strict=True)]


def _map(cql: CqlType, parts: list[OrderKey], *, json: bool) -> OrderKey:
    def key(value: Any) -> SortKey:
        if has_text_keys(cql):
            pairs = list(value.items())
        else:
            pairs = value if json else [(e["key"], e["value"]) for e in value]
        return sorted((parts[0](k), parts[1](v)) for k, v in pairs)

    return key


def _nulls_first(order: OrderKey) -> OrderKey:
    return lambda value: (0,) if value is None else (1, order(value))
