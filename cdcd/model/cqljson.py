"""Partition keys as people write them, in JSON, to serialised CQL values. Pure."""

import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from cdcd.model.cqlencode import encoder
from cdcd.model.errors import ConfigurationError
from cdcd.model.refresh import Key
from cdcd.model.table import Column

_EPOCH = date(1970, 1, 1)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _varint(value: Any) -> dict[str, object]:
    number = _whole(value)
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return {"scale": 0, "value": number.to_bytes(size, "big", signed=True)}


def _timestamp(value: Any) -> int:
    if not isinstance(value, str):
        return _whole(value)
    moment = datetime.fromisoformat(value)
    since = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def _blob(value: Any) -> bytes:
    return bytes.fromhex(_text(value).removeprefix("0x"))


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


_FORMS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "int", "bigint"), _whole),
    **dict.fromkeys(("ascii", "text", "inet"), _text),
    **dict.fromkeys(("uuid", "timeuuid"), lambda value: str(UUID(_text(value)))),
    "varint": _varint,
    "boolean": _boolean,
    "blob": _blob,
    "timestamp": _timestamp,
    "date": lambda value: (date.fromisoformat(_text(value)) - _EPOCH).days,
}


def serialized_from_json(columns: Sequence[Column], text: str) -> Key:
    """The partition key that a JSON object names. Raises ConfigurationError for what is none.

    Numbers and booleans are JSON's; uuids, dates, addresses and times are text as CQL writes them,
    a timestamp may be milliseconds, and a blob is `0x…`.
    """
    names = [c.name for c in columns]
    wanted = f"it takes an object with {', '.join(names)}"
    try:
        found = json.loads(text)
    except ValueError:
        raise ConfigurationError(f"the key is no JSON: {text}", wanted) from None
    if not isinstance(found, dict) or set(found) != set(names):
        raise ConfigurationError(f"{text} is not the whole partition key", wanted)
    return tuple(_serialized(column, found[column.name]) for column in columns)


def _serialized(column: Column, value: Any) -> bytes:
    form = _FORMS.get(column.type.name)
    if form is None:
        message = f"a key of type {column.type} cannot be given as JSON"
        raise ConfigurationError(message, "give its token instead")
    try:
        return encoder(column.type)(form(value))
    except (TypeError, ValueError, OSError, struct.error) as error:
        message = f"{value!r} is no {column.type}, which {column.name} is"
        raise ConfigurationError(message) from error
