"""The canonical form of a value in a topic, and what PostgreSQL must show for it.

By docs/WIRE.md and the table of types in the README's promises, with no code of the product.
"""

import base64
import ipaddress
import json
import struct
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Context, Decimal
from typing import Any

from tests.independent.cql import Cql

# A calendar repeats after 400 years, which Python's own, of years 1 to 9999, is moved by.
CYCLE_DAYS, CYCLE_YEARS = 146_097, 400
EXACT = Context(prec=1_000_000)


def from_avro(cql: Cql, value: Any) -> Any:
    """The canonical form of a value as the topic has it, read without logical types."""
    if value is None:
        return None
    name = cql.name
    if name in ("varint", "decimal"):
        unscaled = int.from_bytes(value["value"], "big", signed=True)
        assert name == "decimal" or value["scale"] == 0
        return (unscaled, value["scale"]) if name == "decimal" else unscaled
    simple: dict[str, Callable[[Any], Any]] = {
        "float": repr,
        "double": repr,
        "uuid": lambda v: v.replace("-", ""),
        "timeuuid": lambda v: v.replace("-", ""),
        "inet": lambda v: ipaddress.ip_address(v).packed.hex(),
        "duration": lambda v: (v["months"], v["days"], v["nanoseconds"]),
    }
    if name in simple:
        return simple[name](value)
    return _nested(cql, value) if cql.args else value


def _nested(cql: Cql, value: Any) -> Any:
    if cql.name == "map":
        key, of = cql.args
        if key.name in ("text", "ascii"):
            return tuple((k, from_avro(of, v)) for k, v in value.items())
        return tuple((from_avro(key, e["key"]), from_avro(of, e["value"])) for e in value)
    if cql.name == "tuple":
        return tuple(from_avro(a, value[f"f{n}"]) for n, a in enumerate(cql.args))
    if cql.name == "udt":
        parts = zip(cql.fields, cql.args, strict=True)
        return tuple((field, from_avro(a, value[avro_name(field)])) for field, a in parts)
    return tuple(from_avro(cql.args[0], v) for v in value)


def grown(cql: Cql, value: Any) -> Any:
    """A canonical value of the type as it was, for the type as it is: fields that came are null."""
    if cql.name == "udt" and isinstance(value, tuple):
        found = dict(value)
        parts = zip(cql.fields, cql.args, strict=True)
        return tuple((field, grown(a, found.get(field))) for field, a in parts)
    if cql.name == "map" and isinstance(value, tuple):
        return tuple((grown(cql.args[0], k), grown(cql.args[1], v)) for k, v in value)
    if cql.name == "tuple" and isinstance(value, tuple):
        return tuple(grown(a, v) for a, v in zip(cql.args, value, strict=True))
    if cql.args and isinstance(value, tuple):
        return tuple(grown(cql.args[0], v) for v in value)
    return value


def avro_name(name: str) -> str:
    """A name in Avro's grammar: `_uXXXX` for what is outside of it."""
    out = ""
    for at, character in enumerate(name):
        plain = character.isascii() and (character.isalnum() or character == "_")
        escaped = character == "_" and name[at + 1 : at + 2] == "u" and _is_hex(name[at + 2 :][:4])
        if escaped or not plain or (not at and character.isdigit()):
            units = character.encode("utf-16-be").hex()
            out += "".join(f"_u{units[n : n + 4]}" for n in range(0, len(units), 4))
        else:
            out += character
    return out


def _is_hex(text: str) -> bool:
    return len(text) == 4 and set(text) <= set("0123456789abcdef")


# How PostgreSQL is asked for a column of a type, `{c}` being its quoted name: as a text that says
# it all.
ASKED = {
    "timestamp": "(extract(epoch FROM {c}) * 1000)::numeric::text",
    "date": "({c} - date '1970-01-01')::text",
    "time": "(extract(epoch FROM {c}) * 1000000)::bigint::text",
    "blob": "encode({c}, 'hex')",
    "inet": "host({c})",
    "boolean": "{c}::int::text",
}


def asked(cql: Cql, column: str) -> str:
    """The expression that PostgreSQL is asked for."""
    quoted = '"' + column.replace('"', '""') + '"'
    return ASKED.get(cql.name, "{c}::text").format(c=quoted)


