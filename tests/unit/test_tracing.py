"""Spans of a change's way: which are made, how they hang together, and what they say."""

import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka import Message
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from cdcd.config.settings import Settings
from cdcd.model.change import Batch, ChangeEvent, Operation, Reading
from cdcd.model.errors import ConfigurationError, Transient
from cdcd.model.position import Window
from cdcd.ops.board import Board
from cdcd.ops.tracing import Counted, Told, Tracing
from cdcd.pipeline import _traced
from cdcd.sink.batch import Batch as SinkBatch
from cdcd.sink.batch_spans import TRACES_MAX, BatchSpans, committing, preparing, told
from cdcd.sink.target import targets_of
from cdcd.transport.flush_spans import FlushSpans
from cdcd.transport.records import Headers, OffsetRanges, Partition, Record
from tests.unit.records import changes
from tests.unit.tables import table

SPEC = table({"p:id": "int", "r:v": "text"}, name="users")
TOPIC = "cdcd.ks.users"
HIDDEN = "a value that nobody may see"
EVENT = ChangeEvent(SPEC, Operation.CREATE, (1,), (), 5, 0, None, {"v": HIDDEN})
WINDOW = Window(1_700_000_000_000, 1_700_000_000_250)
READ = Batch(SPEC, [EVENT], {}, reading=Reading(WINDOW, 3, 1_000, 2_000))


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """Where the spans end up."""
    return InMemorySpanExporter()


def _tracing(exporter: InMemorySpanExporter, ratio: float = 1.0) -> Tracing:
    settings = Settings(name="shop", instance="one", tracing={"ratio": ratio})
    return Tracing(settings, SimpleSpanProcessor(exporter))


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Tracing:
    """Keeps every trace."""
    return _tracing(exporter)


def _publish(tracing: Tracing, *offsets: int) -> bytes:
    """A transaction of records with these offsets in partition 2; gives their context."""
    spans = FlushSpans.begin(tracing, "cdcd.cdcd.lanes", [READ])
    assert spans is not None
    with spans:
        headers, placed = spans.send(TOPIC)
        for offset in offsets:
            placed(None, Message(TOPIC, 2, offset))
    return _context(headers)


def _context(headers: Headers) -> bytes:
    """What the headers of a record say of its trace."""
    ((name, value),) = headers
    assert name == "traceparent"
    assert isinstance(value, bytes)
    return value


def _apply(tracing: Tracing, *records: Record, error: Exception | None = None) -> None:
    """What the sink does with a batch of these records."""
    spans = BatchSpans.of(tracing, TOPIC, "shop", records)
    with told(spans, goes_on=True), preparing(spans, records):
        pass
    batch = SinkBatch(targets_of(SPEC, "cdc"), records, changes([EVENT]))
    with told(spans), committing(spans, batch):
        if error is not None:
            raise error


def _record(offset: int, traceparent: bytes | None) -> Record:
    return Record(Partition(TOPIC, 2), offset, 0, b"k", HIDDEN.encode(), traceparent=traceparent)


def _said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def _tree(spans: tuple[ReadableSpan, ...]) -> list[tuple[str, str | None]]:
    """Names with those of their parents, in the order of their begin."""
    names = {span.context.span_id: span.name for span in spans if span.context}
    ordered = sorted(spans, key=lambda span: (span.start_time or 0, bool(span.parent)))
    return [(s.name, names[s.parent.span_id] if s.parent else None) for s in ordered]


