"""Dead letters as others see them: rows of the table, and records of the topic."""

from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

from cdcd.config.settings import Settings
from cdcd.transport.topics import Topics, dead_letter_topic
from tests.integration.feeding import Feed

_LETTERS = """
SELECT * FROM cdcd.dead_letters WHERE pipeline = $1 ORDER BY topic, partition, record_offset
"""


class Carried(NamedTuple):
    """A record of the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, str]

    @property
    def place(self) -> tuple[str, int, int]:
        """Where its record was."""
        found = [self.headers[f"__connect.errors.{n}"] for n in ("topic", "partition", "offset")]
        return found[0], int(found[1]), int(found[2])


async def letters(feed: Feed) -> list[dict[str, Any]]:
    """The rows of a pipeline."""
    return await feed.rows(_LETTERS, feed.pipeline)


async def states(feed: Feed) -> list[str]:
    """The states of a pipeline's letters, by the records' offsets."""
    return [letter["state"] for letter in await letters(feed)]


async def carried(feed: Feed) -> list[Carried]:
    """The committed records of the topic."""
    topic = dead_letter_topic(feed.pipeline)
    topics = Topics(feed.kafka)
    count = (await topics.partitions()).get(topic, 0)
    consumer = Consumer(
        {
            "bootstrap.servers": feed.kafka.bootstrap_servers,
            "group.id": f"{feed.pipeline}.test",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(count)])
    found, open_partitions = [], set(range(count))
    while open_partitions:
        for message in consumer.consume(1000, 0.2):
            if message.error():
                open_partitions.discard(message.partition() or 0)
                continue
            headers: Any = message.headers()
            texts = {name: value.decode() for name, value in headers}
            found.append(Carried(message.key(), message.value(), texts))
    consumer.close()
    return found


def settings(feed: Feed) -> Settings:
    """The settings of a pipeline, as a command would have them."""
    plan = feed.plan()
    return Settings(
        name=feed.pipeline, kafka=plan.kafka, registry=plan.registry, postgres=plan.postgres
    )
