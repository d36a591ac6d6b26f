"""The spans of one Kafka transaction: what was read for it, and what went to which topic.

A trace begins with the oldest reading of the transaction and ends with the commit. The records of a
topic carry the context of the span that sends them, so that who reads them goes on from there.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from confluent_kafka import KafkaError, Message

from cdcd.model.change import Batch
from cdcd.model.table import LOG_SUFFIX
from cdcd.transport.records import TRACE_HEADER, Headers, OffsetRanges

if TYPE_CHECKING:
    from cdcd.ops.tracing import Attributes, Span, Tracing

Told = Callable[[KafkaError | None, Message], None]

# Readings of one transaction that have a span of their own.
READINGS_MAX = 100


class FlushSpans:
    """Use with `with` around the transaction, in the thread that makes it."""

    def __init__(self, root: "Span", lanes_topic: str) -> None:
        self._root = root
        self._lanes_topic = lanes_topic
        self._transaction: Span
        # By topic: the span, its headers, and where the brokers have put the records.
        self._sends: dict[str, tuple[Span, Headers, OffsetRanges]] = {}

    @classmethod
    def begin(
        cls, tracing: "Tracing | None", lanes_topic: str, batches: Sequence[Batch]
    ) -> Self | None:
        """None where nothing is traced, or not this one, or there is no change."""
        batches = [batch for batch in batches if batch.events]
        if tracing is None or not batches:
            return None
        readings = [batch.reading for batch in batches if batch.reading is not None]
        said = {"cdcd.changes": sum(len(batch.events) for batch in batches)}
        began_ns = min((reading.began_ns for reading in readings), default=None)
        root = tracing.begin("publish", said, began_ns)
        if root is None:
            return None
        for batch in batches[:READINGS_MAX]:
            _tell_reading(root, batch)
        return cls(root, lanes_topic)

    def __enter__(self) -> Self:
        said: Attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "commit",
            "messaging.operation.type": "settle",
            "messaging.destination.name": self._lanes_topic,
        }
        self._transaction = self._root.child("transaction", "client", said)
        return self

    def send(self, topic: str) -> tuple[Headers, Told]:
        """The headers of each record for a topic, and who is to be told where it is."""
        if topic not in self._sends:
            said: Attributes = {
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": topic,
            }
            span = self._transaction.child(f"send {topic}", "producer", said)
            self._sends[topic] = span, [(TRACE_HEADER, span.traceparent)], OffsetRanges()
        _, headers, ranges = self._sends[topic]

        def told(error: KafkaError | None, message: Message) -> None:
            partition, offset = message.partition(), message.offset()
            if error is None and partition is not None and offset is not None:
                ranges.add(partition, offset)

        return headers, told

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failed = "" if kind is None else kind.__name__
        for span, _, ranges in self._sends.values():
            span.describe(
                {"messaging.batch.message_count": ranges.count, "cdcd.offsets": ranges.texts}
            )
            span.end(error=failed)
        self._transaction.end(error=failed)
        self._root.end(error=failed)


def _tell_reading(root: "Span", batch: Batch) -> None:
    reading, table = batch.reading, batch.table
    if reading is None:
        return
    name = table.name if reading.window is None else table.name + LOG_SUFFIX
    said: dict[str, str | int | bool | list[str]] = {
        "db.system.name": "scylladb",
        "db.namespace": table.keyspace,
        "db.collection.name": name,
        "db.operation.name": "SELECT",
        "db.response.returned_rows": reading.rows,
        "cdcd.changes": len(batch.events),
    }
    if reading.window is not None:
        said["cdcd.window.start"] = _time(reading.window.start_ms)
        said["cdcd.window.end"] = _time(reading.window.end_ms)
    span = root.child(f"SELECT {table.keyspace}.{name}", "client", said, reading.began_ns)
    span.end(reading.ended_ns)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
