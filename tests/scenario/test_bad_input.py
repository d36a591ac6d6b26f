"""What cannot work is said in a clear line, with the right exit code and no traceback."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.scenario.conftest import Place
from tests.scenario.copies import command
from tests.scenario.daemon import Daemon, wait_until
from tests.scenario.ending import expect_equal
from tests.scenario.proxy import Cable

CONFIGURATION, OUTSIDE = 2, 3

MakeTable = Callable[[str], None]


@pytest.fixture
def cable(request: pytest.FixtureRequest, place: Place) -> Iterator[Cable]:
    """A cable to the server that the test's parameter names; the settings lead through it."""
    url = urlsplit(getattr(place.stack, request.param))
    assert url.hostname
    assert url.port
    made = Cable(url.hostname, url.port)
    through = url._replace(netloc=url.netloc.replace(str(url.port), str(made.port)))
    at = {"postgres": ("postgres", "dsn"), "registry": ("registry", "url")}[request.param]
    place.settings.setdefault(at[0], {})[at[1]] = through.geturl()
    yield made
    made.close()


def expect_refusal(daemon: Daemon, code: int, *words: str) -> None:
    """It ends with the code; its last line says why; there is no traceback."""
    daemon.start()
    assert daemon.exit_code == code, daemon.output
    last = daemon.output.strip().splitlines()[-1]
    for word in words:
        assert word in last
    assert "Traceback" not in daemon.output


def test_unknown_table(place: Place, make_table: MakeTable) -> None:
    """A table that does not exist is refused, with the name that was perhaps meant."""
    make_table("users (id int PRIMARY KEY, v int)")
    daemon = place.daemon("--table", f"{place.name}.user")
    expect_refusal(
        daemon, CONFIGURATION, f"{place.name}.user does not exist", f"{place.name}.users"
    )


def test_table_without_cdc(place: Place) -> None:
    """A table without CDC that is named outright is refused, with the statement that mends it."""
    place.execute("CREATE TABLE $ks.plain (id int PRIMARY KEY, v int)")
    daemon = place.daemon("--table", f"{place.name}.plain")
    expect_refusal(daemon, CONFIGURATION, "has no CDC", f"ALTER TABLE {place.name}.plain WITH cdc")


def test_pattern_passes_over_tables_without_cdc(place: Place, make_table: MakeTable) -> None:
    """A pattern leaves tables without CDC out, says so, and replicates the others."""
    place.execute("CREATE TABLE $ks.plain (id int PRIMARY KEY, v int)")
    make_table("logged (id int PRIMARY KEY, v int)")
    place.execute("INSERT INTO $ks.logged (id, v) VALUES (1, 2)")
    daemon = place.daemon("--table", f"{place.name}.*")
    daemon.start()
    daemon.wait_ready()
    expect_equal(place, "logged", ("id",))
    assert re.search(r"passed over.*plain|plain.*passed over", daemon.output)


def test_delta_keys(place: Place) -> None:
    """A log without values is refused."""
    place.execute(
        "CREATE TABLE $ks.keys (id int PRIMARY KEY, v int)"
        " WITH cdc = {'enabled': true, 'delta': 'keys', 'postimage': true}"
    )
    daemon = place.daemon("--table", f"{place.name}.keys")
    expect_refusal(daemon, CONFIGURATION, "'delta': 'keys'", "ALTER TABLE")


def test_unsupported_type(place: Place, make_table: MakeTable) -> None:
    """A column of a type that cannot be replicated is refused by its name and type."""
    make_table("odd (id int PRIMARY KEY, v 'org.apache.cassandra.db.marshal.BytesType')")
    place.execute("ALTER TABLE $ks.odd ADD w 'org.apache.cassandra.db.marshal.LexicalUUIDType'")
    daemon = place.daemon("--table", f"{place.name}.odd")
    expect_refusal(daemon, CONFIGURATION, "LexicalUUIDType", "not supported")


def test_wrong_password(place: Place, make_table: MakeTable) -> None:
    """A wrong PostgreSQL password is a matter of settings; it is not printed."""
    make_table("t (id int PRIMARY KEY, v int)")
    url = urlsplit(place.stack.postgres)
    wrong = f"postgresql://{url.username}:opensesame@{url.hostname}:{url.port}{url.path}"
    place.settings["postgres"] = {"dsn": wrong}
    daemon = place.daemon("--table", f"{place.name}.t")
    expect_refusal(daemon, CONFIGURATION, "password")
    assert "opensesame" not in daemon.output


@pytest.mark.parametrize("cable", ["postgres", "registry"], indirect=True)
def test_server_away_at_start(place: Place, make_table: MakeTable, cable: Cable) -> None:
    """A server that is away at the start is named; the exit code asks for a restart."""
    make_table("t (id int PRIMARY KEY, v int)")
    cable.pull()
    daemon = place.daemon("--table", f"{place.name}.t")
    server = "registry" if "registry" in place.settings else "PostgreSQL"
    expect_refusal(daemon, OUTSIDE, server)


