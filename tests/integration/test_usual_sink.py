"""The usual sink and ours on the same records: a partial update, and what becomes of the rest."""

from typing import Any

from confluent_kafka import Consumer, TopicPartition

from cdcd.model.change import ChangeEvent
from tests.independent.topic import Registry
from tests.integration.feeding import Feed, change, eventually, sinking, table

SPEC = table("accounts", "p:id int; r:name text; r:mail text; r:visits int")
ROW = {"name": "Ada", "mail": "ada@example.org", "visits": 1}
UPDATE = {"visits": 2}


def records(feed: Feed, count: int) -> list[Any]:
    """The values in the topic, in order, as any consumer reads them."""
    registry = Registry(str(feed.registry_settings.url))
    consumer = Consumer(
        {"bootstrap.servers": feed.kafka.bootstrap_servers, "group.id": f"usual-{feed.pipeline}"}
    )
    consumer.assign([TopicPartition(feed.topic(SPEC), 0, 0)])
    found: list[Any] = []
    while len(found) < count:
        found += [registry.read(m.value() or b"")[1] for m in consumer.consume(10, 1.0)]
    consumer.close()
    return found


async def usual_sink(feed: Feed, values: list[Any]) -> dict[str, Any]:
    """What the flattening transform and a JDBC sink in upsert mode make of the records.

    The transform replaces the envelope by its `after` (Debezium, "New Record State Extraction");
    the sink writes every field of that by INSERT … ON CONFLICT (key) DO UPDATE (Confluent, "JDBC
    Sink Connector Configuration Properties", `insert.mode = upsert`; Debezium's JDBC sink connector
    does the same). Neither looks at another field.
    """
    connection = await feed.connect()
    name = f'"{feed.schema}".usual'
    try:
        await connection.execute(
            f"CREATE TABLE {name} (id int PRIMARY KEY, name text, mail text, visits int)"
        )
        for value in values:
            flat = value["after"]
            columns, places = ", ".join(flat), ", ".join(f"${n + 1}" for n in range(len(flat)))
            sets = ", ".join(f"{c} = EXCLUDED.{c}" for c in flat if c != "id")
            await connection.execute(
                f"INSERT INTO {name} ({columns}) VALUES ({places})"
                f" ON CONFLICT (id) DO UPDATE SET {sets}",
                *flat.values(),
            )
        row = await connection.fetchrow(f"SELECT name, mail, visits FROM {name}")
        return dict(row or {})
    finally:
        await connection.close()


async def test_the_usual_sink_overwrites_untouched_columns(feed: Feed) -> None:
    """Of the same two records the usual sink makes NULLs of what the update did not touch, and ours
    leaves it as it was.
    """
    events: list[ChangeEvent] = [change(SPEC, "c", (1,), ROW), change(SPEC, "u", (1,), UPDATE)]
    await feed.publish(SPEC, events)
    async with sinking(feed.plan()):
        await eventually(
            lambda: feed.rows("SELECT name, mail, visits FROM {s}.accounts"), [ROW | UPDATE]
        )
    values = records(feed, len(events))
    assert await usual_sink(feed, values) == {"name": None, "mail": None, "visits": 2}
