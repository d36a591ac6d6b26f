"""The reference work: a table of eight columns, with inserts, updates and deletes.

Half of the changes write whole rows, four in ten write two columns and set one to null, one in ten
deletes a row. They are made as log rows (the raw bytes that ScyllaDB sends), and as CQL.
"""

import random
import struct
from collections.abc import Iterator
from uuid import UUID

from cdcd.model.position import min_timeuuid
from cdcd.model.table import TableSpec
from cdcd.source.decode import log_columns
from cdcd.source.row_readers import RawRow
from tests.unit.tables import table

KEYS = 50_000
COLUMNS = {
    "p:id": "bigint",
    "r:active": "boolean",
    "r:amount": "double",
    "r:created": "timestamp",
    "r:name": "text",
    "r:note": "text",
    "r:quantity": "int",
    "r:ref": "uuid",
}
SPEC: TableSpec = table(COLUMNS, name="bench")
NAMES = tuple(name.partition(":")[2] for name in COLUMNS)

CREATE = (
    "CREATE TABLE $ks.bench (id bigint PRIMARY KEY, active boolean, amount double,"
    " created timestamp, name text, note text, quantity int, ref uuid) WITH cdc = {'enabled': true}"
)
INSERT = f"INSERT INTO $ks.bench ({', '.join(NAMES)}) VALUES ({', '.join('?' * len(NAMES))})"
UPDATE = "UPDATE $ks.bench SET amount = ?, quantity = ?, note = null WHERE id = ?"
DELETE = "DELETE FROM $ks.bench WHERE id = ?"

# Parameters by the statement that takes them.
Change = tuple[str, tuple[object, ...]]

NOW_MS = 1_790_000_000_000
_OPERATIONS = {UPDATE: b"\x01", INSERT: b"\x02", DELETE: b"\x04"}


def changes(count: int, seed: int = 1) -> Iterator[Change]:
    """So many changes, always the same ones for a seed."""
    chance = random.Random(seed)
    for number in range(count):
        key = chance.randrange(KEYS)
        which = chance.random()
        if which < 0.5:
            yield INSERT, _row(key, number, chance)
        elif which < 0.9:
            yield UPDATE, (chance.random() * 1000, number % 1000, key)
        else:
            yield DELETE, (key,)


def _row(key: int, number: int, chance: random.Random) -> tuple[object, ...]:
    created_ms = NOW_MS - chance.randrange(10**10)
    ref = UUID(int=chance.getrandbits(128))
    note = f"a note of some length on number {number}"
    return (
        key,
        number % 2 == 0,
        chance.random() * 1000,
        created_ms,
        f"name {key}",
        note,
        number % 1000,
        ref,
    )


def log_rows(count: int, seed: int = 1) -> list[RawRow]:
    """The log of so many changes, in pages' order: 256 streams, a microsecond for each change."""
    columns = log_columns(SPEC)
    streams = [random.Random(n).randbytes(16) for n in range(256)]
    rows = []
    for number, (statement, parameters) in enumerate(changes(count, seed)):
        raw = _written(statement, parameters)
        raw |= {
            "cdc$stream_id": streams[number * 256 // count],
            "cdc$time": _time(number),
            "cdc$batch_seq_no": bytes(4),
            "cdc$operation": _OPERATIONS[statement],
            "cdc$end_of_batch": b"\x01",
        }
        rows.append(tuple(map(raw.get, columns)))
    return rows


def _time(number: int) -> bytes:
    raw = bytearray(min_timeuuid(NOW_MS + number // 1000))
    low = int.from_bytes(raw[:4], "big") + number % 1000 * 10
    return (low & 0xFFFFFFFF).to_bytes(4, "big") + bytes(raw[4:])


def _written(statement: str, parameters: tuple[object, ...]) -> dict[str, bytes | None]:
    if statement == INSERT:
        named = dict(zip(NAMES, parameters, strict=True))
    elif statement == UPDATE:
        named = dict(zip(("amount", "quantity", "id"), parameters, strict=True))
    else:
        named = dict(zip(("id",), parameters, strict=True))
    raw: dict[str, bytes | None] = {name: _serialised(name, v) for name, v in named.items()}
    if statement == UPDATE:
        raw["cdc$deleted_note"] = b"\x01"
    return raw


def _serialised(name: str, value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, UUID):
        return value.bytes
    layout = {"active": ">?", "amount": ">d", "quantity": ">i"}.get(name, ">q")
    return struct.pack(layout, value)
