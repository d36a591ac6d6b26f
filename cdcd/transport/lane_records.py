"""Records of the lanes topic: keys and values as JSON with a version. Pure.

Lane i is partition i. `position/<keyspace>.<table>` says where a table stands in the lane,
`cell/<start>/<keyspace>.<table>` is the fingerprint of what was published from ten seconds of its
log, `merged/<start>/<keyspace>.<table>` of ten minutes that have settled. `request/<id>` asks for a
refresh, `listed/<id>` is one that is not settled yet, `copied/<keyspace>.<table>` is the last copy
that ended. `control/tables` names the tables that the pipeline replicates, and `control/paused`
what stands still; these two are in every lane.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from cdcd.model.control import Pause
from cdcd.model.destination import Destination
from cdcd.model.errors import ConfigurationError, InvariantBroken
from cdcd.model.fingerprint import Fingerprint, Merged
from cdcd.model.position import Position, TokenRange
from cdcd.model.refresh import (
    Copied,
    Copy,
    Key,
    Listed,
    Partition,
    Request,
    Rest,
    Row,
    Scope,
    StaticRow,
    Tokens,
)

# Records in force by lane and key, and what to write: a value, or None to remove it.
Records = Mapping[tuple[int, str], str]
Write = tuple[int, str, str | None]

VERSION = 1
TABLES_KEY = b"control/tables"
PAUSES_KEY = b"control/paused"
_POSITION = "position/"
_CELL = "cell/"
_MERGED = "merged/"
_REQUEST = "request/"
_LISTED = "listed/"
_COPIED = "copied/"


def position_key(table: str) -> bytes:
    """The key of a table's position."""
    return f"{_POSITION}{table}".encode()


def table_of_key(key: bytes) -> str | None:
    """The table whose position a record holds; None for records of other kinds."""
    return _behind(_POSITION, key)


def encode_position(position: Position) -> bytes:
    """The value of a position record."""
    fields = asdict(position)
    if not position.from_oldest:
        del fields["from_oldest"]
    return _encode(fields)


def decode_position(value: bytes) -> Position:
    """Raises ConfigurationError for a record of a newer cdcd."""
    fields = _decode(value)
    generation, frontier, settled = (
        _int(fields, f"{name}_ms") for name in ("generation", "frontier", "settled")
    )
    from_oldest = fields.get("from_oldest") is True
    position = Position(_text(fields, "log_id"), generation, frontier, settled, from_oldest)
    # Releases that did not save these yet left them out.
    position = replace(position, audited_ms=_int({"audited_ms": 0, **fields}, "audited_ms"))
    if fields.get("ttl_seconds") is not None:
        position = replace(position, ttl_seconds=_int(fields, "ttl_seconds"))
    if fields.get("destination") is not None:
        position = replace(position, destination=_decode_destination(fields))
    return position


def _decode_destination(fields: dict[str, Any]) -> Destination:
    match fields["destination"]:
        case {"topic_id": str(topic_id), "partitions": int(partitions)}:
            return Destination(topic_id, partitions)
    raise _foreign()


def cell_key(table: str, start_ms: int) -> bytes:
    """The key of a fingerprint."""
    return f"{_CELL}{start_ms}/{table}".encode()


def cell_of_key(key: bytes) -> tuple[str, int] | None:
    """Table and start of the cell that a record is about; None for records of other kinds."""
    return _cell_behind(_CELL, key)


def _cell_behind(kind: str, key: bytes) -> tuple[str, int] | None:
    text = _behind(kind, key)
    if text is None:
        return None
    start, _, table = text.partition("/")
    if not re.fullmatch("-?[0-9]{1,18}", start):
        raise _foreign()
    return table, int(start)


def encode_cell(fingerprint: Fingerprint) -> bytes:
    """The value of a fingerprint record."""
    return _encode(asdict(fingerprint))


def decode_cell(value: bytes) -> Fingerprint:
    """Raises ConfigurationError for a record of a newer cdcd."""
    fields = _decode(value)
    return Fingerprint(_int(fields, "count"), _int(fields, "xor"))


def merged_key(table: str, start_ms: int) -> bytes:
    """The key of a merged fingerprint."""
    return f"{_MERGED}{start_ms}/{table}".encode()