def shown(cql: Cql, text: str | None) -> Any:
    """What PostgreSQL answered, comparable with `expected`."""
    if text is None:
        return None
    name = cql.name
    if name in ("float", "double"):
        number = float(text)
        return repr(
            struct.unpack(">f", struct.pack(">f", number))[0] if name == "float" else number
        )
    if name in ("uuid", "timeuuid"):
        return text.replace("-", "")
    if name == "inet":
        return ipaddress.ip_address(text).packed.hex()
    if name in ("text", "ascii", "blob"):
        return text
    if name in ("varint", "decimal", "timestamp"):
        return Decimal(text)
    if name == "duration" or cql.args:
        return _numbers(cql, json.loads(text))
    return int(text)


def _numbers(cql: Cql, value: Any) -> Any:
    """A value inside of jsonb, whose numbers have no type, with floats where the type has them."""
    if value is None:
        return None
    if cql.name in ("float", "double"):
        return float(value)
    if cql.name == "map" and isinstance(value, dict):
        return {k: _numbers(cql.args[1], v) for k, v in value.items()}
    if cql.name == "map":
        return [[_numbers(a, v) for a, v in zip(cql.args, pair, strict=True)] for pair in value]
    if cql.name == "udt":
        # A row from before the type gained a field lacks it.
        return {f: _numbers(a, value.get(f)) for f, a in zip(cql.fields, cql.args, strict=True)}
    if cql.name == "tuple":
        return [_numbers(a, v) for a, v in zip(cql.args, value, strict=True)]
    return [_numbers(cql.args[0], v) for v in value] if cql.args else value


def expected(cql: Cql, value: Any) -> Any:
    """What PostgreSQL must show for a canonical value."""
    if value is None:
        return None
    if cql.name == "decimal":
        return Decimal(value[0]).scaleb(-value[1], EXACT)
    if cql.name in ("varint", "timestamp"):
        return Decimal(value)
    if cql.name == "time":
        return value // 1000
    if cql.name == "blob":
        return value.hex()
    if cql.name == "boolean":
        return int(value)
    return as_json(cql, value) if cql.args or cql.name == "duration" else value


def as_json(cql: Cql, value: Any) -> Any:
    """A canonical value as it stands inside of jsonb."""
    if value is None:
        return None
    name = cql.name
    simple: dict[str, Callable[[Any], Any]] = {
        "float": float,
        "double": float,
        "decimal": lambda v: format(Decimal(v[0]).scaleb(-v[1], EXACT), "f"),
        "varint": str,
        "uuid": _dashed,
        "timeuuid": _dashed,
        "inet": _address,
        "blob": lambda v: base64.b64encode(v).decode(),
        "date": _date,
        "time": _time,
        "timestamp": lambda v: f"{_date(v // 86_400_000)}T{_time(v % 86_400_000 * 10**6)[:12]}Z",
        "duration": lambda v: dict(zip(("months", "days", "nanoseconds"), v, strict=True)),
    }
    if name in simple:
        return simple[name](value)
    if name == "map":
        key, of = cql.args
        if key.name in ("text", "ascii"):
            return {k: as_json(of, v) for k, v in value}
        return [[as_json(key, k), as_json(of, v)] for k, v in value]
    if name == "udt":
        return {f: as_json(a, v) for a, (f, v) in zip(cql.args, value, strict=True)}
    if name == "tuple":
        return [as_json(a, v) for a, v in zip(cql.args, value, strict=True)]
    return [as_json(cql.args[0], v) for v in value] if cql.args else value


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _address(digits: str) -> str:
    """As the C library writes it, which for IPv4 in IPv6 is not as Python does."""
    packed = ipaddress.ip_address(bytes.fromhex(digits))
    mapped = packed.version == 6 and packed.ipv4_mapped
    return f"::ffff:{mapped}" if mapped else str(packed)


def _date(days: int) -> str:
    cycles = (days - (date(2000, 1, 1) - date(1970, 1, 1)).days) // CYCLE_DAYS
    moved = date(1970, 1, 1) + timedelta(days=days - cycles * CYCLE_DAYS)
    year = moved.year + cycles * CYCLE_YEARS
    text = f"{year:04d}" if 0 <= year <= 9999 else f"{year:+07d}"
    return f"{text}-{moved.month:02d}-{moved.day:02d}"


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{clock}.{rest:09d}"
