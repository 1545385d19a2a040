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
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from random import Random
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    Status,
    StatusCode,
)

from orchestrator_core.recorded_span import CURRENT, Parent, RecordedSpan
from orchestrator_core.settings import TracingSettings
from orchestrator_core.tracing import (
    find_trace_context,
    is_sampled,
    to_trace_context,
    trace_id_of,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter

Exemplar = dict[str, str] | None
"""Labels of one measurement of a histogram."""

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
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    from orchestrator_core.span_exporter import OwnSpanExporter  # noqa: PLC0415

    # A collector that is away is told once a batch, with a stack trace; it is nobody's fault here.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    resource = Resource.create(
        {
            "service.name": f"orchestrator-{app}",
            "service.version": version,
            "service.instance.id": instance,
        }
    )
    exporter = OwnSpanExporter(
        f"{settings.endpoint.rstrip('/')}/v1/traces",
        resource=resource.attributes,
        seconds=EXPORT_SECONDS,
    )
    async with exporting_to(exporter, resource):
        yield


@asynccontextmanager
async def exporting_to(exporter: "SpanExporter", resource: "Resource") -> AsyncIterator[None]:
    """Export spans to ``exporter`` until the context ends; ``resource`` is of handlers' own."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above

    from orchestrator_core.span_queue import QueueingProcessor, SpanQueue  # noqa: PLC0415

    global _on_end  # noqa: PLW0603 - as loggers are: whoever speaks need not be handed it

    queue = SpanQueue(
        exporter,
        max_spans=MAX_QUEUED_SPANS,
        batch_spans=BATCH_SPANS,
        batch_seconds=BATCH_SECONDS,
    )
    # For handlers, and libraries they use, that make spans of their own.
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(QueueingProcessor(queue))
    trace.set_tracer_provider(provider)

    _on_end = queue.put
    try:
        yield
    finally:
        _on_end = None
        await asyncio.to_thread(queue.close, seconds=EXPORT_SECONDS)


def is_exporting() -> bool:
    """Whether anybody takes spans; for what would be asked of a store only for their sake."""
    return _on_end is not None


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
    parent = CURRENT.get()
    return _NOTHING if parent is None else child_of(parent, name, kind=kind)


def child_of(
    parent: Span, name: str, *, kind: SpanKind = SpanKind.INTERNAL
) -> AbstractContextManager[Span]:
    """Be in a child of ``parent``, unless that has ended."""
    if _on_end is None or not (origin := _to_origin(parent)):
        return _NOTHING
    return RecordedSpan(name, origin, _on_end, kind=kind)


def add_child(parent: Span, name: str, *, begun_ns: int, ended_ns: int) -> None:
    """Add a child that is over to ``parent``."""
    if _on_end is not None and (origin := _to_origin(parent)):
        child = RecordedSpan(name, origin, _on_end, kind=SpanKind.INTERNAL, begun_ns=begun_ns)
        child.end(ended_ns)


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


def current(span: Span) -> AbstractContextManager[None]:
    """Let what is called have ``span`` as its parent; it ends elsewhere."""
    return _being(span) if isinstance(span, RecordedSpan) else nullcontext()


@contextmanager
def _being(span: RecordedSpan) -> Iterator[None]:
    token = CURRENT.set(span)
    try:
        yield
    finally:
        CURRENT.reset(token)


def shown_to_sdk(span: Span) -> AbstractContextManager[None]:
    """Let spans that somebody else makes with OpenTelemetry be children of ``span``."""
    return _attached(span) if span.is_recording() else nullcontext()


@contextmanager
def _attached(span: Span) -> Iterator[None]:
    token = otel_context.attach(trace.set_span_in_context(span))
    try:
        yield
    finally:
        otel_context.detach(token)


def fail(span: Span, reason: str) -> None:
    """Say that what a span is about went wrong."""
    span.set_status(Status(StatusCode.ERROR, reason))


def context_of(span: RecordedSpan) -> str:
    """Return the trace context that makes children of ``span``."""
    return f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"


def exemplar_of(trace_context: str) -> Exemplar:
    """Return what leads from a measurement to its trace, if that is sampled."""
    if _on_end is None or not is_sampled(trace_context):
        return None
    return {"trace_id": trace_id_of(trace_context)}


def current_context(otherwise: str) -> str:
    """Return the trace context that makes children of the current span, if there is one."""
    span = CURRENT.get()
    return otherwise if span is None else context_of(span)


def _to_origin(parent: Span) -> Parent | None:
    if isinstance(parent, RecordedSpan) and parent.is_recording():
        return parent.as_parent()
    return None


def _remote(trace_context: str) -> Parent:
    _, trace_id, span_id, _ = trace_context.split("-")
    return Parent(bytes.fromhex(trace_id), bytes.fromhex(span_id), is_remote=True)
