"""Avro's binary encoding, as one function for each schema. Pure.

A schema is turned into a function from a value to its bytes, so that nothing has to be asked of the
schema for each value. The layouts are the Avro specification's, "Binary Encoding"; only schemas of
`cdcd.transport.schema` are known here: a union has null and one other type, and a name is written
the same way wherever it stands. Fields are looked up by the name that the source gives them.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

Writer = Callable[[Any], bytes]

NULL, SET = b"\x00", b"\x02"

# Encoded numbers are looked up 14 bits at a time: those that more follow, and the last ones.
_MORE = tuple(bytes([bits & 0x7F | 0x80, bits >> 7 | 0x80]) for bits in range(1 << 14))
_LAST = tuple(
    bytes([bits]) if bits < 0x80 else bytes([bits & 0x7F | 0x80, bits >> 7])
    for bits in range(1 << 14)
)


def long(number: int) -> bytes:
    """An int or long: zigzag, then seven bits a byte, the lowest first."""
    bits = number << 1 ^ number >> 63
    if bits < 1 << 14:
        return _LAST[bits]
    low, high = bits & 0xFFF_FFFF, bits >> 28
    if not high:
        return _MORE[low & 0x3FFF] + _LAST[low >> 14]
    first, second = _MORE[low & 0x3FFF], _MORE[low >> 14]
    if high < 1 << 14:
        return first + second + _LAST[high]
    third, highest = _MORE[high & 0x3FFF], high >> 14
    if highest < 1 << 14:
        return b"".join((first, second, third, _LAST[highest]))
    if highest >> 22:
        raise ValueError("a number of more than 64 bits")
    return b"".join((first, second, third, _MORE[highest & 0x3FFF], _LAST[highest >> 14]))


def string(text: str) -> bytes:
    """A text, its length in front."""
    encoded = str.encode(text)
    size = len(encoded)
    return (_LAST[size << 1] if size < 1 << 13 else long(size)) + encoded


def _bytes(value: bytes) -> bytes:
    return long(len(value)) + value


def _boolean(value: object) -> bytes:
    return b"\x01" if value else b"\x00"


_ATOMIC: dict[str, Writer] = {
    "boolean": _boolean,
    "int": long,
    "long": long,
    "float": struct.Struct("<f").pack,
    "double": struct.Struct("<d").pack,
    "bytes": _bytes,
    "string": string,
}


def writer(schema: Any, names: dict[str, Writer] | None = None) -> Writer:
    """The writer of a schema; `names` holds the types that were defined before it, and gets its
    own. What it makes raises TypeError, ValueError or struct.error for a value of another type.
    """
    names = {} if names is None else names
    if isinstance(schema, str):
        return _ATOMIC[schema] if schema in _ATOMIC else names[schema]
    if isinstance(schema, list):
        return optional(writer(value_of(schema), names))
    kind = schema["type"]
    if kind == "array":
        return _array(writer(schema["items"], names))
    if kind == "map":
        return _map(writer(schema["values"], names))
    if kind == "record":
        names[schema["name"]] = found = _record(schema, names)
        return found
    return writer(kind, names)


def value_of(union: list[Any]) -> Any:
    """The other type of a union that begins with null. Raises ValueError for other unions."""
    null, *types = union
    if null != "null" or len(types) != 1:
        raise ValueError(f"a union of {len(union)} types, or one that does not begin with null")
    return types[0]


def optional(write: Writer) -> Writer:
    """The writer of a union of null and a type."""
    return lambda value: NULL if value is None else SET + write(value)


def field_name(field: Mapping[str, Any]) -> str:
    """What values call a field: its name in the source, if Avro's is another."""
    name: str = field.get("cql.name", field["name"])
    return name


def _array(item: Writer) -> Writer:
    def write(values: Any) -> bytes:
        return long(len(values)) + b"".join(map(item, values)) + NULL if values else NULL

    return write


def _map(item: Writer) -> Writer:
    def write(values: Any) -> bytes:
        if not values:
            return NULL
        body = b"".join([string(key) + item(value) for key, value in values.items()])
        return long(len(values)) + body + NULL

    return write


def _record(schema: Mapping[str, Any], names: dict[str, Writer]) -> Writer:
    fields = [(field_name(f), writer(f["type"], names)) for f in schema["fields"]]
    return lambda value: b"".join([write(value.get(name)) for name, write in fields])
