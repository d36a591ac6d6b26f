"""Changes and positions to Kafka, in one transaction each flush.

The producer belongs to one thread. Any error of a transactional call leaves it unknown whether the
transaction was committed, so the producer is given up and the lanes are read again (Jepsen's report
on Bufstream 0.1.0 has the reasons). What was committed is then found there.
"""

import math
import struct
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition

from cdcd.config.settings import KafkaSettings
from cdcd.config.tables import TableEntries, settings_of
from cdcd.model.change import Batch, ChangeEvent, Operation
from cdcd.model.destination import Destination
from cdcd.model.errors import TableStopped, Transient
from cdcd.model.table import TableSpec
from cdcd.ops.board import wall_clock_ms
from cdcd.transport.evolution import check_evolution, remasked
from cdcd.transport.flush_spans import FlushSpans, Told
from cdcd.transport.kafka import client_properties, failure
from cdcd.transport.record_writer import EncodedRecord, RecordWriter, SchemaIds
from cdcd.transport.records import LATE_HEADER, Headers
from cdcd.transport.registry import IncompatibleSchema, Registry
from cdcd.transport.schema import (
    Schema,
    key_schema,
    remasked_from_schema,
    revision_from_schema,
    table_from_schema,
    value_schema,
)
from cdcd.transport.topic_facts import RECORD_BYTES_MAX
from cdcd.transport.topics import Topics, change_topic

# How long a transaction may take to take the lanes' offsets in, which is a matter of milliseconds.
# librdkafka forgets its own limit where brokers went away, and stands for half a minute and more,
# also after it has noticed that it is fenced (https://github.com/confluentinc/librdkafka/issues/5456).
OFFSETS_SECONDS_MAX = 5.0

_LATE: Headers = [(LATE_HEADER, b"1")]


class TableWriter:
    """Encodes one table's changes; its topic is there and its schemas are registered."""

    def __init__(
        self,
        table: TableSpec,
        topic: str,
        partitions: int,
        pipeline: str,
        *,
        tombstones: bool = False,
    ) -> None:
        """With `tombstones` a delete is followed by a record without a value."""
        self.table = table
        self.tombstones = tombstones
        self.topic = topic
        self.partitions = partitions
        # When masks or their key last became others, in milliseconds since 1970; 0 for never.
        self.remasked_ms = 0
        self._pipeline = pipeline
        self._writer: RecordWriter

    async def register(self, registry: Registry) -> None:
        """Register the schemas. Raises TableStopped when the table is not what it was before, or
        consumers of its schemas could not read these.
        """
        subject = f"{self.topic}-value"
        history = await registry.history(subject)
        revision = self._carry_on(history[:1])
        key = key_schema(self.table, self.topic)
        value = value_schema(self.table, self.topic, self.remasked_ms, revision)
        # A table that is again what it was would get its former schema's id, and the newest schema,
        # by which sinks make their targets ready, would stay the one in between.
        while value not in history[:1] and await registry.has(subject, value):
            revision += 1
            value = value_schema(self.table, self.topic, self.remasked_ms, revision)
        self._check_evolution(history, value)
        try:
            ids = SchemaIds(
                await registry.register(f"{self.topic}-key", key),
                await registry.register(subject, value),
            )
        except IncompatibleSchema as error:
            raise TableStopped(self.table.full_name, error.message, error.hint) from error
        self._writer = RecordWriter(self.table, self.topic, self._pipeline, ids, self.partitions)

    def _carry_on(self, latest: Sequence[Schema]) -> int:
        """Take over when the masks changed, or see that they did; gives the latest's revision."""
        for schema in latest:
            try:
                before = table_from_schema(schema)
            except ValueError:
                break  # another maker's, which the registry will not find compatible
            self.remasked_ms = remasked_from_schema(schema)
            if remasked(before, self.table):
                self.remasked_ms = wall_clock_ms()
            return revision_from_schema(schema)
        return 0

    def _check_evolution(self, history: Sequence[Schema], value: Schema) -> None:
        """A column that is gone in the latest schema may come back as another."""
        for schema in history:
            if schema == value:
                return  # it was checked when it was registered
            try:
                before = table_from_schema(schema)
            except ValueError:
                return  # another maker's, which the registry will not find compatible
            check_evolution(before, self.table)

    def records(self, events: Sequence[ChangeEvent], now_ms: int) -> Iterator[EncodedRecord]:
        """The records of changes. Raises Unpublishable for one that cannot be a record."""
        name = self.table.full_name
        try:
            for record in self._writer.records(events, now_ms):
                if len(record[2]) > RECORD_BYTES_MAX:
                    what = f"has {len(record[2])} bytes as a record; Kafka takes {RECORD_BYTES_MAX}"
                    raise Unpublishable(name, what)
                yield record
        except (TypeError, ValueError, OverflowError, struct.error) as error:
            raise Unpublishable(name, "has no Avro form") from error


