"""Copies of tables under the stream of their changes, with workers that die in between.

`make snapshot-proof` runs the first of them with 200,000 rows.
"""

import os
import re
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.metadata import Murmur3Token
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from tests.scenario import checker
from tests.scenario.conftest import Place
from tests.scenario.copies import backfill, command, copy_of
from tests.scenario.daemon import Daemon, wait_until
from tests.scenario.ending import Background, expect_equal
from tests.scenario.reconciling import in_target

ROWS = int(os.environ.get("CDCD_SNAPSHOT_ROWS", "3000"))
# Changes in a second that hit the rows meanwhile.
RATE = int(os.environ.get("CDCD_SNAPSHOT_RATE", "100"))
KILLS = 1 if ROWS < 10_000 else 3
KILL_AT = 0.1
# A copy that takes long enough to be killed in the middle of it.
SLOWLY = {"copy_share_max": 0.05} if ROWS < 10_000 else {}
# Whoever asks for a copy does not wait for idle tables' positions.
SAVED_RARELY = {"position_seconds_max": 600}
COLUMNS = "(pk int, ck int, v int, w text, PRIMARY KEY (pk, ck))"
IN_PARTITION = 10


def fill(place: Place, table: str, rows: int) -> None:
    """Rows of ten to a partition."""
    insert = place.session.prepare(
        f"INSERT INTO {place.name}.{table} (pk, ck, v, w) VALUES (?, ?, ?, ?)"
    )
    values = [(*divmod(n, IN_PARTITION), n, f"old {n}") for n in range(rows)]
    execute_concurrent_with_args(place.session, insert, values, concurrency=100)


def copied_share(daemon: Daemon) -> float:
    """How much of its copies the worker has done in this life of it, while they go on."""
    _, body = daemon.get("/status")
    return max((table["copied"] or 0.0 for table in body["tables"]), default=0.0) if body else 0.0


