"""Partition keys that people write as JSON."""

import pytest

from cdcd.model.cqljson import serialized_from_json
from cdcd.model.cqltype import parse
from cdcd.model.errors import ConfigurationError
from cdcd.model.table import Column, ColumnKind

UUID_TEXT = "123e4567-e89b-12d3-a456-426614174000"


def columns(*types: str) -> list[Column]:
    """Key columns a, b, c of these types."""
    return [
        Column(name, parse(kind), ColumnKind.PARTITION_KEY)
        for name, kind in zip("abc", types, strict=False)
    ]


@pytest.mark.parametrize(
    ("kind", "text", "raw"),
    [
        ("int", "7", b"\x00\x00\x00\x07"),
        ("bigint", "-1", b"\xff" * 8),
        ("text", '"é"', "é".encode()),
        ("uuid", f'"{UUID_TEXT.upper()}"', bytes.fromhex(UUID_TEXT.replace("-", ""))),
        ("boolean", "true", b"\x01"),
        ("blob", '"0x00ff"', b"\x00\xff"),
        ("varint", "128", b"\x00\x80"),
        ("varint", "-128", b"\x80"),
        ("timestamp", "1000", (1000).to_bytes(8, "big")),
        ("timestamp", '"1970-01-01T00:00:01Z"', (1000).to_bytes(8, "big")),
        ("date", '"1970-01-02"', (2**31 + 1).to_bytes(4, "big")),
        ("inet", '"127.0.0.1"', b"\x7f\x00\x00\x01"),
    ],
)
def test_values_are_bound_as_cql_has_them(kind: str, text: str, raw: bytes) -> None:
    """A value of each type that keys have comes as its serialised form."""
    assert serialized_from_json(columns(kind), f'{{"a": {text}}}') == (raw,)


def test_keys_have_their_order() -> None:
    """Several columns come in the key's order, whatever order they were written in."""
    key = serialized_from_json(columns("int", "text"), '{"b": "x", "a": 1}')
    assert key == ((1).to_bytes(4, "big"), b"x")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "{"),
        ("int", "[1]"),
        ("int", '{"b": 1}'),
        ("int", '{"a": 1, "b": 2}'),
        ("int", '{"a": "1"}'),
        ("int", '{"a": true}'),
        ("int", '{"a": 3000000000}'),
        ("uuid", '{"a": "x"}'),
        ("inet", '{"a": "x"}'),
        ("blob", '{"a": "0xz"}'),
        ("boolean", '{"a": 1}'),
        ("duration", '{"a": 1}'),
    ],
)
def test_what_is_no_key_is_refused(kind: str, text: str) -> None:
    """What is no JSON, not the whole key, or no value of the type is a mistake of the user's."""
    with pytest.raises(ConfigurationError):
        serialized_from_json(columns(kind), text)
