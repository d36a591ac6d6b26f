"""Avro's binary decoding, as one function for each schema. Pure.

The counterpart of `cdcd.transport.avro_write`, for the same schemas. A reader takes bytes and where
to begin, and gives the value and where it ends. `cdcd.transport.avro_columns` reads what is the
same kind in many records at once, and leaves to this what is not.

Bytes that were cut or are of another schema raise IndexError, ValueError or struct.error, or the
end is somewhere else than the record's: whoever reads a record has to compare that.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

from cdcd.transport.avro_write import field_name

Reader = Callable[[bytes, int], tuple[Any, int]]
Names = dict[str, Reader]

_FLOAT, _DOUBLE = struct.Struct("<f").unpack_from, struct.Struct("<d").unpack_from


def long(buf: bytes, at: int) -> tuple[int, int]:
    """An int or long."""
    bits = buf[at]
    if bits < 0x80:
        return bits >> 1 ^ -(bits & 1), at + 1
    shift = 7
    for byte in buf[at + 1 : at + 10]:
        # One is taken off for the bit by which the byte before says that this one follows.
        bits += byte - 1 << shift
        if byte < 0x80:
            return bits >> 1 ^ -(bits & 1), at + 1 + shift // 7
        shift += 7
    raise ValueError("a number of more than 64 bits, or one that was cut")


def size(buf: bytes, at: int) -> tuple[int, int]:
    """The size of what follows. Raises ValueError for a negative one."""
    found, at = long(buf, at)
    if found < 0:
        raise ValueError("a negative size")
    return found, at


def text(buf: bytes, at: int) -> tuple[str, int]:
    """A text."""
    length, at = size(buf, at)
    return buf[at : at + length].decode(), at + length


def _bytes(buf: bytes, at: int) -> tuple[bytes, int]:
    length, at = size(buf, at)
    return buf[at : at + length], at + length


def _boolean(buf: bytes, at: int) -> tuple[bool, int]:
    return buf[at] != 0, at + 1


_ATOMIC: dict[str, Reader] = {
    "boolean": _boolean,
    "int": long,
    "long": long,
    "float": lambda buf, at: (_FLOAT(buf, at)[0], at + 4),
    "double": lambda buf, at: (_DOUBLE(buf, at)[0], at + 8),
    "bytes": _bytes,
    "string": text,
}


def reader(schema: Any, names: Names) -> Reader:
    """The reader of a schema; `names` holds the types that were defined before it, and gets its
    own.
    """
    if isinstance(schema, str):
        return _ATOMIC[schema] if schema in _ATOMIC else names[schema]
    if isinstance(schema, list):
        return _union([reader(part, names) if part != "null" else _null for part in schema])
    kind = schema["type"]
    if kind == "array":
        return _array(reader(schema["items"], names))
    if kind == "map":
        return _map(reader(schema["values"], names))
    if kind == "record":
        names[schema["name"]] = found = _record(schema, names)
        return found
    return reader(kind, names)


def _null(_: bytes, at: int) -> tuple[None, int]:
    return None, at


def _union(parts: list[Reader]) -> Reader:
    def read(buf: bytes, at: int) -> tuple[Any, int]:
        which, at = size(buf, at)
        return parts[which](buf, at)

    return read


def _blocks(buf: bytes, at: int) -> tuple[int, int]:
    """How many items are in the next block; none ends an array or a map."""
    count, at = long(buf, at)
    if count >= 0:
        return count, at
    _, at = long(buf, at)  # the block's bytes, for those who want to skip it
    return -count, at


def _array(item: Reader) -> Reader:
    def read(buf: bytes, at: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        count, at = _blocks(buf, at)
        while count:
            for _ in range(count):
                value, at = item(buf, at)
                found.append(value)
            count, at = _blocks(buf, at)
        return found, at

    return read


def _map(item: Reader) -> Reader:
    def read(buf: bytes, at: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        count, at = _blocks(buf, at)
        while count:
            for _ in range(count):
                key, at = text(buf, at)
                found[key], at = item(buf, at)
            count, at = _blocks(buf, at)
        return found, at

    return read


def _record(schema: Mapping[str, Any], names: Names) -> Reader:
    fields = [(field_name(f), reader(f["type"], names)) for f in schema["fields"]]

    def read(buf: bytes, at: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}
        for name, read_field in fields:
            found[name], at = read_field(buf, at)
        return found, at

    return read
