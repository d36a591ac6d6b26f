"""The spans of one batch of the sink: how it was made ready, and its transaction in PostgreSQL.

A batch holds records of many Kafka transactions. Each of their traces that is kept goes on with the
same spans, so that each shows the whole way; they are linked to each other. The spans are made when
the batch has ended, from the times that were noted.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Self

from cdcd.sink.batch import Batch
from cdcd.transport.consumer import group_of
from cdcd.transport.records import OffsetRanges, Record

if TYPE_CHECKING:
    from cdcd.ops.tracing import Attributes, Kind, Tracing

# Traces that one batch goes on with; further ones end with what was sent.
TRACES_MAX = 16


class _Part(NamedTuple):
    name: str
    kind: "Kind"
    attributes: "Attributes"
    began_ns: int
    ended_ns: int
    error: str


class BatchSpans:
    """What becomes of one batch, noted until it is told."""

    def __init__(self, tracing: "Tracing", topic: str, pipeline: str) -> None:
        self._tracing = tracing
        self._topic, self._pipeline = topic, pipeline
        self._began_ns = time.time_ns()
        self._traces: dict[bytes, OffsetRanges] = {}
        self._parts: list[_Part] = []

    @classmethod
    def of(
        cls, tracing: "Tracing | None", topic: str, pipeline: str, records: Sequence[Record]
    ) -> Self | None:
        """From now on; None where nothing is traced, or none of these records."""
        if tracing is None:
            return None
        spans = cls(tracing, topic, pipeline)
        for record in records:
            if (traceparent := record.traceparent) is not None:
                ranges = spans._traces.setdefault(traceparent, OffsetRanges())
                ranges.add(record.partition.number, record.offset)
        return spans if spans._traces else None

    @contextmanager
    def part(self, name: str, kind: "Kind", attributes: "Attributes") -> Iterator[None]:
        """Note what is done inside, and the kind of its failure."""
        began_ns = time.time_ns()

        def note(error: str) -> None:
            self._parts.append(_Part(name, kind, attributes, began_ns, time.time_ns(), error))

        with _ending(note):
            yield

    def tell(self, error: str = "") -> None:
        """The batch has ended, well or with the kind of what went wrong."""
        traces = dict(islice(self._traces.items(), TRACES_MAX))
        for traceparent, ranges in traces.items():
            said: Attributes = {
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": self._topic,
                "messaging.consumer.group.name": group_of(self._pipeline),
                "messaging.batch.message_count": ranges.count,
                "cdcd.offsets": ranges.texts,
            }
            others = traces.keys() - {traceparent}
            span = self._tracing.follow(
                traceparent, f"process {self._topic}", said, self._began_ns, others
            )
            if span is None:
                continue
            for part in self._parts:
                child = span.child(part.name, part.kind, part.attributes, part.began_ns)
                child.end(part.ended_ns, part.error)
            span.end(error=error)


@contextmanager
def _ending(tell: Callable[[str], None]) -> Iterator[None]:
    """Tell the kind of what went wrong inside, or nothing."""
    error = ""
    try:
        yield
    except BaseException as failure:
        error = type(failure).__name__
        raise
    finally:
        tell(error)


@contextmanager
def told(spans: BatchSpans | None, *, goes_on: bool = False) -> Iterator[None]:
    """Tell the spans after what is inside; of a batch that goes on only if that has failed."""

    def tell(error: str) -> None:
        if spans is not None and (error or not goes_on):
            spans.tell(error)

    with _ending(tell):
        yield


def preparing(spans: BatchSpans | None, records: Sequence[Record]) -> AbstractContextManager[None]:
    """Note that records become rows."""
    if spans is None:
        return nullcontext()
    return spans.part("prepare", "internal", {"cdcd.records": len(records)})


def committing(spans: BatchSpans | None, batch: Batch) -> AbstractContextManager[None]:
    """Note a transaction in PostgreSQL."""
    if spans is None:
        return nullcontext()
    target = batch.targets.rows
    said: Attributes = {
        "db.system.name": "postgresql",
        "db.namespace": target.schema,
        "db.collection.name": target.name,
        "db.operation.name": "COMMIT",
        "db.operation.batch.size": len(batch.events),
    }
    return spans.part(f"COMMIT {target.schema}.{target.name}", "client", said)
