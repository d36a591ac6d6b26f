"""Topics: their names, their making, their ends. cdcd makes its topics itself."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import (
    ConsumerGroupState,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from cdcd.config.settings import KafkaSettings
from cdcd.model.destination import Destination
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.model.table import TableSpec
from cdcd.transport.kafka import admin_failure, client_properties, failure
from cdcd.transport.records import Partition
from cdcd.transport.topic_facts import HEADERS_BYTES_MAX, RECORD_BYTES_MAX, TopicFacts

_INTERNAL = "cdcd"

# How soon a topic that a broker does not know yet is asked for again, and for how long.
_UNKNOWN_SECONDS = 0.1
_UNKNOWN_SECONDS_MAX = 5.0
# When the limit of this request passes while its coordinator is away, librdkafka 2.16 ends the
# process (an assertion in `rd_kafka_enq_once_del_source_return`). So its limit is the longest that
# there is, and we wait for less.
_DESCRIBE_SECONDS_MAX = 3600.0
_NOT_YET = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
)
# What the client knows of the leaders is older than the brokers, or than their restart.
_OUTDATED = (KafkaError.FENCED_LEADER_EPOCH, KafkaError.UNKNOWN_LEADER_EPOCH)


def change_topic(pipeline: str, table: TableSpec) -> str:
    """The topic of a table's changes."""
    return f"{pipeline}.{table.full_name}"


def lanes_topic(pipeline: str) -> str:
    """The topic of the pipeline's lanes."""
    return f"{pipeline}.{_INTERNAL}.lanes"


def dead_letter_topic(pipeline: str) -> str:
    """The topic of the pipeline's dead letters."""
    return f"{pipeline}.{_INTERNAL}.dlq"


def source_group(pipeline: str) -> str:
    """The consumer group of a pipeline's sources, on the lanes topic."""
    return f"{pipeline}.source"


def table_of_topic(pipeline: str, topic: str) -> str | None:
    """The full name of the table whose changes a topic holds; None for other topics."""
    prefix = f"{pipeline}."
    if not topic.startswith(prefix):
        return None
    name = topic[len(prefix) :]
    keyspace, dot, table = name.partition(".")
    return name if dot and table and "." not in table and keyspace != _INTERNAL else None


