"""Masked values: planted in ScyllaDB, and looked for in all that cdcd writes."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.scenario.conftest import Place
from tests.scenario.copies import backfill, command
from tests.scenario.daemon import wait_until
from tests.stack import Stack

MakeTable = Callable[[str], None]

KEY = "a key that nobody guesses"
PLANTED = ("planted-hash", "planted-drop", "planted-null", "4000planted1234", "planted-set")


def target(stack: Stack, query: str) -> list[dict[str, Any]]:
    """Rows of a query; none while the table is not there."""

    async def ask() -> list[dict[str, Any]]:
        connection = await asyncpg.connect(stack.postgres)
        try:
            return [dict(row) for row in await connection.fetch(query)]
        except asyncpg.PostgresError:
            return []
        finally:
            await connection.close()

    return asyncio.run(ask())


def raw_records(stack: Stack, prefix: str) -> list[bytes]:
    """Keys, values and headers of every record of the pipeline's topics, aborted ones too."""
    consumer = Consumer(
        {
            "bootstrap.servers": stack.kafka,
            "group.id": f"{prefix}-raw",
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    found: list[bytes] = []
    try:
        topics = consumer.list_topics(timeout=10).topics
        reading = {
            (name, number)
            for name, topic in topics.items()
            if name == prefix or name.startswith(f"{prefix}.")
            for number in topic.partitions
        }
        consumer.assign([TopicPartition(name, number, 0) for name, number in reading])
        while reading:
            for message in consumer.consume(1000, 1.0):
                if message.error():
                    reading.discard((str(message.topic()), message.partition() or 0))
                else:
                    found += [message.key() or b"", message.value() or b""]
                    found += [str(message.headers()).encode()]
    finally:
        consumer.close()
    return found


def hashed(text: str) -> str:
    """The hash as anyone with the key can compute it."""
    return hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


@pytest.fixture
def masked(place: Place, make_table: MakeTable) -> Place:
    """A table with a column for each mask, and images, which would show them all."""
    make_table(
        "people (id int PRIMARY KEY, h text, d text, n text, k text, s set<text>, plain text)"
    )
    place.execute(
        "ALTER TABLE $ks.people WITH cdc = {'enabled': true, 'preimage': 'full', 'postimage': true}"
    )
    masks: dict[str, dict[str, object]] = {
        "h": {"mask": "hash"},
        "d": {"mask": "drop"},
        "n": {"mask": "null"},
    }
    columns: dict[str, dict[str, object]] = {**masks, "s": {"mask": "null"}, "k": {"keep_last": 4}}
    place.settings["masking"] = {"key": KEY}
    for name, column in columns.items():
        place.settings[f'tables."{place.name}.people".columns.{name}'] = column
    return place


@pytest.mark.timeout(240)
def test_no_planted_value_is_found(masked: Place) -> None:
    """No topic, log line or row holds a masked value; what is shown instead follows the masks; and
    rows that live by masked columns alone are there, and go when those go.
    """
    place = masked
    place.settings["log"] = {"level": "debug"}
    daemon = place.daemon("--table", f"{place.name}.people")
    daemon.start()
    daemon.wait_ready()
    place.execute(
        "INSERT INTO $ks.people (id, h, d, n, k, s, plain) VALUES (1, 'planted-hash',"
        " 'planted-drop', 'planted-null', '4000planted1234', {'planted-set'}, 'shown')"
    )
    place.execute("UPDATE $ks.people SET s = s + {'planted-set'}, plain = 'seen' WHERE id = 1")
    place.execute("UPDATE $ks.people SET d = 'planted-drop' WHERE id = 2")
    place.execute("UPDATE $ks.people SET d = 'planted-drop' WHERE id = 3")
    people = f'"{place.schema}".people'

    def ids() -> list[int]:
        return [r["id"] for r in target(place.stack, f"SELECT id FROM {people} ORDER BY id")]

    wait_until(lambda: ids() == [1, 2, 3], "all rows are there")
    place.execute("UPDATE $ks.people SET d = null WHERE id = 3")
    wait_until(lambda: ids() == [1, 2], "the row that has nothing left has gone")

    def row() -> dict[str, Any]:
        found = target(place.stack, f"SELECT * FROM {people} WHERE id = 1")
        return found[0] if found else {}

    wait_until(lambda: row().get("plain") == "seen", "the update is there")
    assert "d" not in row()
    assert (row()["h"], row()["n"], row()["s"]) == (hashed("planted-hash"), None, None)
    assert row()["k"] == "***********1234"

    code, _, error = command(place, "reconcile", "verify", "--all-tables")
    assert code == 0, error

    # What PostgreSQL cannot hold is a dead letter, with the whole record in it.
    place.execute(
        "INSERT INTO $ks.people (id, h, d, n, k, s, plain) VALUES (9, 'planted-hash',"
        " 'planted-drop', 'planted-null', '4000planted1234', {'planted-set'}, blobAsText(0x610062))"
    )
    letters = f"{place.name}.cdcd.dlq"
    wait_until(lambda: raw_records(place.stack, letters) != [], "the dead letter")
    records = raw_records(place.stack, place.name)
    assert any(hashed("planted-hash").encode() in r for r in records)
    held = b"\n".join(records) + daemon.output.encode()
    rows = json.dumps(target(place.stack, f"SELECT t::text FROM {people} t"))
    kept = target(place.stack, "SELECT l::text FROM cdcd.dead_letters l")
    rows += json.dumps(kept)
    for value in PLANTED:
        assert value.encode() not in held
        assert value not in rows
    assert KEY.encode() not in held


@pytest.mark.timeout(240)
def test_a_new_key_is_shown(masked: Place) -> None:
    """A table whose masking key has changed goes on, and says at each start: backfill me, until it
    was copied.
    """
    place = masked
    daemon = place.daemon("--table", f"{place.name}.people")
    daemon.start()
    daemon.wait_ready()
    place.execute("INSERT INTO $ks.people (id, h) VALUES (1, 'a')")
    people = f'"{place.schema}".people'

    def hash_of(number: int) -> str:
        found = target(place.stack, f"SELECT h FROM {people} WHERE id = {number}")
        return str(found[0]["h"]) if found else ""

    wait_until(lambda: hash_of(1) != "", "the first row")
    assert daemon.stop() == 0
    place.settings["masking"] = {"key": f"{KEY} any more"}
    again = daemon
    for number in (2, 3):
        again = place.daemon("--table", f"{place.name}.people")
        again.start()
        place.execute(f"INSERT INTO $ks.people (id, h) VALUES ({number}, 'a')")
        wait_until(lambda number=number: hash_of(number) != "", "rows go on")  # type: ignore[misc]
        _, body = again.get("/status")
        (table,) = body["tables"]
        assert table["state"] == "needs_snapshot"
        assert "masks or their key are new" in table["reason"]
        assert "cdcd backfill" in table["reason"]
        assert hash_of(1) == hashed("a")
        if number == 2:
            assert again.stop() == 0
    assert hash_of(2) == hash_of(3) != hash_of(1)

    def state() -> str:
        _, body = again.get("/status")
        return str(body["tables"][0]["state"]) if body and body["tables"] else ""

    code, _, error = backfill(place, f"{place.name}.people")
    assert code == 0, error
    wait_until(lambda: state() == "running", "the copy was enough")
    assert hash_of(1) == hash_of(2)
    assert again.stop() == 0
    again = place.daemon("--table", f"{place.name}.people")
    again.start()
    again.wait_ready()
    wait_until(lambda: state() == "running", "a restart knows of the copy")
    assert "masks or their key are new" not in again.output


def test_a_key_column_is_refused(place: Place, make_table: MakeTable) -> None:
    """A mask on a key column ends the start with exit code 2, before anything is published."""
    make_table("t (id int PRIMARY KEY, v int)")
    place.settings[f'tables."{place.name}.t".columns.id'] = {"mask": "hash"}
    place.settings["masking"] = {"key": KEY}
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    assert daemon.exit_code == 2
    assert "a key cannot be masked" in daemon.output
