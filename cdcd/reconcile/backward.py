"""From PostgreSQL's bytes of a key's column back to the source's, as near as can be. Pure."""

import json
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from cdcd.model.cqlencode import encoder
from cdcd.model.cqltype import CqlType
from cdcd.model.cqlvalue import uuid_text
from cdcd.model.jsonvalue import from_json, scaled

_EPOCH_DAYS = 10_957
_EPOCH_MS = _EPOCH_DAYS * 86_400_000
_TEXTS = frozenset({"ascii", "text"})
# Types whose JSON form is a text.
_AS_TEXT = frozenset("varint decimal blob uuid timeuuid inet timestamp date time".split())


def _whole(raw: bytes) -> int:
    return int.from_bytes(raw, "big", signed=True)


def _inet(raw: bytes) -> str:
    parts = raw[4:]
    if len(parts) == 4:
        return ".".join(map(str, parts))
    return ":".join(parts[at : at + 2].hex() for at in range(0, 16, 2))


# What stands in the bytes of each of PostgreSQL's types.
_READ: dict[str, Callable[[bytes], Any]] = {
    "boolean": lambda raw: raw == b"\x01",
    "bytea": lambda raw: raw,
    "smallint": _whole,
    "integer": _whole,
    "bigint": _whole,
    "text": bytes.decode,
    "varchar": bytes.decode,
    "numeric": lambda raw: Decimal(raw.decode()),
    "jsonb": bytes.decode,
    "real": lambda raw: struct.unpack(">f", raw)[0],
    "double precision": lambda raw: struct.unpack(">d", raw)[0],
    "inet": _inet,
    "date": lambda raw: _whole(raw) + _EPOCH_DAYS,
    "time": lambda raw: _whole(raw) * 1000,
    "timestamp": lambda raw: _whole(raw) // 1000 + _EPOCH_MS,
    "timestamptz": lambda raw: _whole(raw) // 1000 + _EPOCH_MS,
    "interval": lambda raw: raw,  # of a duration, which is no key
    "uuid": uuid_text,
}


def from_target(cql: CqlType, kind: str) -> Callable[[bytes], bytes]:
    """From the bytes of a type of PostgreSQL's to those of a CQL type. It raises ValueError and its
    kin for a value that no key of the source can have made.
    """
    read = _READ[kind]
    return lambda raw: encoder(cql)(_avro(cql, kind, read(raw)))


def _avro(cql: CqlType, kind: str, value: Any) -> Any:
    """The value's Avro form."""
    if cql.name in _TEXTS:
        return str(value)
    if kind in {"text", "varchar", "jsonb"}:
        plain = json.loads(value) if kind == "jsonb" or cql.name not in _AS_TEXT else value
        return from_json(cql)(plain)
    if cql.name in {"varint", "decimal"}:
        return scaled(Decimal(value))
    if cql.name in {"tinyint", "smallint", "int", "bigint"}:
        return int(value)
    return float(value) if cql.name in {"float", "double"} else value
