"""The only door to OpenTelemetry: spans of changes on their way, sent to a collector.

Whether a trace is kept is decided at its first span, and is the same for all that follows from it,
here and in other workers. Who traces is given a `Tracing` or none, and gets a `Span` or none: what
is not kept costs next to nothing. Spans have times, names, places and sizes, and no value of a row.

A collector that is away loses spans and holds nothing up: they wait in a queue of the library's
(`OTEL_BSP_MAX_QUEUE_SIZE`) for a thread of its own. This module is imported only where tracing is
on, for its library need not be installed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from threading import Thread
from typing import Literal

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cdcd import __version__
from cdcd.config.settings import Settings
from cdcd.ops.logs import get_logger

log = get_logger()

Kind = Literal["internal", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int | bool | list[str]]
# Takes what became of so many spans: made, taken, refused. Any thread calls it.
Count = Callable[[str, int], None]

# How long the end of the process waits for what is still to be sent.
CLOSE_SECONDS_MAX = 3.0

_TRACEPARENT = "traceparent"
_W3C = TraceContextTextMapPropagator()


class Span:
    """A span that is kept, from its begin to `end`. Any thread may call."""

    def __init__(self, tracer: Tracer, span: OtelSpan) -> None:
        self._tracer = tracer
        self._span = span
        self._context = set_span_in_context(span)

    @property
    def traceparent(self) -> bytes:
        """The span as the W3C writes it, for those who go on."""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, self._context)
        return carrier[_TRACEPARENT].encode()

    def child(
        self, name: str, kind: Kind, attributes: Attributes, began_ns: int | None = None
    ) -> "Span":
        """A span within this one, since a time or from now on."""
        span = self._tracer.start_span(
            name,
            self._context,
            SpanKind[kind.upper()],
            attributes=attributes,
            start_time=began_ns,
        )
        return Span(self._tracer, span)

    def describe(self, attributes: Attributes) -> None:
        """Say more of it."""
        self._span.set_attributes(attributes)

    def end(self, ended_ns: int | None = None, error: str = "") -> None:
        """It ended at a time, or ends now; `error` is the kind of what went wrong."""
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(ended_ns)


class Tracing:
    """Begins traces, and goes on with those that others have begun."""

    def __init__(self, settings: Settings, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(settings.tracing.ratio)),
            _resource(settings),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("cdcd", __version__)

    def begin(self, name: str, attributes: Attributes, began_ns: int | None = None) -> Span | None:
        """The first span of a trace; None if the trace is not kept."""
        span = self._tracer.start_span(
            name, Context(), SpanKind.INTERNAL, attributes=attributes, start_time=began_ns
        )
        return Span(self._tracer, span) if span.is_recording() else None

    def follow(
        self,
        traceparent: bytes,
        name: str,
        attributes: Attributes,
        began_ns: int,
        others: Iterable[bytes] = (),
    ) -> Span | None:
        """What a consumer does with records of a trace, linked to the other traces whose records it
        takes with them; None for a context that is not one, or of a trace that is not kept.
        """
        context = _context_of(traceparent)
        if not get_current_span(context).get_span_context().trace_flags.sampled:
            return None
        span = self._tracer.start_span(
            name,
            context,
            SpanKind.CONSUMER,
            attributes=attributes,
            links=[Link(get_current_span(_context_of(o)).get_span_context()) for o in others],
            start_time=began_ns,
        )
        return Span(self._tracer, span) if span.is_recording() else None

    async def close(self) -> None:
        """Send what waits, within a limit; a collector that does not answer is not waited for."""
        closing = Thread(target=self._provider.shutdown, name="end of tracing", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_SECONDS_MAX)


class Told(SpanExporter):
    """An exporter of which is told when it fails and when it works again, and not each time."""

    def __init__(self, exporter: SpanExporter, count: Count) -> None:
        self._exporter = exporter
        self._count = count
        self._is_failing = False
        self._reason = _Reason()
        library = logging.getLogger("opentelemetry.exporter")
        library.handlers[:] = [self._reason]
        library.propagate = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them; what is not taken is lost."""
        self._reason.text = ""
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        self._count("refused" if is_failing else "taken", len(spans))
        if is_failing and not self._is_failing:
            log.warning("the collector takes no traces", reason=self._reason.text)
        elif self._is_failing and not is_failing:
            log.info("the collector takes traces again")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._exporter.shutdown()


class Counted(BatchSpanProcessor):
    """Counts what it is given: it loses spans without a word when its queue is full."""

    def __init__(self, exporter: SpanExporter, count: Count) -> None:
        super().__init__(Told(exporter, count))
        self._count = count

    def on_end(self, span: ReadableSpan) -> None:
        """Put a span that has ended into the queue."""
        self._count("made", 1)
        super().on_end(span)


class _Reason(logging.Handler):
    """What the library said first; later it only says that it tries again, and gives up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()


@asynccontextmanager
async def tracing_to(settings: Settings, count: Count) -> AsyncIterator[Tracing]:
    """Traces that are sent to the endpoint of the settings, as OTEL_ variables say for the rest."""
    place = f"{(settings.tracing.endpoint or '').rstrip('/')}/v1/traces"
    tracing = Tracing(settings, Counted(OTLPSpanExporter(place), count))
    try:
        yield tracing
    finally:
        await tracing.close()


def _resource(settings: Settings) -> Resource:
    """Who traces; what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes first."""
    ours = {
        "service.name": "cdcd",
        "service.namespace": settings.name,
        "service.instance.id": settings.instance,
        "service.version": __version__,
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())


def _context_of(traceparent: bytes) -> Context:
    return _W3C.extract({_TRACEPARENT: traceparent.decode("ascii", "replace")})