class TableWriters:
    """One writer for each table as it is now."""

    def __init__(
        self, pipeline: str, topics: Topics, registry: Registry, entries: TableEntries
    ) -> None:
        self._pipeline = pipeline
        self._entries = entries
        self._topics = topics
        self._registry = registry
        self._writers: dict[str, TableWriter] = {}
        self._forgotten = 0

    def forget(self, tables: Collection[str] | None = None) -> None:
        """Make the writers of some tables anew, None for all: their topics may have become others,
        or have another number of partitions.
        """
        self._forgotten += 1
        for name in list(self._writers) if tables is None else tables:
            self._writers.pop(name, None)

    async def of(self, table: TableSpec) -> TableWriter:
        """The table's writer; made, with topic and schemas, when the table is new or changed."""
        known = self._writers.get(table.full_name)
        if known is not None and known.table == table:
            return known
        forgotten, topic = self._forgotten, change_topic(self._pipeline, table)
        tombstones = self._tombstones(table)
        partitions = await self._make_topic(table)
        writer = TableWriter(table, topic, partitions, self._pipeline, tombstones=tombstones)
        await writer.register(self._registry)
        if forgotten == self._forgotten:
            self._writers[table.full_name] = writer
        return writer

    async def destination(self, table: TableSpec) -> Destination:
        """Where the table's changes go from now on; its topic is made if it is not there."""
        await self._make_topic(table)
        facts = await self._topics.facts(change_topic(self._pipeline, table))
        known = self._writers.get(table.full_name)
        if known is not None and known.partitions != facts.partitions:
            self.forget([table.full_name])
        return Destination(facts.topic_id, facts.partitions)

    async def _make_topic(self, table: TableSpec) -> int:
        topic = change_topic(self._pipeline, table)
        return await self._topics.make_change_topic(topic, compacted=self._tombstones(table))

    def _tombstones(self, table: TableSpec) -> bool:
        return settings_of(self._entries, table.full_name).tombstones


@dataclass(frozen=True)
class LaneWrite:
    """A record of the lanes topic; without a value it removes the one before."""

    lane: int
    key: bytes
    value: bytes | None


@dataclass(frozen=True)
class Flush:
    """What one transaction holds. `offsets` are those of the lanes that are written to; they carry
    the group's generation with them. `spans` are there if it is traced.
    """

    changes: Sequence[tuple[TableWriter, Batch]]
    lanes: Sequence[LaneWrite]
    offsets: Sequence[TopicPartition]
    group: Any
    spans: FlushSpans | None = None


class Unpublishable(Exception):
    """A change that cannot be a record; `why` ends a sentence."""

    def __init__(self, table: str, why: str) -> None:
        super().__init__(table, why)
        self.table = table
        self.why = why


