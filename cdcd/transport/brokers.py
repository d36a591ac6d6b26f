"""What the brokers are and allow, asked without changing anything."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from cdcd.config.settings import KafkaSettings
from cdcd.model.errors import CdcdError, Transient
from cdcd.transport.consumer import group_of
from cdcd.transport.kafka import admin_failure, client_properties, failure
from cdcd.transport.topics import source_group


@dataclass(frozen=True, slots=True)
class Cluster:
    """The brokers, and what this user may do with the cluster as a whole, in capitals."""

    brokers: int
    rights: frozenset[str]
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Topic:
    """Copies of the partition that has fewest, and the settings as the brokers have them."""

    copies: int
    settings: Mapping[str, str]


class Brokers:
    """Questions to the brokers. Every call raises Transient or ConfigurationError."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._timeout_seconds = settings.request_timeout_seconds
        self._admin = AdminClient(client_properties(settings, "check"))

    async def cluster(self) -> Cluster:
        """The cluster and one broker's settings; these are empty where they may not be read."""
        future = self._admin.describe_cluster(
            include_authorized_operations=True, request_timeout=self._timeout_seconds
        )
        found = await self._answer(future, "describing the cluster")
        rights = frozenset(o.name for o in found.authorized_operations or [])
        return Cluster(len(found.nodes), rights, await self._broker_settings(found.nodes[0].id))

    async def _broker_settings(self, broker: int) -> Mapping[str, str]:
        resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
        futures = self._admin.describe_configs([resource], request_timeout=self._timeout_seconds)
        try:
            return await self._entries(futures[resource], "reading a broker's settings")
        except CdcdError:
            return {}  # a right of its own, which replication does not need

    async def topics(self, wanted: Callable[[str], bool]) -> Mapping[str, Topic]:
        """The topics that there are of those whose names are wanted."""
        found = (await asyncio.to_thread(self._metadata)).topics
        names = {n: t for n, t in found.items() if t.error is None and wanted(n)}
        if not names:
            return {}
        resources = {n: ConfigResource(ConfigResource.Type.TOPIC, n) for n in names}
        futures = self._admin.describe_configs(
            list(resources.values()), request_timeout=self._timeout_seconds
        )
        return {
            name: Topic(
                min(len(p.replicas) for p in names[name].partitions.values()),
                await self._entries(futures[resource], f"reading the settings of topic {name}"),
            )
            for name, resource in resources.items()
        }

    def _metadata(self) -> Any:
        try:
            return self._admin.list_topics(timeout=self._timeout_seconds)
        except KafkaException as error:
            raise admin_failure(self._admin, error, "listing topics") from error

    async def _entries(self, future: Future[Any], doing: str) -> Mapping[str, str]:
        entries = await self._answer(future, doing)
        return {name: e.value for name, e in entries.items() if e.value is not None}

    async def could_make(self, topic: str, config: Mapping[str, str]) -> None:
        """Ask whether a topic that is not there could be made; it is not made."""
        asked = NewTopic(
            topic,
            num_partitions=1,
            replication_factor=self._settings.topic_replication_factor,
            config=dict(config),
        )
        futures = self._admin.create_topics(
            [asked], validate_only=True, request_timeout=self._timeout_seconds
        )
        await self._answer(futures[topic], f"asking to make topic {topic}")

    async def could_transact(self, transactional_id: str) -> None:
        """Open a transactional producer and close it; no transaction is begun."""
        timeout_ms = int(self._settings.transaction_timeout_seconds * 1000)
        properties = client_properties(self._settings, "check")
        producer = Producer(
            {
                **properties,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": timeout_ms,
            }
        )
        try:
            await asyncio.to_thread(producer.init_transactions, self._timeout_seconds)
        except KafkaException as error:
            raise failure(error, "opening a transactional producer") from error

    async def _answer(self, future: Future[Any], doing: str) -> Any:
        try:
            # The client ends the request itself; the second limit is for a client that does not.
            return await asyncio.to_thread(future.result, self._timeout_seconds + 1)
        except KafkaException as error:
            raise admin_failure(self._admin, error, doing) from error
        except TimeoutError as error:
            raise Transient(f"Kafka: {doing}: no answer in time") from error

    async def workers(self, pipeline: str) -> Mapping[str, int]:
        """How many workers run each stage. One that has gone counts until its session ends."""
        groups = {"source": source_group(pipeline), "sink": group_of(pipeline)}
        return {stage: await self.members(group) for stage, group in groups.items()}

    async def members(self, group: str) -> int:
        """How many members a consumer group has."""
        futures = self._admin.describe_consumer_groups(
            [group], request_timeout=self._timeout_seconds
        )
        found = await self._answer(futures[group], f"describing group {group}")
        return len(found.members)
