"""What the consumer group leaves to nobody is divided anew."""

from confluent_kafka.admin import AdminClient, NewPartitions

from cdcd.transport.records import Partition
from cdcd.transport.topics import Topics
from tests.integration.feeding import Feed, change, eventually, sinking, table

PLAIN = table("plain", "p:id int; r:v text")
OTHER = table("other", "p:id int; r:v text")


async def apply_first(feed: Feed) -> None:
    """Have a first row applied by a sink that is gone afterwards, and may be back soon."""
    await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
    async with sinking(feed.plan()):
        await eventually(lambda: feed.values("SELECT * FROM {s}.plain", "id"), [(1,)])


async def test_a_topic_that_was_made_while_the_worker_was_away(feed: Feed) -> None:
    """The worker is back before its session ends, is given what it had, and applies the other."""
    await apply_first(feed)
    await feed.publish(OTHER, [change(OTHER, "c", (2,), {"v": "y"})])
    async with sinking(feed.plan()):
        await eventually(lambda: feed.values("SELECT * FROM {s}.other", "id"), [(2,)])


async def test_partitions_that_a_topic_gains_while_it_is_read(feed: Feed) -> None:
    """They are read soon, and not only when the client looks at its topics again."""
    await feed.publish(PLAIN, [change(PLAIN, "c", (1,), {"v": "x"})])
    topics, group = Topics(feed.kafka), f"{feed.pipeline}.sink"
    async with sinking(feed.plan()):
        await eventually(lambda: feed.values("SELECT * FROM {s}.plain", "id"), [(1,)])
        topic = feed.topic(PLAIN)
        client = AdminClient({"bootstrap.servers": feed.kafka.bootstrap_servers})
        client.create_partitions([NewPartitions(topic, 3)])[topic].result(10)

        async def is_read() -> bool:
            return Partition(topic, 2) in (await topics.read_by(group) or ())

        await eventually(is_read, expected=True)


async def test_a_group_that_is_not_there(feed: Feed) -> None:
    """Nothing is known of who reads what."""
    assert await Topics(feed.kafka).read_by(f"{feed.pipeline}.nobody") is None