class Publisher:
    """A transactional producer. Every method blocks and belongs to one thread."""

    def __init__(
        self,
        settings: KafkaSettings,
        transactional_id: str,
        lanes_topic: str,
        stood_still: Callable[[], bool] = lambda: False,
        *,
        is_traced: bool = False,
    ) -> None:
        """`stood_still` says whether the process was stopped lately, for a whole session. Whoever
        traces is told of the offset of each record.
        """
        self._stood_still = stood_still
        # By the monotonic clock: when the step that `publish` is at has to be over, where the
        # client may not see to it. It may be given up then, for nothing is committed yet.
        self.deadline = math.inf
        timeout_ms = int(settings.transaction_timeout_seconds * 1000)
        self._timeout_seconds = settings.request_timeout_seconds
        self._transaction_seconds = settings.transaction_timeout_seconds
        self._lanes_topic = lanes_topic
        self._producer = Producer(
            client_properties(settings, "source")
            | {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": timeout_ms,
                "message.timeout.ms": timeout_ms,
                "socket.timeout.ms": min(timeout_ms, int(self._timeout_seconds * 1000)),
                "compression.type": settings.compression,
                "linger.ms": 5,
                "queue.buffering.max.messages": 200_000,
                "message.max.bytes": RECORD_BYTES_MAX,
                "delivery.report.only.error": not is_traced,
            }
        )

    def open(self) -> None:
        """Fence whoever had the transactional id before, and end what it left open."""
        try:
            self._producer.init_transactions(self._timeout_seconds)
        except KafkaException as error:
            raise failure(error, "beginning to publish") from error

    def publish(self, flush: Flush) -> None:
        """One transaction. On Transient and Fatal the publisher must be given up; TableStopped says
        of one table that its changes cannot be published, and nothing of the flush was.
        """
        with flush.spans or nullcontext():
            self._publish(flush)

    def _publish(self, flush: Flush) -> None:
        producer = self._producer
        began = time.monotonic()
        try:
            producer.begin_transaction()
            self._produce_changes(flush)
            for write in flush.lanes:
                self._produce(self._lanes_topic, write.value, write.key, write.lane)
            # The broker checks the generation when it takes the offsets: after all records.
            producer.flush(self._timeout_seconds)
            self._send_offsets(flush)
            producer.commit_transaction(self._timeout_seconds)
        except Unpublishable as bad:
            # Nothing is in doubt: the transaction is given up before its end was asked for.
            try:
                producer.abort_transaction(self._timeout_seconds)
            except KafkaException as error:
                raise failure(error, "publishing") from error
            hint = "mend the row in ScyllaDB, then copy the table anew"
            what = f"a change {bad.why}"
            raise TableStopped(bad.table, what, hint, needs_snapshot=True) from bad
        except Transient:
            self._abort()
            raise
        except KafkaException as error:
            self._abort()
            # Brokers fence who let a transaction time out, or came back to the group under its own
            # name, as they fence a second worker of the name.
            if time.monotonic() - began > self._transaction_seconds:
                raise Transient("Kafka: publishing took longer than a transaction may") from error
            if self._stood_still():
                raise Transient("Kafka: publishing: this worker stood still") from error
            raise failure(error, "publishing") from error

    def _send_offsets(self, flush: Flush) -> None:
        self.deadline = time.monotonic() + OFFSETS_SECONDS_MAX
        try:
            self._producer.send_offsets_to_transaction(
                list(flush.offsets), flush.group, self._timeout_seconds
            )
        finally:
            self.deadline = math.inf

    def _produce_changes(self, flush: Flush) -> None:
        now_ms = wall_clock_ms()
        for writer, batch in flush.changes:
            plain, told = None, None
            if flush.spans is not None:
                plain, told = flush.spans.send(writer.topic)
            late = [*_LATE, *(plain or ())]
            records = writer.records(batch.events, now_ms)
            for event, (partition, key, value) in zip(batch.events, records, strict=True):
                headers = late if event.is_late else plain
                self._produce(writer.topic, value, key, partition, headers, told)
                if writer.tombstones and event.op is Operation.DELETE and not event.is_late:
                    self._produce(writer.topic, None, key, partition)

    def _produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes,
        partition: int,
        headers: Headers | None = None,
        told: Told | None = None,
    ) -> None:
        """Hand a record to librdkafka; while its queue is full, wait for it to send some."""
        give_up = None
        while True:
            try:
                # By place, for names cost a quarter of the call; 0 is a timestamp of now.
                self._producer.produce(topic, value, key, partition, told, None, 0, headers)
            except BufferError:
                give_up = give_up or time.monotonic() + self._timeout_seconds
                if time.monotonic() > give_up:
                    raise Transient("Kafka: publishing: the brokers take no records") from None
                self._producer.poll(0.1)
            else:
                return

    def _abort(self) -> None:
        """Spare readers the wait for the transaction's timeout, if the producer still can."""
        try:
            self._producer.abort_transaction(1.0)
        except KafkaException:
            # The broker aborts it at its timeout, or when this name begins to publish again.
            return

    def close(self) -> None:
        """Drop what was not sent; an open transaction is aborted."""
        self._producer.purge()
        self._abort()
