"""A batch's records become changes in their order, whatever schemas they have."""

from dataclasses import dataclass
from typing import Any, cast

import pytest

from cdcd.model.change import ChangeEvent, Identity, Operation
from cdcd.model.errors import TableStopped
from cdcd.sink.decode import Decoder, to_apply
from cdcd.transport.record_writer import RecordWriter, SchemaIds
from cdcd.transport.records import Partition, Record
from cdcd.transport.registry import Registry
from cdcd.transport.schema import key_schema, value_schema
from tests.unit.tables import table

TOPIC = "cdcd.ks.t"
NARROW = table({"p:p": "int", "r:a": "int"})
WIDE = table({"p:p": "int", "r:a": "int", "r:b": "text"})
SPECS = (NARROW, WIDE)
IDS = (SchemaIds(1, 2), SchemaIds(1, 3))


@dataclass
class Schemas:
    """Those that a registry would give, and how often it was asked."""

    asked: int = 0

    async def schema(self, schema_id: int) -> dict[str, Any]:
        self.asked += 1
        of_value = {ids.value: value_schema(s, TOPIC) for s, ids in zip(SPECS, IDS, strict=True)}
        return key_schema(NARROW, TOPIC) if schema_id == 1 else of_value[schema_id]


def decoder() -> tuple[Decoder, Schemas]:
    """A decoder that has met nothing yet."""
    schemas = Schemas()
    return Decoder(cast("Registry", schemas), "ks.t"), schemas


def record(number: int, which: int, identity: Identity | None = None) -> Record:
    """An insert of row `number`, by one of the two schemas."""
    spec = SPECS[which]
    values: dict[str, Any] = {"a": number} | ({"b": str(number)} if which else {})
    change = ChangeEvent(spec, Operation.CREATE, (number,), (), 10 + number, 7, identity, values)
    writer = RecordWriter(spec, TOPIC, "cdcd", IDS[which], 1)
    ((_, key, value),) = writer.records([change], 1)
    return Record(Partition(TOPIC, 0), number, 1, key, value)


@pytest.mark.parametrize("count", [1, 480, 481, 1500])
@pytest.mark.parametrize("which", [(0,), (0, 1), (0, 0, 1, 0, 1, 1)])
async def test_the_order_is_the_records(count: int, which: tuple[int, ...]) -> None:
    """Records of one schema, and of two in any turn, are changes in the order of their offsets."""
    found, schemas = decoder()
    chosen = [which[n % len(which)] for n in range(count)]
    changes = await found.decode([record(n, by) for n, by in enumerate(chosen)])
    assert [change.partition for change in changes] == [(n,) for n in range(count)]
    assert [change.values.get("b") for change in changes] == [
        str(n) if by else None for n, by in enumerate(chosen)
    ]
    assert found.schemas == len(set(chosen))
    assert schemas.asked == 1 + len(set(chosen))


async def test_what_was_read_anew_is_told_from_the_logs() -> None:
    """A change that came from no row of the log is a refresh's, in whatever order they come."""
    found, _ = decoder()
    ours = Identity(bytes(16), bytes(16), 3)
    records = [record(n, n % 2, None if n % 3 else ours) for n in range(600)]
    changes = await found.decode(records)
    assert sorted(changes.refreshed) == [n for n in range(600) if n % 3]


@pytest.mark.parametrize("bad", [0, 3, 700])
@pytest.mark.parametrize("key", [None, b"", b"\0\0\0\0\1"])
async def test_who_is_foreign_is_named(bad: int, key: bytes | None) -> None:
    """A record that is not of cdcd's making stops the table, and its place is said."""
    found, _ = decoder()
    records = [record(n, n % 2) for n in range(800)]
    records[bad] = records[bad]._replace(key=key)
    assert to_apply(records)[bad] is records[bad]
    with pytest.raises(TableStopped, match=f"record {TOPIC}/0/{bad} is not of cdcd's making"):
        await found.decode(records)