def merged_of_key(key: bytes) -> tuple[str, int] | None:
    """Table and start of the merged cell that a record is about; None for other kinds."""
    return _cell_behind(_MERGED, key)


def encode_merged(merged: Merged) -> bytes:
    """The value of a merged fingerprint's record."""
    return _encode({**asdict(merged.fingerprint), "until_ms": merged.until_ms})


def decode_merged(value: bytes) -> Merged:
    """Raises ConfigurationError for a record of a newer cdcd."""
    return Merged(decode_cell(value), _int(_decode(value), "until_ms"))


def listed_key(listed_id: str) -> bytes:
    """The key of a listed refresh."""
    return f"{_LISTED}{listed_id}".encode()


def listed_of_key(key: bytes) -> str | None:
    """The id of the listed refresh that a record holds; None for records of other kinds."""
    return _behind(_LISTED, key)


def encode_listed(listed: Listed) -> bytes:
    """The value of a record of a listed refresh."""
    return _encode(
        {
            "table": listed.table,
            "scope": _encode_scope(listed.scope),
            "token": listed.token,
            "frontier_ms": listed.frontier_ms,
        }
    )


def decode_listed(listed_id: str, value: bytes) -> Listed:
    """Raises ConfigurationError for a record of a newer cdcd."""
    fields = _decode(value)
    scope, table = _decode_scope(fields), _text(fields, "table")
    return Listed(listed_id, table, scope, _int(fields, "token"), _int(fields, "frontier_ms"))


def request_key(request_id: str) -> bytes:
    """The key of a request."""
    return f"{_REQUEST}{request_id}".encode()


def request_of_key(key: bytes) -> str | None:
    """The id of the request that a record holds; None for records of other kinds."""
    return _behind(_REQUEST, key)


def encode_request(request: Request) -> bytes:
    """The value of a request record; serialised key values stand in it as hex."""
    return _encode(_request_fields(request))


def _request_fields(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "table": request.table,
        "scope": _encode_scope(request.scope),
        "token": request.token,
        "due_ms": request.due_ms,
    }
    if request.copy is not None:
        fields["copy"] = asdict(request.copy)
    if request.cancels:
        fields["cancels"] = request.cancels
    if request.whole:
        fields["whole"] = True
    return fields


def decode_request(request_id: str, value: bytes) -> Request:
    """The request of a record. Raises ConfigurationError for a record of a newer cdcd."""
    return _request_of(request_id, _decode(value))


def _request_of(request_id: str, fields: dict[str, Any]) -> Request:
    scope, table = _decode_scope(fields), _text(fields, "table")
    copy = _decode_copy(fields) if "copy" in fields else None
    cancels = _text(fields, "cancels") if "cancels" in fields else ""
    token, due_ms = _int(fields, "token"), _int(fields, "due_ms")
    whole = fields.get("whole") is True
    return Request(request_id, table, scope, token, due_ms, copy, cancels, whole)


def _decode_copy(fields: dict[str, Any]) -> Copy:
    copy: Any = fields["copy"]
    match copy:
        case {"whole": {"start": int(start), "end": int(end)}}:
            times = (_int(copy, name) for name in ("asked_ms", "rows", "began_ms"))
            return Copy(_text(copy, "run"), TokenRange(start, end), *times)
    raise _foreign()


def copied_key(table: str) -> bytes:
    """The key of a table's last copy."""
    return f"{_COPIED}{table}".encode()


def copied_of_key(key: bytes) -> str | None:
    """The table whose last copy a record holds; None for records of other kinds."""
    return _behind(_COPIED, key)


def encode_copied(copied: Copied) -> bytes:
    """The value of a record of a copy that ended."""
    fields = asdict(replace(copied, left=None))
    if copied.left is not None:
        fields["left"] = {"id": copied.left.id, **_request_fields(copied.left)}
    return _encode(fields)


