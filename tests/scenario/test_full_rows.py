"""Tables whose consumers want more than cdcd's own sink: whole rows, and tombstones."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.ending import expect_equal

MakeTable = Callable[[str], None]


def tombstones(place: Place, topic: str) -> tuple[list[bytes], list[bytes]]:
    """Keys of the records without a value, and of those before them."""
    consumer = Consumer(
        {
            "bootstrap.servers": place.stack.kafka,
            "group.id": f"{topic}-tombstones",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        reading, empty, before = set(partitions), [], []
        last: dict[int, bytes] = {}
        while reading:
            for message in consumer.consume(1000, 1.0):
                number, key = message.partition() or 0, message.key() or b""
                if message.error():
                    reading.discard(number)
                elif message.value() is None:
                    empty.append(key)
                    before.append(last[number])
                if not message.error():
                    last[number] = key
    finally:
        consumer.close()
    return empty, before


@pytest.mark.timeout(240)
def test_whole_rows_and_tombstones(place: Place, make_table: MakeTable) -> None:
    """With full_rows an update's `after` has the columns that it did not touch, and `delta` still
    says what it wrote; with tombstones a delete is followed by a record of its key without a value,
    in a topic that is compacted. The target ends equal to the source through all of it.
    """
    make_table("items (pk int, ck int, a text, b int, PRIMARY KEY (pk, ck))")
    place.settings[f'tables."{place.name}.items"'] = {"full_rows": True, "tombstones": True}
    daemon = place.daemon("--table", f"{place.name}.items")
    daemon.start()
    daemon.wait_ready()
    for statement in (
        "INSERT INTO $ks.items (pk, ck, a, b) VALUES (1, 1, 'one', 1)",
        "INSERT INTO $ks.items (pk, ck, a, b) VALUES (1, 2, 'two', 2)",
        "UPDATE $ks.items SET b = 3 WHERE pk = 1 AND ck = 1",
    ):
        place.execute(statement)
    expect_equal(place, "items", ("pk", "ck"))
    place.execute("DELETE FROM $ks.items WHERE pk = 1 AND ck = 2")
    expect_equal(place, "items", ("pk", "ck"))

    topic = f"{place.name}.{place.name}.items"
    values: list[dict[str, Any]] = checker.read_topic(place.stack, topic)
    (update,) = [v for v in values if v["op"] == "u"]
    assert (update["after"]["a"], update["after"]["b"]) == ("one", 3)
    assert update["delta"]["columns"] == ["b"]
    empty, before = tombstones(place, topic)
    assert len(empty) == sum(v["op"] == "d" for v in values) == 1
    assert empty == before
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": place.stack.kafka})
    found = admin.describe_configs([resource])[resource].result(10)
    assert found["cleanup.policy"].value == "compact"
