"""Spans of sampled traces, exported by OTLP; of all others nothing is made.

Whether a trace is sampled is decided once, when its request comes in, and written into
its trace context: the client's word if it sent one, else by chance. From then on each
process asks the context. So a task that is not sampled costs one look at a string, and a
process without a collector not even that.

One trace per task: the request is the parent of the task's insertion, of the rings for it
and of every attempt, on whichever worker. An attempt is no child of the ring that led to
it, because a message brings whatever task waits.

Before: a composition root calls ``exporting`` with its settings.
After: a collector receives the spans.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from random import Random
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from orchestrator_core.recorded_span import RecordedSpan
from orchestrator_core.settings import TracingSettings
from orchestrator_core.tracing import (
    find_trace_context,
    is_sampled,
    to_trace_context,
    trace_id_of,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

Exemplar = dict[str, str] | None
"""Labels of one measurement of a histogram."""
Attributes = Mapping[str, str | int | float | bool]

MAX_QUEUED_SPANS = 4096
"""Some 8 MB; while the collector is away, or slower than we are, further ones are dropped."""
BATCH_SPANS = 512
EXPORT_SECONDS = 5.0
"""Of one call to the collector; also how long a process waits for it when it stops."""
BATCH_SECONDS = 2.0

_NOTHING: Final = nullcontext(INVALID_SPAN)
_on_end: Callable[[RecordedSpan], None] | None = None
"""Takes spans that have ended. None: nobody exports, so no span is made."""


@asynccontextmanager
async def exporting(
    settings: TracingSettings, *, app: str, version: str, instance: str
) -> AsyncIterator[None]:
    """Export spans to the collector that the settings name, if any, until the context ends.

    Args:
        settings: where the collector is.
        app: the process, such as ``worker``.
        version: of its package.
        instance: the pod's name.
    """
    if settings.endpoint is None:
        yield
        return
    # Half a megabyte of modules that a process without a collector has no use for.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    # A collector that is away is told once a batch, with a stack trace; it is nobody's fault here.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS
    )
    resource = {
        "service.name": f"orchestrator-{app}",
        "service.version": version,
        "service.instance.id": instance,
    }
    async with exporting_to(exporter, resource):
        yield


@asynccontextmanager
async def exporting_to(exporter: "SpanExporter", resource: Attributes) -> AsyncIterator[None]:
    """Export spans to ``exporter`` until the context ends."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415

    global _on_end  # noqa: PLW0603 - as loggers are: whoever speaks need not be handed it

    class OneResource(Resource):
        """The only one of this process, so that identity will do."""

        # The exporter groups spans by it: by value, each would write all of it as JSON for a hash.
        __eq__ = object.__eq__
        __hash__ = object.__hash__

    known = OneResource(Resource.create(dict(resource)).attributes)
    scope = InstrumentationScope("orchestrator")
    processor = BatchSpanProcessor(
        exporter,
        max_queue_size=MAX_QUEUED_SPANS,
        max_export_batch_size=BATCH_SPANS,
        schedule_delay_millis=BATCH_SECONDS * 1000,
    )
    # For handlers, and libraries they use, that make spans of their own.
    provider = TracerProvider(resource=known)
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)

    def export(span: RecordedSpan) -> None:
        processor.on_end(
            ReadableSpan(
                span.name,
                context=span.get_span_context(),
                parent=span.parent,
                resource=known,
                attributes=span.attributes,
                kind=span.kind,
                status=span.status,
                start_time=span.begun_ns,
                end_time=span.ended_ns,
                instrumentation_scope=scope,
            )
        )

    _on_end = export
    try:
        yield
    finally:
        _on_end = None
        # It may wait for the collector for longer than a process has to stop.
        last_words = threading.Thread(target=provider.shutdown, daemon=True)
        last_words.start()
        await asyncio.to_thread(last_words.join, EXPORT_SECONDS)


def begin_trace(
    name: str, traceparent: str | None, *, ratio: float, chance: Random
) -> tuple[str, Span]:
    """Return the trace context of a request and its span, to be ended; none unless sampled.

    Args:
        name: of the span.
        traceparent: the client's own word.
        ratio: of requests without one, how many are sampled.
        chance: decides.
    """
    parent = find_trace_context(traceparent)
    is_wanted = is_sampled(parent) if parent else chance.random() < ratio
    if _on_end is None or not is_wanted:
        return parent or to_trace_context(None), INVALID_SPAN
    span = RecordedSpan(name, _remote(parent) if parent else None, _on_end, kind=SpanKind.SERVER)
    return context_of(span), span


def span_of(
    trace_context: str, name: str, *, kind: SpanKind, begun_ns: int | None = None
) -> AbstractContextManager[Span]:
    """Be in a span under a stored trace context, if that is sampled.

    Args:
        trace_context: of a task.
        name: of the span.
        kind: what it is to the process that made its parent.
        begun_ns: since the epoch, if it began before now.
    """
    if _on_end is None or not is_sampled(trace_context):
        return _NOTHING
    return RecordedSpan(name, _remote(trace_context), _on_end, kind=kind, begun_ns=begun_ns)


def child_span(name: str, *, kind: SpanKind = SpanKind.INTERNAL) -> AbstractContextManager[Span]:
    """Be in a child of the current span, if there is one."""
    if _on_end is None or not (parent := trace.get_current_span()).is_recording():
        return _NOTHING
    return RecordedSpan(name, parent.get_span_context(), _on_end, kind=kind)


def add_child(name: str, *, begun_ns: int, ended_ns: int) -> None:
    """Add a child that is over to the current span, if there is one."""
    if _on_end is not None and (parent := trace.get_current_span()).is_recording():
        RecordedSpan(
            name,
            parent.get_span_context(),
            _on_end,
            kind=SpanKind.INTERNAL,
            begun_ns=begun_ns,
        ).end(ended_ns)


@contextmanager
def spans_of(trace_contexts: Iterable[str], name: str, *, kind: SpanKind) -> Iterator[None]:
    """Be in one span for each sampled context: what is done for many traces at once."""
    if _on_end is None or not (sampled := {each for each in trace_contexts if is_sampled(each)}):
        yield
        return
    spans = [RecordedSpan(name, _remote(each), _on_end, kind=kind) for each in sampled]
    try:
        yield
    except Exception as error:
        for span in spans:
            fail(span, type(error).__name__)
        raise
    finally:
        for span in spans:
            span.end()


@contextmanager
def current(span: Span) -> Iterator[None]:
    """Let what is called have ``span`` as its parent."""
    if not span.is_recording():
        yield
        return
    token = otel_context.attach(trace.set_span_in_context(span))
    try:
        yield
    finally:
        otel_context.detach(token)


def fail(span: Span, reason: str) -> None:
    """Say that what a span is about went wrong."""
    span.set_status(Status(StatusCode.ERROR, reason))


def context_of(span: Span) -> str:
    """Return the trace context that makes children of ``span``."""
    found = span.get_span_context()
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"


def exemplar_of(trace_context: str) -> Exemplar:
    """Return what leads from a measurement to its trace, if that is sampled."""
    if _on_end is None or not is_sampled(trace_context):
        return None
    return {"trace_id": trace_id_of(trace_context)}


def current_context(otherwise: str) -> str:
    """Return the trace context that makes children of the current span, if there is one."""
    if _on_end is None or not (span := trace.get_current_span()).is_recording():
        return otherwise
    return context_of(span)


def _remote(trace_context: str) -> SpanContext:
    return SpanContext(
        trace_id=int(trace_id_of(trace_context), 16),
        span_id=int(trace_context.split("-")[2], 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