def decode_copied(value: bytes) -> Copied:
    """Raises ConfigurationError for a record of a newer cdcd."""
    fields = _decode(value)
    table, run, left = _text(fields, "table"), _text(fields, "run"), fields.get("left")
    rows, began_ms, ended_ms = (_int(fields, n) for n in ("rows", "began_ms", "ended_ms"))
    token = _int(fields, "token")
    request = _request_of(_text(left, "id"), left) if isinstance(left, dict) else None
    return Copied(table, token, run, rows, began_ms, ended_ms, request)


def _encode_scope(scope: Scope) -> dict[str, Any]:
    match scope:
        case Row(partition, clustering):
            return {"kind": "row", "partition": _hex(partition), "clustering": _hex(clustering)}
        case StaticRow(partition):
            return {"kind": "static", "partition": _hex(partition)}
        case Partition(partition):
            return {"kind": "partition", "partition": _hex(partition)}
        case Rest(partition, after):
            return {"kind": "rest", "partition": _hex(partition), "after": _hex(after)}
        case Tokens(tokens, within, after):
            fields: dict[str, Any] = {"kind": "tokens", "start": tokens.start, "end": tokens.end}
            if within:
                fields |= {"within": [_hex(key) for key in within], "after": _hex(after)}
            return fields


def _decode_scope(fields: dict[str, Any]) -> Scope:
    match fields.get("scope"):
        case {"kind": "row", "partition": partition, "clustering": clustering}:
            return Row(_raw(partition), _raw(clustering))
        case {"kind": "static", "partition": partition}:
            return StaticRow(_raw(partition))
        case {"kind": "partition", "partition": partition}:
            return Partition(_raw(partition))
        case {"kind": "rest", "partition": partition, "after": after}:
            return Rest(_raw(partition), _raw(after))
        case {"kind": "tokens", "start": int(start), "end": int(end), **more}:
            keys = more.get("within", [])
            if not isinstance(keys, list):
                raise _foreign()
            within = tuple(_raw(key) for key in keys)
            return Tokens(TokenRange(start, end), within, _raw(more.get("after", [])))
    raise _foreign()


def _hex(key: Key) -> list[str]:
    return [part.hex() for part in key]


def _raw(key: Any) -> Key:
    try:
        return tuple(bytes.fromhex(part) for part in _texts(key))
    except ValueError:
        raise _foreign() from None


def encode_tables(patterns: Sequence[str]) -> bytes:
    """The value of the record that holds the pipeline's set of tables."""
    return _encode({"tables": sorted(set(patterns))})


def decode_tables(value: bytes) -> tuple[str, ...]:
    """The pipeline's set of tables, sorted."""
    return tuple(_texts(_decode(value).get("tables")))


def encode_pauses(pauses: Sequence[Pause]) -> bytes:
    """The value of the record that holds the pauses in force."""
    return _encode({"paused": [asdict(pause) for pause in sorted(pauses)]})


def decode_pauses(value: bytes) -> tuple[Pause, ...]:
    """Raises ConfigurationError for a record of a newer cdcd."""
    paused = _decode(value).get("paused")
    if not isinstance(paused, list) or not all(isinstance(p, dict) for p in paused):
        raise _foreign()
    return tuple(
        Pause(_text(p, "pattern"), _text(p, "stage"), _int(p, "since_ms"), _text(p, "by"))
        for p in paused
    )


def _encode(fields: dict[str, Any]) -> bytes:
    return json.dumps({"v": VERSION, **fields}, separators=(",", ":")).encode()


def _decode(value: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise _foreign() from error
    if not isinstance(fields, dict):
        raise _foreign()
    version = _int(fields, "v")
    if version > VERSION:
        raise ConfigurationError(
            f"the lanes topic has records of version {version}, and this cdcd knows {VERSION}",
            "run the newer cdcd",
        )
    return fields


def _foreign() -> InvariantBroken:
    return InvariantBroken("the lanes topic holds a record that is not cdcd's")


def _behind(kind: str, key: bytes) -> str | None:
    """What a key has behind the name of its kind; None for another kind."""
    if not key.startswith(kind.encode()):
        return None
    try:
        return key[len(kind) :].decode()
    except UnicodeDecodeError:
        raise _foreign() from None


def _int(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int:
        raise _foreign()
    return value


def _text(fields: dict[str, Any], name: str) -> str:
    return _texts([fields.get(name)])[0]


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise _foreign()
    return values
