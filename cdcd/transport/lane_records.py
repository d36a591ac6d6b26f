"""Records of the lanes topic: keys and values as JSON with a version. Pure.

Lane i is partition i. `position/<keyspace>.<table>` says where a table stands in the lane, and
`control/tables` which tables the pipeline replicates; the latter is in every lane.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from cdcd.model.errors import ConfigurationError, InvariantBroken
from cdcd.model.position import Position

VERSION = 1
TABLES_KEY = b"control/tables"
_POSITION = "position/"


def position_key(table: str) -> bytes:
    """The key of a table's position."""
    return f"{_POSITION}{table}".encode()


def table_of_key(key: bytes) -> str | None:
    """The table whose position a record holds; None for records of other kinds."""
    text = key.decode()
    return text[len(_POSITION) :] if text.startswith(_POSITION) else None


def encode_position(position: Position) -> bytes:
    """The value of a position record."""
    return _encode(asdict(position))


def decode_position(value: bytes) -> Position:
    """Raises ConfigurationError for a record of a newer cdcd."""
    fields = _decode(value)
    return Position(fields["log_id"], fields["generation_ms"], fields["frontier_ms"])


def encode_tables(patterns: Sequence[str]) -> bytes:
    """The value of the record that holds the pipeline's set of tables."""
    return _encode({"tables": sorted(set(patterns))})


def decode_tables(value: bytes) -> tuple[str, ...]:
    """The pipeline's set of tables, sorted."""
    return tuple(_decode(value)["tables"])


def _encode(fields: dict[str, Any]) -> bytes:
    return json.dumps({"v": VERSION, **fields}, separators=(",", ":")).encode()


def _decode(value: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(value)
        version = fields["v"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvariantBroken("the lanes topic holds a record that is not cdcd's") from error
    if version > VERSION:
        raise ConfigurationError(
            f"the lanes topic has records of version {version}, and this cdcd knows {VERSION}",
            "run the newer cdcd",
        )
    found: dict[str, Any] = fields
    return found
