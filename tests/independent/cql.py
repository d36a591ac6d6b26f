"""CQL types and values, from the manuals and not from the product: what checks it may share nothing
with it.

A value has one canonical form, whichever way it was read. Numbers are ints; floats are the text of
their `repr`, so that NaN equals itself and -0.0 is not 0.0; decimals are (unscaled, scale);
durations are (months, days, nanoseconds); uuids and addresses are hex digits; timestamps, dates and
times are the ints of the protocol, dates counted from 1970. Lists, sets, vectors and tuples are
tuples, maps and user-defined types tuples of pairs, in the order in which they were read.
"""

import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

NUMBERS = {"tinyint": ">b", "smallint": ">h", "int": ">i", "bigint": ">q", "time": ">q"}
FLOATS = {"float": ">f", "double": ">d"}
# What a vector packs without lengths (CASSANDRA-18504): types whose values have one length.
FIXED = {"boolean": 1, "int": 4, "float": 4, "bigint": 8, "double": 8, "timestamp": 8}
FIXED |= {"uuid": 16, "timeuuid": 16}

Udts = Mapping[str, list[tuple[str, str]]]


class Cql(NamedTuple):
    """A type; `fields` are a user-defined type's, `size` a vector's."""

    name: str
    args: tuple["Cql", ...] = ()
    fields: tuple[str, ...] = ()
    is_frozen: bool = False
    size: int = 0

    @property
    def has_cells(self) -> bool:
        """Whether elements are cells of their own."""
        return self.name in ("list", "set", "map", "udt") and not self.is_frozen


def parse(text: str, udts: Udts | None = None) -> Cql:
    """The type of a text as `system_schema.columns` has it."""
    text = text.strip()
    if not text.endswith(">"):
        if text.strip('"') in (udts or {}):
            found = (udts or {})[text.strip('"')]
            parts = tuple(parse(part, udts) for _, part in found)
            return Cql("udt", parts, tuple(name for name, _ in found))
        return Cql({"varchar": "text"}.get(text, text))
    name, inside = text[:-1].split("<", 1)
    parts_of = _split(inside)
    if name == "frozen":
        return parse(parts_of[0], udts)._replace(is_frozen=True)
    if name == "vector":
        return Cql(name, (parse(parts_of[0], udts),), size=int(parts_of[1]))
    return Cql(name, tuple(parse(part, udts) for part in parts_of))


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for character in text:
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def decode(cql: Cql, raw: bytes | None) -> Any:
    """The canonical form of a value's bytes (native protocol, section 6)."""
    if raw is None:
        return None
    if cql.name in ("text", "ascii"):
        return raw.decode()
    if cql.name == "blob":
        return raw
    return _decode_sized(cql, raw) if raw else None


def _decode_sized(cql: Cql, raw: bytes) -> Any:
    name = cql.name
    if name in NUMBERS:
        return struct.unpack(NUMBERS[name], raw)[0]
    if name in FLOATS:
        return repr(struct.unpack(FLOATS[name], raw)[0])
    if name in ("uuid", "timeuuid", "inet"):
        return raw.hex()
    simple: dict[str, Callable[[bytes], Any]] = {
        "boolean": lambda b: b != b"\0",
        "timestamp": lambda b: int.from_bytes(b, "big", signed=True),
        "varint": lambda b: int.from_bytes(b, "big", signed=True),
        "date": lambda b: int.from_bytes(b, "big") - 2**31,
        "decimal": lambda b: (int.from_bytes(b[4:], "big", signed=True), scale_of(b)),
        "duration": _duration,
    }
    return simple[name](raw) if name in simple else _decode_nested(cql, raw)


def scale_of(raw: bytes) -> int:
    """A decimal's scale: its first four bytes."""
    return int.from_bytes(raw[:4], "big", signed=True)


def _decode_nested(cql: Cql, raw: bytes) -> Any:
    if cql.name == "vector":
        return tuple(decode(cql.args[0], part) for part in _vector_parts(cql, raw))
    if cql.name in ("tuple", "udt"):
        parts = _sized(raw, len(cql.args))
        values = tuple(decode(a, p) for a, p in zip(cql.args, parts, strict=True))
        return tuple(zip(cql.fields, values, strict=True)) if cql.fields else values
    count = int.from_bytes(raw[:4], "big")
    if cql.name == "map":
        found = _sized(raw[4:], 2 * count)
        keys = [decode(cql.args[0], k) for k in found[::2]]
        return tuple(zip(keys, [decode(cql.args[1], v) for v in found[1::2]], strict=True))
    return tuple(decode(cql.args[0], part) for part in _sized(raw[4:], count))


