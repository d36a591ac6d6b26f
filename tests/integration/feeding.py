"""Change topics as the source stage would fill them, and the rows that a sink makes of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from cdcd.config.settings import (
    DlqSettings,
    KafkaSettings,
    PostgresSettings,
    RegistrySettings,
    SinkSettings,
)
from cdcd.model.change import ChangeEvent, Elements, Operation
from cdcd.model.control import Control
from cdcd.model.cqltype import UdtFields, parse
from cdcd.model.refresh import Request
from cdcd.model.table import Column, ColumnKind, TableSpec
from cdcd.ops.board import Board
from cdcd.ops.directions import Directions
from cdcd.ops.status import TableState, TableStatus
from cdcd.sink.stage import Plan, run
from cdcd.transport.lane_records import decode_request, request_of_key
from cdcd.transport.record_writer import RecordWriter, SchemaIds
from cdcd.transport.records import Headers
from cdcd.transport.registry import Registry
from cdcd.transport.schema import key_schema, value_schema
from cdcd.transport.topics import Topics, lanes_topic

LANES = 4
KINDS = {
    "p": ColumnKind.PARTITION_KEY,
    "c": ColumnKind.CLUSTERING,
    "r": ColumnKind.REGULAR,
    "s": ColumnKind.STATIC,
}


def table(
    name: str, columns: str | Mapping[str, str], udts: Mapping[str, UdtFields] | None = None
) -> TableSpec:
    """A table from `"p:id int, r:name text"` or from `{"id": "p:int"}`; keyspace is `ks`."""
    if isinstance(columns, str):
        pairs = [part.strip().split(" ", 1) for part in columns.split(";")]
        columns = {n.split(":")[1]: f"{n.split(':')[0]}:{t}" for n, t in pairs}
    udts = udts or {}
    found = [Column(name, parse(text[2:], udts), KINDS[text[0]]) for name, text in columns.items()]
    return TableSpec("ks", name, tuple(found), udts)


def change(
    spec: TableSpec,
    op: str,
    key: Sequence[Any],
    values: Mapping[str, Any] | None = None,
    *,
    time_us: int = 1_700_000_000_000_000,
    **more: Any,
) -> ChangeEvent:
    """A change; a value of None was set to null, and a name that is absent was not touched. One
    that is `Elements` was changed in part.
    """
    elements = {n: v for n, v in (values or {}).items() if isinstance(v, Elements)}
    given = {n: v for n, v in (values or {}).items() if n not in elements}
    size = len(spec.partition_key)
    return ChangeEvent(
        table=spec,
        op=Operation(op),
        partition=tuple(key[:size]),
        clustering=tuple(key[size:]) or (None,) * len(spec.clustering_key),
        time_us=time_us,
        token=more.pop("token", 0),
        identity=more.pop("identity", None),
        values={n: v for n, v in given.items() if v is not None},
        nulls=tuple(n for n, v in given.items() if v is None),
        elements=elements,
        **more,
    )


_NOT_YET = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InvalidSchemaNameError,
)


class Feed:
    """One pipeline's topics, and the target schema of its sink."""

    def __init__(self, pipeline: str, kafka: str, registry: str, postgres: str) -> None:
        self.pipeline = pipeline
        self.schema = f"target_{pipeline}"
        self.postgres = postgres
        self.kafka = KafkaSettings(
            bootstrap_servers=kafka,
            session_timeout_seconds=3,
            topic_replication_factor=1,
            topic_min_insync_replicas=1,
        )
        self.registry_settings = RegistrySettings(url=registry)
        self.registry = Registry(self.registry_settings)
        self._bootstrap = kafka
        self._producer: Producer | None = None

    def plan(self, instance: str = "one", **changed: Any) -> Plan:
        """What a sink of this pipeline is to do."""
        given: dict[str, Any] = {
            "lanes": LANES,
            "directions": Directions(Control(("ks.*",))),
            "kafka": self.kafka,
            "registry": self.registry_settings,
            "postgres": PostgresSettings(dsn=self.postgres, target_schema=self.schema),
            "sink": SinkSettings(fetch_wait_seconds=0.1, retry_seconds_max=0.5),
            "dlq": DlqSettings(),
            **changed,
        }
        return Plan(name=self.pipeline, instance=instance, **given)

    def topic(self, spec: TableSpec) -> str:
        return f"{self.pipeline}.{spec.full_name}"

    def make_topic(self, spec: TableSpec, partitions: int = 1) -> None:
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        future = admin.create_topics([NewTopic(self.topic(spec), partitions, 1)])
        try:
            future[self.topic(spec)].result(10)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def make_lanes(self) -> None:
        """The lanes topic, as `cdcd run` makes it before its stages begin."""
        admin = AdminClient({"bootstrap.servers": self._bootstrap})
        topic = lanes_topic(self.pipeline)
        config = {"cleanup.policy": "compact"}
        admin.create_topics([NewTopic(topic, LANES, 1, config=config)])[topic].result(10)

    async def requests(self) -> list[tuple[int, Request]]:
        """What the sink has asked for: lanes and requests, in order within a lane."""
        found: list[tuple[int, Request]] = []
        topic = lanes_topic(self.pipeline)
        ends = await Topics(self.kafka).ends([(topic, lane) for lane in range(LANES)])
        consumer = Consumer({"bootstrap.servers": self._bootstrap, "group.id": "feed"})
        consumer.assign([TopicPartition(topic, lane, 0) for lane in range(LANES)])
        while len(found) < sum(ends.values()):
            for message in consumer.consume(100, 1.0):
                request_id = request_of_key(message.key() or b"")
                lane, value = message.partition(), message.value()
                assert request_id is not None
                assert lane is not None
                assert value is not None
                found.append((lane, decode_request(request_id, value)))
        consumer.close()
        return sorted(found, key=lambda f: f[0])

    async def writer(self, spec: TableSpec, partitions: int = 1) -> RecordWriter:
        topic = self.topic(spec)
        key, value = key_schema(spec, topic), value_schema(spec, topic)
        ids = SchemaIds(
            await self.registry.register(f"{topic}-key", key),
            await self.registry.register(f"{topic}-value", value),
        )
        return RecordWriter(spec, topic, self.pipeline, ids, partitions)

    async def publish(
        self, spec: TableSpec, events: Sequence[ChangeEvent], partitions: int = 1
    ) -> None:
        """Publish changes in one transaction; the partition follows from the partition key."""
        self.make_topic(spec, partitions)
        writer = await self.writer(spec, partitions)
        producer = self._transactional()
        producer.begin_transaction()
        for event in events:
            ((number, key, value),) = writer.records([event], event.time_us // 1000)
            headers: Headers = [("cdcd-late", b"1")] if event.is_late else []
            producer.produce(
                self.topic(spec), key=key, value=value, partition=number, headers=headers
            )
            producer.poll(0)
        producer.commit_transaction(30)

    def produce_raw(self, spec: TableSpec, key: bytes | None, value: bytes | None) -> None:
        producer = self._transactional()
        producer.begin_transaction()
        producer.produce(self.topic(spec), key=key, value=value)
        producer.commit_transaction(30)

    def renew(self) -> None:
        """Publish by the topics as they are now; a producer knows for minutes what they were."""
        self._producer = None

    def _transactional(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(
                {
                    "bootstrap.servers": self._bootstrap,
                    "transactional.id": f"feed-{self.pipeline}",
                    "queue.buffering.max.messages": 1_000_000,
                }
            )
            self._producer.init_transactions(30)
        return self._producer

    async def connect(self) -> "asyncpg.Connection[Any]":
        return await asyncpg.connect(self.postgres)

    async def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query, where `{s}` is the quoted target schema; none while it is not there."""
        connection = await self.connect()
        try:
            with suppress(*_NOT_YET):
                found = await connection.fetch(
                    query.replace("{s}", f'"{self.schema}"'), *parameters
                )
                return [dict(row) for row in found]
            return []
        finally:
            await connection.close()

    async def values(self, query: str, *names: str) -> list[tuple[Any, ...]]:
        """Some columns of a query's rows."""
        return [tuple(row[n] for n in names) for row in await self.rows(query)]

    async def execute(self, *statements: str) -> None:
        """Run statements, where `{s}` is the quoted target schema."""
        connection = await self.connect()
        try:
            for statement in statements:
                await connection.execute(statement.replace("{s}", f'"{self.schema}"'))
        finally:
            await connection.close()


@asynccontextmanager
async def sinking(plan: Plan) -> AsyncIterator[Board]:
    """A sink at work; leaving the block kills it wherever it is."""
    board = Board(plan.name, plan.instance)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run(plan, board))
        try:
            yield board
        finally:
            task.cancel()


async def eventually(
    look: Callable[[], Awaitable[Any]], expected: object, limit_seconds: float = 60.0
) -> None:
    """Look until what is expected is there; fail with what was there last."""
    found = await look()
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_seconds):
            while found != expected:
                await asyncio.sleep(0.02)
                found = await look()
    assert found == expected, found


def status(board: Board, spec: TableSpec) -> TableStatus:
    """What the board says of a table."""
    found = (t for t in board.snapshot().tables if t.table == spec.full_name)
    return next(found, TableStatus(spec.full_name, TableState.PAUSED, "not there"))