def _named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def test_a_trace_shows_the_whole_way(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """From the window to the commit in PostgreSQL it is one trace, and each span is within the one
    that made it necessary.
    """
    context = _publish(tracing, 7, 8)
    _apply(tracing, _record(7, context), _record(8, context))
    spans = exporter.get_finished_spans()
    assert _tree(spans) == [
        ("publish", None),
        ("SELECT ks.users_scylla_cdc_log", "publish"),
        ("transaction", "publish"),
        (f"send {TOPIC}", "transaction"),
        (f"process {TOPIC}", f"send {TOPIC}"),
        ("prepare", f"process {TOPIC}"),
        ("COMMIT cdc.users", f"process {TOPIC}"),
    ]
    assert len({span.context.trace_id for span in spans if span.context}) == 1
    assert {span.name: span.kind.name for span in spans} == {
        "publish": "INTERNAL",
        "SELECT ks.users_scylla_cdc_log": "CLIENT",
        "transaction": "CLIENT",
        f"send {TOPIC}": "PRODUCER",
        f"process {TOPIC}": "CONSUMER",
        "prepare": "INTERNAL",
        "COMMIT cdc.users": "CLIENT",
    }


def test_spans_say_which_rows_and_where(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """The reading has its window and its rows, both sides of the topic the same offsets, and the
    times are those at which things were done.
    """
    context = _publish(tracing, 9, 7, 8)
    _apply(tracing, *(_record(offset, context) for offset in (7, 8, 9)))
    (select,) = _named(exporter, "SELECT ks.users_scylla_cdc_log")
    assert (select.start_time, select.end_time) == (1_000, 2_000)
    assert _said(select) == {
        "db.system.name": "scylladb",
        "db.namespace": "ks",
        "db.collection.name": "users_scylla_cdc_log",
        "db.operation.name": "SELECT",
        "db.response.returned_rows": 3,
        "cdcd.changes": 1,
        "cdcd.window.start": "2023-11-14T22:13:20.000+00:00",
        "cdcd.window.end": "2023-11-14T22:13:20.250+00:00",
    }
    for name in (f"send {TOPIC}", f"process {TOPIC}"):
        (span,) = _named(exporter, name)
        said = _said(span)
        assert said["messaging.destination.name"] == TOPIC
        assert said["messaging.batch.message_count"] == 3
        assert said["cdcd.offsets"] == ("2:7-9",)
    (commit,) = _named(exporter, "COMMIT cdc.users")
    assert _said(commit)["db.operation.batch.size"] == 1


def test_each_trace_of_a_batch_goes_on(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """A batch with records of several traces has its spans in each, with links to the others."""
    contexts = [_publish(tracing, offset) for offset in (5, 6, 7)]
    _apply(tracing, *(_record(5 + n, context) for n, context in enumerate(contexts)))
    processed, committed = (_named(exporter, n) for n in (f"process {TOPIC}", "COMMIT cdc.users"))
    traces = {span.context.trace_id for span in committed if span.context}
    assert len(traces) == 3
    for span in processed:
        assert span.context
        linked = {link.context.trace_id for link in span.links}
        assert linked == traces - {span.context.trace_id}
    assert sorted(_said(span)["cdcd.offsets"] for span in processed) == [
        ("2:5-5",),
        ("2:6-6",),
        ("2:7-7",),
    ]


def test_traces_of_a_batch_are_bounded(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """A batch goes on with a limited number of traces."""
    contexts = [_publish(tracing, n) for n in range(TRACES_MAX + 1)]
    _apply(tracing, *(_record(n, context) for n, context in enumerate(contexts)))
    assert len(_named(exporter, "COMMIT cdc.users")) == TRACES_MAX


def test_what_is_not_kept_leaves_no_mark(exporter: InMemorySpanExporter) -> None:
    """A trace that is not kept has no spans and no headers; nor has a transaction without changes,
    or one while nobody traces.
    """
    assert FlushSpans.begin(_tracing(exporter, 0), "lanes", [READ]) is None
    assert FlushSpans.begin(_tracing(exporter), "lanes", [Batch(SPEC, (), {})]) is None
    assert FlushSpans.begin(None, "lanes", [READ]) is None
    assert BatchSpans.of(_tracing(exporter), TOPIC, "shop", [_record(1, None)]) is None
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    "context", [b"", b"\xff", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-00"], ids=repr
)
def test_foreign_contexts_are_passed_over(
    tracing: Tracing, exporter: InMemorySpanExporter, context: bytes
) -> None:
    """A header that is no context, or one of a trace that is not kept, is passed over."""
    _apply(tracing, _record(1, context))
    assert exporter.get_finished_spans() == ()


def test_a_sink_goes_on_whatever_its_own_share(exporter: InMemorySpanExporter) -> None:
    """The first span decides for all: a sink that begins no trace goes on with those begun."""
    _apply(_tracing(exporter, 0), _record(1, _publish(_tracing(exporter), 1)))
    assert len(_named(exporter, "COMMIT cdc.users")) == 1


def test_failures_have_a_kind(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """What fails is marked with the kind of its failure, on both sides of the topic."""
    spans = FlushSpans.begin(tracing, "lanes", [READ])
    assert spans is not None
    with suppress(Transient), spans:
        context = _context(spans.send(TOPIC)[0])
        raise Transient(HIDDEN)
    with pytest.raises(ValueError, match=HIDDEN):
        _apply(tracing, _record(1, context), error=ValueError(HIDDEN))
    failed = {s.name: _said(s).get("error.type") for s in exporter.get_finished_spans()}
    assert failed == {
        "publish": "Transient",
        "SELECT ks.users_scylla_cdc_log": None,
        "transaction": "Transient",
        f"send {TOPIC}": "Transient",
        f"process {TOPIC}": "ValueError",
        "prepare": None,
        "COMMIT cdc.users": "ValueError",
    }
    for span in exporter.get_finished_spans():
        assert span.status.is_ok == (failed[span.name] is None)
        assert HIDDEN not in span.to_json()


def test_each_try_has_a_span(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """A commit that is tried again is there twice, and the batch has not failed."""
    records = [_record(1, _publish(tracing, 1))]
    spans = BatchSpans.of(tracing, TOPIC, "shop", records)
    batch = SinkBatch(targets_of(SPEC, "cdc"), records, changes([EVENT]))
    with told(spans):
        with suppress(Transient), committing(spans, batch):
            raise Transient(HIDDEN)
        with committing(spans, batch):
            pass
    tries = _named(exporter, "COMMIT cdc.users")
    assert [_said(span).get("error.type") for span in tries] == ["Transient", None]
    (process,) = _named(exporter, f"process {TOPIC}")
    assert process.status.is_ok


def test_spans_have_no_value_of_a_row(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """Neither a change's values nor its key is in a span."""
    _apply(tracing, _record(1, _publish(tracing, 1)))
    for span in exporter.get_finished_spans():
        assert HIDDEN not in span.to_json()


def test_a_reading_of_the_base_has_no_window(
    tracing: Tracing, exporter: InMemorySpanExporter
) -> None:
    """A refresh's reading is of the base table."""
    spans = FlushSpans.begin(
        tracing, "lanes", [Batch(SPEC, [EVENT], {}, reading=Reading(None, 1, 1, 2))]
    )
    assert spans is not None
    with spans:
        pass
    (select,) = _named(exporter, "SELECT ks.users")
    assert "cdcd.window.start" not in _said(select)


def test_offsets_are_told_by_partition() -> None:
    """Ranges are in the order of partitions, from the least to the greatest offset."""
    ranges = OffsetRanges()
    for partition, offset in ((10, 4), (2, 9), (2, 7), (2, 8)):
        ranges.add(partition, offset)
    assert (ranges.count, ranges.texts) == (4, ["2:7-9", "10:4-4"])


def test_variables_of_opentelemetry_count(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What OTEL_RESOURCE_ATTRIBUTES says of the service comes before what cdcd says."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=replica,team=data")
    _publish(_tracing(exporter), 1)
    said = dict(exporter.get_finished_spans()[0].resource.attributes)
    assert (said["service.name"], said["team"]) == ("replica", "data")
    assert (said["service.namespace"], said["service.instance.id"]) == ("shop", "one")


def test_opentelemetry_can_be_switched_off(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_SDK_DISABLED keeps every trace from being kept."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert FlushSpans.begin(_tracing(exporter), "lanes", [READ]) is None


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry is not there."""
    monkeypatch.delitem(sys.modules, "cdcd.ops.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)


@pytest.mark.usefixtures("not_installed")
def test_tracing_without_its_library() -> None:
    """An endpoint without the library is an error that says what to install; without an endpoint
    nobody needs it.
    """
    with pytest.raises(ConfigurationError) as raised:
        _traced(Settings(tracing={"endpoint": "http://127.0.0.1:4318"}), Board("p", "one"))
    assert "[otel]" in raised.value.hint
    _traced(Settings(), Board("p", "one"))


class _Exporter(SpanExporter):
    """Takes spans or does not, and says why as the library's do."""

    def __init__(self, *taken: bool) -> None:
        self._taken = list(taken)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._taken.pop(0):
            return SpanExportResult.SUCCESS
        for said in ("connection refused", "gave up"):
            logging.getLogger("opentelemetry.exporter.otlp").warning(said)
        return SpanExportResult.FAILURE


def test_a_collector_that_is_away_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """That a collector takes nothing is one line with the reason, and that it does again another;
    the library's own lines for each try are not shown.
    """
    exporter = Told(_Exporter(True, False, False, True, True), lambda *_: None)
    with capture_logs() as lines:
        for _ in range(5):
            exporter.export([])
    assert [(line["event"], line.get("reason")) for line in lines] == [
        ("the collector takes no traces", "connection refused"),
        ("the collector takes traces again", None),
    ]
    assert not caplog.records


def test_spans_are_counted() -> None:
    """Those that were made, those that the collector took and those that it refused."""
    board = Board("p", "one")
    processor = Counted(_Exporter(True, False), board.spans)
    traced = Tracing(Settings(tracing={"ratio": 1.0}), processor)
    for _ in range(2):
        span = traced.begin("a window", {})
        assert span is not None
        span.end()
        processor.force_flush()
    counts = {
        outcome: board.metrics.registry.get_sample_value("cdcd_spans_total", {"outcome": outcome})
        for outcome in ("made", "taken", "refused")
    }
    assert counts == {"made": 2, "taken": 1, "refused": 1}
    processor.shutdown()


def test_an_endpoint_is_an_address() -> None:
    """Something else than an HTTP address is refused when the settings are read."""
    with pytest.raises(ValueError, match="endpoint"):
        Settings(tracing={"endpoint": "127.0.0.1:4318"})