def _sized(raw: bytes, count: int) -> list[bytes | None]:
    """So many values with lengths in front; what is not there is null."""
    parts: list[bytes | None] = []
    while raw and len(parts) < count:
        length = int.from_bytes(raw[:4], "big", signed=True)
        parts.append(None if length < 0 else raw[4 : 4 + length])
        raw = raw[4 + max(length, 0) :]
    return parts + [None] * (count - len(parts))


def fixed_length(cql: Cql) -> int:
    """The bytes of every value, where that is one number."""
    if cql.name == "vector":
        return cql.size * fixed_length(cql.args[0])
    return FIXED.get(cql.name, 0)


def _vector_parts(cql: Cql, raw: bytes) -> list[bytes]:
    fixed = fixed_length(cql.args[0])
    if fixed:
        return [raw[at : at + fixed] for at in range(0, len(raw), fixed)]
    parts = []
    while raw:
        length, raw = _read_vint(raw)
        parts.append(raw[:length])
        raw = raw[length:]
    return parts


def _read_vint(raw: bytes) -> tuple[int, bytes]:
    """An unsigned variable-length integer: the leading ones of its first byte count the others."""
    extra = re.match("1*", f"{raw[0]:08b}").end()  # type: ignore[union-attr]  # it always matches
    bits = "".join(f"{b:08b}" for b in raw[: extra + 1])
    return int(bits[min(extra + 1, 8) :] if extra < 8 else bits[8:], 2), raw[extra + 1 :]


def _write_vint(number: int) -> bytes:
    for extra in range(8):
        if number < 1 << 7 * (extra + 1):
            first = (0xFF << (8 - extra)) & 0xFF
            body = number.to_bytes(extra + 1, "big")
            return bytes([first | body[0]]) + body[1:]
    return b"\xff" + number.to_bytes(8, "big")


def _duration(raw: bytes) -> tuple[int, ...]:
    parts = []
    for _ in range(3):
        number, raw = _read_vint(raw)
        parts.append(-(number + 1) // 2 if number % 2 else number // 2)
    return tuple(parts)


def encode(cql: Cql, value: Any) -> bytes:
    """The bytes of a canonical value that is not null."""
    name = cql.name
    if name in NUMBERS:
        return struct.pack(NUMBERS[name], value)
    if name in FLOATS:
        return struct.pack(FLOATS[name], float(value))
    simple: dict[str, Callable[[Any], bytes]] = {
        "text": str.encode,
        "ascii": str.encode,
        "blob": bytes,
        "uuid": bytes.fromhex,
        "timeuuid": bytes.fromhex,
        "inet": bytes.fromhex,
        "boolean": lambda v: b"\1" if v else b"\0",
        "timestamp": lambda v: v.to_bytes(8, "big", signed=True),
        "varint": shortest,
        "date": lambda v: (v + 2**31).to_bytes(4, "big"),
        "decimal": lambda v: v[1].to_bytes(4, "big", signed=True) + shortest(v[0]),
        "duration": lambda v: b"".join(_write_vint(2 * n if n >= 0 else -2 * n - 1) for n in v),
    }
    return simple[name](value) if name in simple else _encode_nested(cql, value)


def shortest(number: int) -> bytes:
    """Two's complement in as few bytes as it takes, as Java's BigInteger has it."""
    bits = (number if number >= 0 else ~number).bit_length()
    return number.to_bytes(bits // 8 + 1, "big", signed=True)


def _encode_nested(cql: Cql, value: Any) -> bytes:
    if cql.name == "vector":
        parts = [encode(cql.args[0], v) for v in value]
        sized = fixed_length(cql.args[0])
        return b"".join(p if sized else _write_vint(len(p)) + p for p in parts)
    if cql.name in ("tuple", "udt"):
        values = [v for _, v in value] if cql.fields else value
        return b"".join(_with_length(a, v) for a, v in zip(cql.args, values, strict=True))
    count = len(value).to_bytes(4, "big")
    if cql.name == "map":
        key, of = cql.args
        return count + b"".join(_with_length(key, k) + _with_length(of, v) for k, v in value)
    return count + b"".join(_with_length(cql.args[0], v) for v in value)


def _with_length(cql: Cql, value: Any) -> bytes:
    if value is None:
        return (-1).to_bytes(4, "big", signed=True)
    raw = encode(cql, value)
    return len(raw).to_bytes(4, "big") + raw
