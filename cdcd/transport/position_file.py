"""A pipeline's whole position as one JSON document, and what it takes to go back to it. Pure.

The document holds the records of the lanes topic that are in force, the saved offsets, the ids of
the topics that these are of, and a checksum over all of it.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from cdcd.model.errors import ConfigurationError
from cdcd.model.position import Position as LanePosition
from cdcd.transport.lane_records import (
    TABLES_KEY,
    Records,
    Write,
    cell_of_key,
    decode_listed,
    decode_position,
    encode_position,
    listed_of_key,
    merged_of_key,
    request_of_key,
    table_of_key,
)

FORMAT = "cdcd-offsets"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Offset:
    """A saved offset of the sink."""

    topic: str
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where a pipeline stands: `records` by lane and key, `topics` are ids by name."""

    pipeline: str
    made_at: str
    lanes: int
    records: Records
    offsets: tuple[Offset, ...]
    topics: Mapping[str, str]

    def tables_from_oldest(self) -> set[str]:
        """The tables whose logs are to be read again from the oldest change."""
        return self._tables_that(lambda position: position.from_oldest)

    def tables_with_gap(self) -> set[str]:
        """The tables that stand before changes that are missing."""
        return self._tables_that(lambda position: not position.log_id)

    def _tables_that(self, holds: Callable[[LanePosition], bool]) -> set[str]:
        return {
            table
            for (_, key), value in self.records.items()
            if (table := table_of_key(key.encode())) is not None
            and holds(decode_position(value.encode()))
        }

    def frontiers_ms(self) -> dict[str, int]:
        """The oldest frontier of each table."""
        found: dict[str, int] = {}
        for (_, key), value in self.records.items():
            table = table_of_key(key.encode())
            if table is not None:
                at = decode_position(value.encode()).frontier_ms
                found[table] = min(at, found.get(table, at))
        return found


def encode(position: Position) -> str:
    """The document's text."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "pipeline": position.pipeline,
        "made_at": position.made_at,
        "lanes": position.lanes,
        "records": [
            {"lane": lane, "key": key, "value": value}
            for (lane, key), value in sorted(position.records.items())
        ],
        "offsets": [asdict(o) for o in position.offsets],
        "topics": dict(sorted(position.topics.items())),
    }
    return json.dumps({**body, "checksum": _checksum(body)}, indent=1) + "\n"


def decode(text: str) -> Position:
    """The position of a document. Raises ConfigurationError where it is not whole, or not ours."""
    try:
        body = json.loads(text)
        given, version = body.pop("checksum"), body["version"]
        is_ours = body["format"] == FORMAT
    except (ValueError, KeyError, TypeError, AttributeError):
        body, given, version, is_ours = {}, "", 0, False
    if not is_ours:
        raise ConfigurationError(
            "the file is no backup of offsets", "`cdcd offsets backup` makes one"
        )
    if version != VERSION:
        raise ConfigurationError(
            f"the backup has version {version}, and this cdcd knows {VERSION}",
            "use the release that made it",
        )
    if given != _checksum(body):
        raise ConfigurationError(
            "the backup's checksum is wrong: it was cut or changed", "use another backup"
        )
    return _position(body)


def _position(body: Mapping[str, Any]) -> Position:
    return Position(
        body["pipeline"],
        body["made_at"],
        body["lanes"],
        {(r["lane"], r["key"]): r["value"] for r in body["records"]},
        tuple(Offset(**o) for o in body["offsets"]),
        body["topics"],
    )


def _checksum(body: Mapping[str, Any]) -> str:
    plain = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(plain.encode()).hexdigest()}"


def restoring(backup: Records, now: Records) -> list[Write]:
    """What to write so that the lanes stand where the backup says, but for those that stay.

    Positions and fingerprints become the backup's. Its requests and listed refreshes come back
    beside those that came since: a refresh that is dropped may be missed, one too many does no
    harm. What operators said stays as they said it last, and so does what is known of copies.
    """
    stays = staying(backup, now)
    writes: list[Write] = [
        (lane, key, None)
        for lane, key in now
        if _is_progress(key) and (lane, key) not in backup and (lane, _table_of(key)) not in stays
    ]
    for (lane, key), value in backup.items():
        if (lane, _table_of(key)) not in stays and _comes_back(key, value, now.get((lane, key))):
            writes.append((lane, key, value))
    return writes


def staying(backup: Records, now: Records) -> set[tuple[int, str | None]]:
    """Lane and table of the positions that a restore leaves: those that the backup does not have,
    because nothing says what was published of them before, and those that stand before a gap,
    because the log that is read again does not have what is missing.
    """
    return {
        (lane, table)
        for (lane, key), value in now.items()
        if (table := table_of_key(key.encode())) is not None
        and ((lane, key) not in backup or not decode_position(value.encode()).log_id)
    }


def _comes_back(key: str, then: str, now: str | None) -> bool:
    """Whether a record of the backup is written over what is there now, None for nothing."""
    listed_id = listed_of_key(key.encode())
    if _is_progress(key):
        return then != now
    if listed_id is not None and now is not None:
        # One scope has one entry, and a later frontier covers what an earlier one does.
        was, is_now = (decode_listed(listed_id, text.encode()) for text in (then, now))
        return was.frontier_ms > is_now.frontier_ms
    is_wish = listed_id is not None or request_of_key(key.encode()) is not None
    # Lanes that were never told a set of tables take the backup's.
    return now is None and (is_wish or key.encode() == TABLES_KEY)


def resetting(now: Records, tables: Sequence[str]) -> list[Write]:
    """What to write so that these tables are read again from the oldest change of their logs.

    Their positions stay, because they say what must not be missing from the log; workers remove the
    fingerprints. One before a gap stays as it is.
    """
    writes: list[Write] = []
    for (lane, key), value in now.items():
        if table_of_key(key.encode()) in tables:
            position = decode_position(value.encode())
            if position.log_id and not position.from_oldest:
                again = encode_position(replace(position, from_oldest=True)).decode()
                writes.append((lane, key, again))
    return writes


def _is_progress(key: str) -> bool:
    return _table_of(key) is not None


def _table_of(key: str) -> str | None:
    """The table whose position or fingerprint a record is."""
    raw = key.encode()
    cell = cell_of_key(raw) or merged_of_key(raw)
    return table_of_key(raw) if cell is None else cell[0]