class Changes(Background):
    """Updates, inserts and deletes at a rate until it is told to end; they hit all rows."""

    def __init__(self, place: Place, rows: int) -> None:
        super().__init__(place)
        self._rows = rows

    def _write(self) -> None:
        session, name = self._place.session, self._place.name
        update = session.prepare(f"UPDATE {name}.items SET v = ? WHERE pk = ? AND ck = ?")
        insert = session.prepare(f"INSERT INTO {name}.items (pk, ck, v, w) VALUES (?, ?, ?, ?)")
        delete = session.prepare(f"DELETE FROM {name}.items WHERE pk = ? AND ck = ?")
        sweep = session.prepare(f"DELETE FROM {name}.items WHERE pk = ?")
        step, began = 20, time.monotonic()
        for turn in range(1_000_000):
            places = [
                divmod((turn * 7919 + n * 104_729) % self._rows, IN_PARTITION) for n in range(step)
            ]
            statement, values = (
                (update, [(turn, pk, ck) for pk, ck in places]),
                (insert, [(pk, ck + IN_PARTITION // 2, turn, "new") for pk, ck in places]),
                (delete, places),
                (update, [(-turn, pk, ck) for pk, ck in places]),
                (sweep, [(pk,) for pk, _ in places[:1]]),
            )[turn % 5]
            execute_concurrent_with_args(session, statement, values, concurrency=step)
            if self._ending.wait(max(began + (turn + 1) * step / RATE - time.monotonic(), 0)):
                return


@pytest.mark.timeout(1800 if ROWS > 10_000 else 240)
def test_copied_under_changes_through_kills(place: Place) -> None:
    """Rows that are older than the table's log are copied while changes hit them and the worker is
    killed: the target ends equal, as cdcd and a checker of its own say, each row was copied at most
    once, and each change is in the topic once.
    """
    place.settings["source"] = {"settle_delays_seconds": [5, 30], **SLOWLY}
    place.execute(f"CREATE TABLE $ks.items {COLUMNS}")
    fill(place, "items", ROWS)
    place.execute("ALTER TABLE $ks.items WITH cdc = {'enabled': true}")
    changes = Changes(place, ROWS)
    changes.start()
    daemon = place.daemon("--table", f"{place.name}.items", start="snapshot")
    daemon.start()
    began = time.monotonic()
    for _ in range(KILLS):
        wait_until(lambda: copied_share(daemon) > KILL_AT, "a part of the copy", 600)
        daemon.kill()
        daemon.start()
    wait_until(lambda: copy_of(place, "items").get("state") == "done", "the copy ends", 1200)
    seconds = time.monotonic() - began
    sys.stderr.write(f"copied {ROWS} rows in {seconds:.1f} s, with {KILLS} kills\n")
    changes.end()
    expect_equal(place, "items", ("pk", "ck"))
    code, document, error = command(place, "reconcile", "verify", "--all-tables")
    assert (code, document["equal"]) == (0, True), (document, error)
    copied = copies_in_topic(place)
    assert len(copied) > ROWS / 2
    assert max(copied.values()) == 1
    assert daemon.stop() == 0


@pytest.mark.timeout(240)
def test_a_table_with_a_gap_goes_on_with_a_copy(place: Place) -> None:
    """A table whose CDC was off needs a copy, says so, and goes on with `cdcd backfill`, which also
    removes what was deleted meanwhile; without a worker that command says who does the copying.
    What was published just before is not published again when that part of the log has settled.
    """
    place.settings["source"] = {"settle_delays_seconds": [3, 5], **SAVED_RARELY}
    table = f"{place.name}.items"
    place.execute(f"CREATE TABLE $ks.items {COLUMNS} WITH cdc = {{'enabled': true}}")
    fill(place, "items", 50)
    daemon = place.daemon("--table", table, start="snapshot")
    daemon.start()
    daemon.wait_ready()
    wait_until(lambda: copy_of(place, "items").get("state") == "done", "the first copy")
    expect_rows(place)
    code, _, error = backfill(place, "other.items")
    assert (code, "is not a table of" in error) == (2, True)

    place.execute("INSERT INTO $ks.items (pk, ck, v, w) VALUES (99, 1, 1, 'just before')")
    expect_rows(place)
    place.execute("ALTER TABLE $ks.items WITH cdc = {'enabled': false}")

    wait_until(lambda: state_of(daemon, table) == "needs_snapshot", "the table stops")
    place.execute("UPDATE $ks.items SET v = 1000 WHERE pk = 1 AND ck = 1")
    place.execute("INSERT INTO $ks.items (pk, ck, v, w) VALUES (100, 1, 1, 'while off')")
    place.execute("DELETE FROM $ks.items WHERE pk = 2 AND ck = 3")
    place.execute("DELETE FROM $ks.items WHERE pk = 4")
    place.execute("ALTER TABLE $ks.items WITH cdc = {'enabled': true}")
    daemon.kill()
    wait_until(lambda: not members(place), "the dead worker is forgotten")
    assert backfill(place, table)[0] == 3
    daemon.start()
    wait_until(lambda: state_of(daemon, table) == "needs_snapshot", "the table still stops")
    code, document, error = backfill(place, table)
    assert (code, document["copies"][0]["state"]) == (0, "done"), error
    assert document["copies"][0]["removed"] == 1 + IN_PARTITION
    place.execute("INSERT INTO $ks.items (pk, ck, v, w) VALUES (101, 1, 1, 'afterwards')")
    expect_rows(place)
    wait_until(lambda: state_of(daemon, table) == "running", "the table runs")
    now_seconds = time.time_ns() / 1e9
    wait_until(lambda: settled_seconds(daemon) > now_seconds, "the log around the gap is settled")
    found = checker.topic_identities(checker.read_topic(place.stack, f"{place.name}.{table}"))
    assert max(found.values()) == 1


def settled_seconds(daemon: Daemon) -> float:
    """Up to when the worker's only table is settled, by its own account."""
    address = re.findall(r"http://127\.0\.0\.1:\d+", daemon.output)[-1]
    with urllib.request.urlopen(f"{address}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return max(
        map(float, re.findall(r"cdcd_settled_timestamp_seconds\{.*\} (\S+)", text)), default=0.0
    )


def _delete_records(admin: AdminClient, topic: str) -> None:
    """As retention does, where the sink was away for too long."""
    count = len(admin.list_topics(topic, 10).topics[topic].partitions)
    ends = admin.delete_records([TopicPartition(topic, n, OFFSET_END) for n in range(count)])
    for done in ends.values():
        done.result(10)


def _make_again(admin: AdminClient, topic: str) -> None:
    """Under the same name, with as many partitions."""
    count = len(admin.list_topics(topic, 10).topics[topic].partitions)
    admin.delete_topics([topic])[topic].result(10)
    gone = "the topic is gone"
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, gone)
    admin.create_topics([NewTopic(topic, count, 1)])[topic].result(10)


def _add_partitions(admin: AdminClient, topic: str) -> None:
    """So that rows are in other ones from now on."""
    count = len(admin.list_topics(topic, 10).topics[topic].partitions)
    admin.create_partitions([NewPartitions(topic, count + 3)])[topic].result(10)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("damage", [_delete_records, _make_again, _add_partitions])
def test_a_topic_with_a_gap_goes_on_with_a_copy(
    place: Place, damage: Callable[[AdminClient, str], None]
) -> None:
    """A table whose topic lost what is not applied, was made again, or has other partitions, needs
    a copy, says so, and goes on with `cdcd backfill` beside the running worker; rows whose deletes
    were lost are removed, and changes afterwards are applied.
    """
    table = f"{place.name}.items"
    place.settings["source"] = {"settle_delays_seconds": [1, 3], **SAVED_RARELY}
    place.execute(f"CREATE TABLE $ks.items {COLUMNS} WITH cdc = {{'enabled': true}}")
    fill(place, "items", 50)
    daemon = place.daemon("--table", table, start="snapshot")
    daemon.start()
    expect_rows(place)
    assert command(place, "pause", table, "--stage", "sink")[0] == 0
    wait_until(lambda: "paused" in state_of(daemon, table), "the sink stands still")
    before = daemon.published()
    place.execute("UPDATE $ks.items SET v = 1000 WHERE pk = 1 AND ck = 1")
    place.execute("DELETE FROM $ks.items WHERE pk = 2 AND ck = 3")
    place.execute("DELETE FROM $ks.items WHERE pk = 4")
    deleted_seconds = time.time_ns() / 1e9
    wait_until(lambda: daemon.published() >= before + 3, "the changes are published")
    # Settling would refresh the rows that were deleted, once they are copied before it.
    wait_until(lambda: settled_seconds(daemon) > deleted_seconds + 3, "the deletes are settled")
    assert daemon.stop() == 0
    damage(AdminClient({"bootstrap.servers": place.stack.kafka}), f"{place.name}.{table}")
    assert command(place, "resume", table, "--stage", "sink")[0] == 0
    daemon.start()
    wait_until(lambda: state_of(daemon, table) == "needs_snapshot", "the table stops")
    # The brokers may still know the membership of the one that was stopped.
    since = '"listening"'
    wait_until(
        lambda: '"lanes assigned"' in daemon.output.rpartition(since)[2],
        "the worker has its lanes",
    )
    code, document, error = backfill(place, table)
    assert code == 0, error
    assert [copy["state"] for copy in document["copies"]] == ["done"]
    assert document["copies"][0]["removed"] == 1 + IN_PARTITION
    place.execute("UPDATE $ks.items SET v = 2000 WHERE pk = 1 AND ck = 1")
    place.execute("INSERT INTO $ks.items (pk, ck, v, w) VALUES (101, 1, 1, 'afterwards')")
    expect_rows(place)
    wait_until(lambda: state_of(daemon, table) == "running", "the table runs")


def state_of(daemon: Daemon, table: str) -> str:
    """The state that the worker shows of a table."""
    _, body = daemon.get("/status")
    return next((t["state"] for t in body["tables"] if t["table"] == table), "") if body else ""


def members(place: Place) -> int:
    """How many workers the brokers know of."""
    group = f"{place.name}.source"
    asked = AdminClient({"bootstrap.servers": place.stack.kafka})
    return len(asked.describe_consumer_groups([group])[group].result(10).members)


@pytest.mark.timeout(240)
def test_cancelled_and_resumed(place: Place) -> None:
    """A copy that was cancelled reads no more, and goes on with `--resume` where it was: each row
    is in the topic once, and one partition can be copied alone.
    """
    table, rows = f"{place.name}.items", 1000
    place.settings["source"] = {"copy_share_max": 0.005, **SAVED_RARELY}
    place.execute(f"CREATE TABLE $ks.items {COLUMNS}")
    fill(place, "items", rows)
    place.execute("ALTER TABLE $ks.items WITH cdc = {'enabled': true}")
    daemon = place.daemon("--table", table, start="snapshot")
    daemon.start()
    wait_until(lambda: copied_share(daemon) > KILL_AT, "a part of the copy")
    code, document, error = backfill(place, table, "--cancel")
    assert (code, document["copies"][0]["state"]) == (0, "cancelled"), error
    assert document["copies"][0]["rows"] < rows
    assert daemon.stop() == 0
    place.settings["source"] = {**SAVED_RARELY}
    daemon = place.daemon("--table", table)
    daemon.start()
    daemon.wait_ready()
    code, document, error = backfill(place, table, "--resume")
    assert (code, document["copies"][0]["state"]) == (0, "done"), error
    assert document["copies"][0]["rows"] == rows
    expect_rows(place)
    assert max(copies_in_topic(place).values()) == 1
    code, document, error = backfill(place, table, "--partition", '{"pk": 1}')
    assert (code, document["copies"][0]["rows"]) == (0, IN_PARTITION), error
    assert sum(copies_in_topic(place).values()) == rows + IN_PARTITION


@pytest.mark.timeout(240)
def test_a_range_of_tokens(started: Place) -> None:
    """`--tokens` copies the rows behind its first number, up to its second, and removes what only
    the target has there. No row of another partition is published or touched.
    """
    place, table = started, f"{started.name}.items"
    place.execute(f"CREATE TABLE $ks.items {COLUMNS} WITH cdc = {{'enabled': true}}")
    fill(place, "items", 60)
    place.daemon("--table", table).start()
    expect_rows(place)
    source, left = [*range(6)], [*range(90, 96)]
    in_target(
        place,
        [
            "UPDATE $s.items SET v = -1",
            *[f"INSERT INTO $s.items (pk, ck, v) VALUES ({pk}, 77, 7)" for pk in [*source, *left]],
        ],
    )
    before = target(place)
    ring = sorted((Murmur3Token.hash_fn(pk.to_bytes(4)), pk) for pk in [*source, *left])
    first, last = ring[3][0], ring[8][0]
    inside = {pk for _, pk in ring[4:9]}
    assert inside & {*source} and inside & {*left} and {*source} - inside and {*left} - inside

    code, document, error = backfill(place, table, "--tokens", f"{first}:{last}")

    every = checker.source_rows(place.session, place.name, "items", ("pk", "ck"))
    rows = {key: row for key, row in every.items() if key[0] in inside}
    assert code == 0, error
    (told,) = document["copies"]
    assert (told["state"], told["rows"], told["removed"]) == ("done", len(rows), len(inside))
    assert copies_in_topic(place) == Counter([*rows])
    wait_until(lambda: not {k for k in target(place) if k[0] in inside} - {*rows}, "rows go")
    assert target(place) == {**{k: r for k, r in before.items() if k[0] not in inside}, **rows}


def target(place: Place) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of the target by key."""
    return checker.target_rows(place.stack, place.schema, "items", ("pk", "ck"))


def copies_in_topic(place: Place) -> Counter[tuple[int, int]]:
    """How often each row was published by copies."""
    values = checker.read_topic(place.stack, f"{place.name}.{place.name}.items")
    return Counter(
        (v["after"]["pk"], v["after"]["ck"])
        for v in values
        if v["op"] == "r" and v["source"]["snapshot"] == "true"
    )


def expect_rows(place: Place) -> None:
    """The target ends with the source's rows."""
    source = checker.source_rows(place.session, place.name, "items", ("pk", "ck"))

    def different() -> list[str]:
        target = checker.target_rows(place.stack, place.schema, "items", ("pk", "ck"))
        return checker.differences(source, target)

    try:
        wait_until(lambda: not different(), "source and target equal")
    except AssertionError as waited:
        logs = [daemon.output[-3000:] for daemon in place.daemons]
        pytest.fail("\n".join([str(waited), *different()[:20], *logs]))
