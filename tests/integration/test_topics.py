"""Topics are made with the settings that cdcd needs, and others are refused."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.transport.topics import Topics, change_topic, lanes_topic, table_of_topic
from tests.stack import Stack
from tests.unit.tables import table

_number = itertools.count()


@pytest.fixture
def settings(stack: Stack) -> KafkaSettings:
    """Settings for one broker."""
    return KafkaSettings(
        bootstrap_servers=stack.kafka,
        topic_replication_factor=1,
        topic_min_insync_replicas=1,
        topic_partitions=3,
        topic_retention_hours=7,
    )


@pytest.fixture
async def name(settings: KafkaSettings) -> AsyncIterator[str]:
    """A topic's name that no other test uses; the topic is removed."""
    made = f"topics{os.getpid()}x{next(_number)}"
    yield made
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    if made in admin.list_topics(timeout=10).topics:
        admin.delete_topics([made])[made].result(10)


def config_of(settings: KafkaSettings, name: str) -> dict[str, str]:
    """A topic's settings as the broker has them, once it knows the topic."""
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    ends = time.monotonic() + 30
    while True:
        try:
            entries = admin.describe_configs([resource])[resource].result(10)
        except KafkaException as error:
            unknown = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            if not unknown or time.monotonic() > ends:
                raise
            time.sleep(0.1)
        else:
            return {key: entry.value for key, entry in entries.items()}


async def test_change_topics_have_the_settings(settings: KafkaSettings, name: str) -> None:
    """A table's topic has partitions, retention and copies as configured."""
    assert await Topics(settings).make_change_topic(name) == 3
    expected = {
        "cleanup.policy": "delete",
        "retention.ms": str(7 * 3_600_000),
        "min.insync.replicas": "1",
    }
    assert expected.items() <= config_of(settings, name).items()
    assert (await Topics(settings).partitions())[name] == 3


async def test_a_topic_that_is_there_stays(settings: KafkaSettings, name: str) -> None:
    """A table's topic that is there keeps its partitions, whatever the settings say now."""
    await Topics(settings).make_change_topic(name)
    other = settings.model_copy(update={"topic_partitions": 5})
    assert await Topics(other).make_change_topic(name) == 3


async def test_lanes_topics_are_compacted(settings: KafkaSettings, name: str) -> None:
    """The lanes topic has one partition a lane and keeps the newest record of each key."""
    await Topics(settings).make_lanes_topic(name, 4)
    assert (await Topics(settings).partitions())[name] == 4
    found = config_of(settings, name)
    assert found["cleanup.policy"] == "compact"
    assert found["segment.bytes"] == str(1024 * 1024)


async def test_another_number_of_lanes_is_refused(settings: KafkaSettings, name: str) -> None:
    """A lanes topic with another number of lanes stays, and the start is refused."""
    await Topics(settings).make_lanes_topic(name, 4)
    await Topics(settings).make_lanes_topic(name, 4)
    for lanes in (2, 8):
        with pytest.raises(ConfigurationError, match=f"has 4 lanes, and the settings say {lanes}"):
            await Topics(settings).make_lanes_topic(name, lanes)
    assert (await Topics(settings).partitions())[name] == 4


async def test_a_lanes_topic_that_forgets_is_refused(settings: KafkaSettings, name: str) -> None:
    """A topic in the place of the lanes topic that deletes old records is refused.

    Positions that nobody has renewed for its retention would be gone.
    """
    await Topics(settings.model_copy(update={"topic_partitions": 4})).make_change_topic(name)
    with pytest.raises(ConfigurationError, match=r"cleanup\.policy"):
        await Topics(settings).make_lanes_topic(name, 4)


async def test_more_copies_than_brokers_are_refused(settings: KafkaSettings, name: str) -> None:
    """A topic that the brokers cannot make as asked is a mistake of the settings."""
    many = settings.model_copy(update={"topic_replication_factor": 3})
    with pytest.raises(ConfigurationError, match="making topic"):
        await Topics(many).make_change_topic(name)


async def test_starts_and_ends(settings: KafkaSettings, name: str) -> None:
    """The ends are behind the last record, and the starts at the oldest."""
    topics = Topics(settings)
    await topics.make_change_topic(name)
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for _ in range(5):
        producer.produce(name, b"x", partition=1)
    producer.flush(10)
    places = [(name, n) for n in range(3)]
    assert await topics.ends(places) == {(name, 0): 0, (name, 1): 5, (name, 2): 0}
    assert await topics.starts(places) == dict.fromkeys(places, 0)
    assert await topics.ends([]) == {}