class Topics:
    """The brokers' catalog of topics. Every call raises Transient or ConfigurationError."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin = AdminClient(client_properties(settings, "admin"))
        self._timeout_seconds = settings.request_timeout_seconds
        self._knows_brokers = False

    async def ping(self) -> int:
        """Ask for the brokers; gives how many there are."""
        metadata = await self._metadata("reaching the brokers")
        return len(metadata.brokers)

    async def partitions(self) -> Mapping[str, int]:
        """Number of partitions by topic."""
        metadata = await self._metadata("listing topics")
        return {
            name: len(topic.partitions)
            for name, topic in metadata.topics.items()
            if topic.error is None
        }

    async def make_change_topic(self, name: str, *, compacted: bool = False) -> int:
        """Make a table's topic if it is not there; gives its number of partitions.

        A compacted one keeps the last record of each key; none is taken away before the retention
        time, because the last change of a row does not say all of it. One that is there is made so
        too, and is never set back: that would delete what it keeps.
        """
        lag_ms = str(self._settings.topic_retention_hours * 3_600_000)
        compaction = {"cleanup.policy": "compact", "min.compaction.lag.ms": lag_ms}
        policy = compaction if compacted else {}
        partitions = await self._make_kept(name, RECORD_BYTES_MAX, policy)
        if compacted and "compact" not in (await self._config(name))["cleanup.policy"]:
            await self._set(name, policy)
        return partitions

    async def make_dead_letter_topic(self, name: str) -> int:
        """Make the topic of dead letters if it is not there; gives its number of partitions."""
        return await self._make_kept(name, RECORD_BYTES_MAX + HEADERS_BYTES_MAX, {})

    async def _make_kept(self, name: str, record_bytes_max: int, policy: Mapping[str, str]) -> int:
        settings = self._settings
        config = {
            "cleanup.policy": "delete",
            "retention.ms": str(settings.topic_retention_hours * 3_600_000),
            "max.message.bytes": str(record_bytes_max),
            "min.insync.replicas": str(settings.topic_min_insync_replicas),
            **policy,
        }
        return await self._make(name, settings.topic_partitions, config)

    async def make_lanes_topic(self, name: str, lanes: int) -> None:
        """Make the lanes topic if it is not there.

        Raises ConfigurationError when it is there with another number of lanes: a row's lane would
        change, and its changes could pass its refreshes.
        """
        config = {
            "cleanup.policy": "compact",
            "min.insync.replicas": str(self._settings.topic_min_insync_replicas),
            # Small segments, cleaned soon: a worker that takes a lane over reads its whole log.
            "segment.bytes": str(1024 * 1024),
            "min.cleanable.dirty.ratio": "0.1",
        }
        found = await self._make(name, lanes, config)
        if found != lanes:
            raise ConfigurationError(
                f"the pipeline has {found} lanes, and the settings say {lanes}",
                "it is fixed when a pipeline is made: set `lanes` back, or use another name",
            )

        policy = (await self._config(name))["cleanup.policy"]
        if policy != "compact":
            raise ConfigurationError(
                f"topic {name} has cleanup.policy={policy}, and forgets where the lanes stand",
                "set it to compact",
            )

    async def read_by(self, group: str) -> frozenset[Partition] | None:
        """The partitions that members of a consumer group read; None while it divides them, or is
        not there.
        """
        doing = f"describing group {group}"
        future = self._admin.describe_consumer_groups(
            [group], request_timeout=_DESCRIBE_SECONDS_MAX
        )[group]
        try:
            found = await asyncio.to_thread(future.result, self._timeout_seconds)
        except TimeoutError as error:
            raise Transient(f"Kafka: {doing}: no answer in time") from error
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return None
            raise failure(error, doing) from error
        if found.state is not ConsumerGroupState.STABLE:
            return None
        return frozenset(
            Partition(place.topic, place.partition)
            for member in found.members
            for place in member.assignment.topic_partitions
        )

    async def facts(self, name: str) -> TopicFacts:
        """What a topic is now; one that was deleted and made again has another id."""
        settings = await self._config(name)

        def ask() -> "Future[Any]":
            return self._admin.describe_topics(TopicCollection([name]))[name]

        found = await self._answer(ask(), ask, f"describing topic {name}")
        return TopicFacts(str(found.topic_id), len(found.partitions), settings)

    async def _config(self, topic: str) -> dict[str, str]:
        resource = ConfigResource(ResourceType.TOPIC, topic)

        def ask() -> "Future[Any]":
            return self._admin.describe_configs([resource])[resource]

        found = await self._answer(ask(), ask, f"describing topic {topic}")
        return {name: str(entry.value) for name, entry in found.items()}

    async def _answer(
        self, future: "Future[Any]", again: Callable[[], "Future[Any]"], doing: str
    ) -> Any:
        """What the brokers answer. They learn of a new topic, and of who leads it, a moment after
        it was made, so they are asked `again` for a while.
        """
        ends = time.monotonic() + _UNKNOWN_SECONDS_MAX
        while True:
            try:
                return await asyncio.to_thread(future.result, self._timeout_seconds)
            except TimeoutError as error:
                raise Transient(f"Kafka: {doing}: no answer in time") from error
            except KafkaException as error:
                code = error.args[0].code()
                if code not in (*_NOT_YET, *_OUTDATED) or time.monotonic() > ends:
                    raise failure(error, doing) from error
                if code in _OUTDATED:
                    # An admin client does not ask for it anew by itself.
                    await self._metadata(doing)
            await asyncio.sleep(_UNKNOWN_SECONDS)
            future = again()

    async def _set(self, topic: str, settings: Mapping[str, str]) -> None:
        set_to = AlterConfigOpType.SET
        entries = [
            ConfigEntry(name, value, incremental_operation=set_to)
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)

        def ask() -> "Future[Any]":
            return self._admin.incremental_alter_configs([resource])[resource]

        await self._answer(ask(), ask, f"setting topic {topic}")

    async def _make(self, name: str, partitions: int, config: dict[str, str]) -> int:
        known = (await self.partitions()).get(name)
        if known is not None:
            return known
        topic = NewTopic(
            name,
            num_partitions=partitions,
            replication_factor=self._settings.topic_replication_factor,
            config=config,
        )
        future = self._admin.create_topics([topic])[name]
        try:
            await asyncio.to_thread(future.result, self._timeout_seconds)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise failure(error, f"making topic {name}") from error
        return (await self.partitions()).get(name, partitions)

    async def destinations(self, names: Collection[str]) -> Mapping[str, Destination]:
        """What the topics are now; those that are not there are left out, after a while in which
        the brokers may learn of them.
        """
        found: dict[str, Destination] = {}
        ends = time.monotonic() + _UNKNOWN_SECONDS_MAX
        while missing := [name for name in names if name not in found]:
            futures = self._admin.describe_topics(
                TopicCollection(missing), request_timeout=self._timeout_seconds
            )
            for name, future in futures.items():
                doing = f"describing topic {name}"
                try:
                    topic = await asyncio.to_thread(future.result, self._timeout_seconds + 1)
                except TimeoutError as error:
                    raise Transient(f"Kafka: {doing}: no answer in time") from error
                except KafkaException as error:
                    if error.args[0].code() not in _NOT_YET:
                        raise failure(error, doing) from error
                else:
                    found[name] = Destination(str(topic.topic_id), len(topic.partitions))
            if time.monotonic() > ends:
                break
            if len(found) < len(names):
                await asyncio.sleep(_UNKNOWN_SECONDS)
        return found

    async def ends(
        self, partitions: Iterable[tuple[str, int]], *, committed: bool = False
    ) -> Mapping[tuple[str, int], int]:
        """The offset behind the last record: of all records, or of the committed ones only."""
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        return await self._offsets(partitions, OffsetSpec.latest(), level)

    async def starts(self, partitions: Iterable[tuple[str, int]]) -> Mapping[tuple[str, int], int]:
        """The offset of the oldest record that is retained."""
        return await self._offsets(
            partitions, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED
        )

    async def since(
        self, partitions: Iterable[tuple[str, int]], ms: int
    ) -> Mapping[tuple[str, int], int]:
        """The offset of the first record from a time on; the end where there is none."""
        wanted = list(partitions)
        level = IsolationLevel.READ_UNCOMMITTED
        found = await self._offsets(wanted, OffsetSpec.for_timestamp(ms), level)
        ends = await self.ends(wanted)
        return {at: ends[at] if offset < 0 else offset for at, offset in found.items()}

    async def _offsets(
        self, partitions: Iterable[tuple[str, int]], spec: OffsetSpec, level: IsolationLevel
    ) -> Mapping[tuple[str, int], int]:
        wanted = [TopicPartition(topic, partition) for topic, partition in partitions]

        def ask(some: Iterable[TopicPartition]) -> "dict[TopicPartition, Future[Any]]":
            return self._admin.list_offsets(
                dict.fromkeys(some, spec),
                isolation_level=level,
                request_timeout=self._timeout_seconds,
            )

        if not wanted:
            return {}
        await self._know_brokers()
        found = {}
        for at, future in ask(wanted).items():
            doing = f"asking for offsets of {at.topic}"
            result = await self._answer(future, lambda at=at: ask([at])[at], doing)  # type: ignore[misc]
            found[at.topic, at.partition] = result.offset
        return found

    async def _know_brokers(self) -> None:
        """Have the client know the brokers before it is asked for a partition's leader.

        Once it knows them, librdkafka 2.16 drops the bootstrap connection. A question for leaders
        that is on its way there is lost, and asked again after three seconds; one for the cluster
        is asked again at once.
        """
        if self._knows_brokers:
            return

        def ask() -> "Future[Any]":
            future: Future[Any] = self._admin.describe_cluster(
                request_timeout=self._timeout_seconds
            )
            return future

        await self._answer(ask(), ask, "reaching the brokers")
        self._knows_brokers = True

    async def _metadata(self, doing: str) -> Any:
        try:
            return await asyncio.to_thread(self._admin.list_topics, timeout=self._timeout_seconds)
        except KafkaException as error:
            raise admin_failure(self._admin, error, doing) from error