@pytest.mark.parametrize("cable", ["postgres", "registry"], indirect=True)
def test_server_away_for_a_while(place: Place, make_table: MakeTable, cable: Cable) -> None:
    """A server that goes away and comes back costs time and no change."""
    make_table("t (id int PRIMARY KEY, v int)")
    daemon = place.daemon("--table", f"{place.name}.*")
    daemon.start()
    daemon.wait_ready()
    place.execute("INSERT INTO $ks.t (id, v) VALUES (1, 1)")
    expect_equal(place, "t", ("id",))
    cable.pull()
    place.execute("INSERT INTO $ks.t (id, v) VALUES (2, 2)")
    make_table("later (id int PRIMARY KEY, v int)")
    place.execute("INSERT INTO $ks.later (id, v) VALUES (3, 3)")
    wait_until(lambda: not is_untroubled(daemon), "trouble that shows")
    cable.plug()
    expect_equal(place, "t", ("id",))
    expect_equal(place, "later", ("id",))
    assert daemon.is_running
    assert "Traceback" not in daemon.output


def is_untroubled(daemon: Daemon) -> bool:
    """Whether /readyz has nothing to tell."""
    _, body = daemon.get("/readyz")
    return not body["reasons"]


def test_log_older_than_its_ttl(place: Place, make_table: MakeTable) -> None:
    """A worker that was away for longer than the log lives stops that table; others go on."""
    place.execute(
        "CREATE TABLE $ks.short (id int PRIMARY KEY, v int) WITH cdc = {'enabled': true, 'ttl': 4}"
    )
    make_table("long (id int PRIMARY KEY, v int)")
    daemon = place.daemon("--table", f"{place.name}.*")
    daemon.start()
    daemon.wait_ready()
    place.execute("INSERT INTO $ks.short (id, v) VALUES (1, 1)")
    expect_equal(place, "short", ("id",))
    daemon.kill()
    place.execute("INSERT INTO $ks.short (id, v) VALUES (2, 2)")
    place.execute("INSERT INTO $ks.long (id, v) VALUES (2, 2)")
    gone = time.monotonic() + 6  # the log row is gone when its 4 s are over
    wait_until(lambda: time.monotonic() > gone, "the log's time to live")
    daemon.start()
    expect_equal(place, "long", ("id",))
    name = f"{place.name}.short"
    wait_until(
        lambda: (daemon.get("/readyz")[1] or {}).get("tables", {}).get(name) == "needs_snapshot",
        "the table that needs a snapshot",
    )
    assert "Traceback" not in daemon.output


def test_other_tables_need_another_name(place: Place, make_table: MakeTable) -> None:
    """A pipeline's set of tables is its own: another set is refused, both are shown."""
    make_table("t (id int PRIMARY KEY, v int)")
    make_table("u (id int PRIMARY KEY, v int)")
    daemon = place.daemon("--table", f"{place.name}.t")
    daemon.start()
    daemon.wait_ready()
    assert daemon.stop() == 0
    expect_refusal(
        place.daemon("--table", f"{place.name}.u"),
        CONFIGURATION,
        f"{place.name}.t",
        f"{place.name}.u",
        "--name",
    )


@pytest.mark.timeout(180)
def test_a_topic_that_was_deleted(place: Place, make_table: MakeTable) -> None:
    """A source whose topic was deleted stops that table, publishes nothing in another topic of its
    name, neither then nor after a restart, and goes on with a copy.
    """
    make_table("t (id int PRIMARY KEY, v int)")
    table = f"{place.name}.t"
    topic = f"{place.name}.{table}"
    admin = AdminClient({"bootstrap.servers": place.stack.kafka})

    def records() -> int:
        """How many there are, transactions' markers too; none while the topic is not there yet."""
        found = admin.list_topics(timeout=10).topics
        numbers = found[topic].partitions if topic in found else ()
        wanted = {TopicPartition(topic, number): OffsetSpec.latest() for number in numbers}
        try:
            offsets = admin.list_offsets(wanted) if wanted else {}
            return sum(f.result(10).offset for f in offsets.values())
        except KafkaException:  # its partitions have no leaders yet
            return 0

    def state(daemon: Daemon) -> dict[str, object]:
        _, body = daemon.get("/status")
        return body["tables"][0] if body and body["tables"] else {}

    daemon = place.daemon("--table", table, "--stage", "source")
    daemon.start()
    daemon.wait_ready()
    place.execute("INSERT INTO $ks.t (id, v) VALUES (1, 1)")
    wait_until(lambda: records() > 0, "a change")
    admin.delete_topics([topic])[topic].result(10)
    ids = itertools.count(2)

    def stopped() -> bool:
        place.execute(f"INSERT INTO $ks.t (id, v) VALUES ({next(ids)}, 1)")
        return state(daemon).get("state") == "needs_snapshot"

    wait_until(stopped, "the table has stopped", 60)
    assert "its topic was deleted" in str(state(daemon)["reason"])
    assert daemon.stop() == 0
    daemon = place.daemon("--table", table, "--stage", "source")
    daemon.start()
    wait_until(lambda: state(daemon).get("state") == "needs_snapshot", "it is stopped still")
    assert records() == 0
    code, _, error = command(place, "backfill", table)
    assert code == 0, error
    wait_until(lambda: state(daemon).get("state") == "running", "it goes on")
    assert records() > 0
    assert daemon.stop() == 0