async def test_a_new_client_finds_offsets_at_once(settings: KafkaSettings, name: str) -> None:
    """One new client of fifty loses its first question and asks it again after three seconds, if
    librdkafka is left to itself; a worker that starts has to wait for none.
    """
    await Topics(settings).make_change_topic(name)

    async def asked() -> float:
        began = time.monotonic()
        await Topics(settings).starts([(name, 0)])
        return time.monotonic() - began

    assert max([await asked() for _ in range(400)]) < 2.5


async def test_committed_ends_are_before_open_transactions(
    settings: KafkaSettings, name: str
) -> None:
    """The end of what is committed is in front of an open transaction; the end of all is behind."""
    topics = Topics(settings)
    await topics.make_change_topic(name)
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "transactional.id": name})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(name, b"x", partition=0)
    producer.flush(10)
    assert await topics.ends([(name, 0)]) == {(name, 0): 1}
    assert await topics.ends([(name, 0)], committed=True) == {(name, 0): 0}
    producer.abort_transaction(10)


async def test_what_a_topic_is(settings: KafkaSettings, name: str) -> None:
    """Its id stays, and of what cdcd makes nothing is weaker than it should be."""
    topics = Topics(settings)
    await topics.make_change_topic(name)
    found = await topics.facts(name)
    assert await topics.facts(name) == found
    assert len(found.topic_id) > 10
    assert (found.partitions, found.retention_seconds) == (3, 7 * 3600)
    assert (found.faults, found.warnings(7, 1)) == ([], [])


async def test_a_topic_that_is_made_again_is_another_one(
    settings: KafkaSettings, name: str
) -> None:
    """Where changes go is told by a topic's id and its number of partitions."""
    topics = Topics(settings)
    await topics.make_change_topic(name)
    before = await topics.destinations([name])
    assert before == await topics.destinations([name])
    assert before[name].partitions == 3
    admin = AdminClient({"bootstrap.servers": settings.bootstrap_servers})
    admin.create_partitions([NewPartitions(name, 4)])[name].result(10)
    async with asyncio.timeout(10):
        while (grown := await topics.destinations([name]))[name].partitions == 3:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert grown[name] == replace(before[name], partitions=4)
    admin.delete_topics([name])[name].result(10)
    async with asyncio.timeout(10):
        while name in await topics.partitions():  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await topics.make_change_topic(name)
    again = await topics.destinations([name])
    assert again[name].topic_id != before[name].topic_id


async def test_brokers_that_are_away_are_transient() -> None:
    """Brokers that do not answer are a failure that may pass."""
    away = KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_seconds=1)
    with pytest.raises(Transient, match="reaching the brokers"):
        await Topics(away).ping()


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("p.ks.t", "ks.t"),
        ("p.cdcd.lanes", None),
        ("p.cdcd.dlq", None),
        ("q.ks.t", None),
        ("p.ks", None),
        ("p.ks.t.more", None),
        ("p.ks.", None),
        ("pp.ks.t", None),
    ],
)
def test_the_table_of_a_topic(topic: str, expected: str | None) -> None:
    """A topic's name gives its table, unless it is the pipeline's own or somebody else's."""
    assert table_of_topic("p", topic) == expected


def test_the_topic_of_a_table() -> None:
    """A table's topic is the pipeline's name and the table's."""
    spec = table({"p:p": "int"}, name="T_1")
    assert change_topic("p", spec) == "p.ks.T_1"
    assert table_of_topic("p", change_topic("p", spec)) == spec.full_name
    assert lanes_topic("p") == "p.cdcd.lanes"


async def test_a_topic_becomes_compacted_and_stays_so(settings: KafkaSettings, name: str) -> None:
    """A topic is compacted when that is asked for, never before the retention time, and is not set
    back, which would delete what it keeps.
    """
    topics = Topics(settings)
    await topics.make_change_topic(name)
    assert not (await topics.facts(name)).is_compacted
    assert await topics.make_change_topic(name, compacted=True) == 3
    await topics.make_change_topic(name)
    found = await topics.facts(name)
    assert found.is_compacted
    assert found.retention_seconds == settings.topic_retention_hours * 3600
    assert found.faults == []


async def test_offsets_of_a_time(settings: KafkaSettings, name: str) -> None:
    """The first record from a time on is found; where there is none it is the end."""
    topics = Topics(settings)
    await topics.make_change_topic(name)
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for ms in (1000, 2000, 3000):
        producer.produce(name, b"x", partition=0, timestamp=ms)
    producer.flush(10)
    places = [(name, 0), (name, 1)]
    assert await topics.since(places, 1500) == {(name, 0): 1, (name, 1): 0}
    assert await topics.since(places, 4000) == {(name, 0): 3, (name, 1): 0}
