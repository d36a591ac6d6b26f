"""Take away what a pipeline that is no more has left in Kafka and in the registry.

For pipelines that were made for a while only; a user's own are never swept.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from cdcd.config.settings import KafkaSettings
from cdcd.ops.retry import Backoff, retrying
from cdcd.transport.consumer import group_of
from cdcd.transport.dead_letter_topic import carriers_group
from cdcd.transport.kafka import client_properties, failure
from cdcd.transport.registry import Registry
from cdcd.transport.topics import Topics, source_group

_GONE = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND})


async def sweep(settings: KafkaSettings, registry: Registry, pipeline: str) -> None:
    """Delete the pipeline's topics with their subjects, and its groups.

    Raises Transient or ConfigurationError.
    """
    topics = [t for t in await Topics(settings).partitions() if t.startswith(f"{pipeline}.")]
    for topic in topics:
        for part in ("key", "value"):
            await registry.forget(f"{topic}-{part}")
    admin = AdminClient(client_properties(settings, "sweep"))
    limit = settings.request_timeout_seconds
    if topics:
        await _deleted(lambda: admin.delete_topics(topics, request_timeout=limit), limit)
    groups = [source_group(pipeline), group_of(pipeline), carriers_group(pipeline)]

    async def forget_groups() -> None:
        await _deleted(lambda: admin.delete_consumer_groups(groups, request_timeout=limit), limit)

    # Static members, which have left without a word, are in their group until their session ends,
    # and one whose rebalance was under way begins another.
    await retrying(forget_groups, Backoff(), limit_seconds=4 * settings.session_timeout_seconds)


async def _deleted(ask: Callable[[], dict[str, "Future[Any]"]], limit_seconds: float) -> None:
    for name, future in ask().items():
        try:
            # The client ends the request itself; the second limit is for one that does not.
            await asyncio.to_thread(future.result, limit_seconds + 1)
        except KafkaException as error:
            if error.args[0].code() not in _GONE:
                raise failure(error, f"deleting {name}") from error
