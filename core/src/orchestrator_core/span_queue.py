"""Spans that wait for their collector, and the thread that sends them.

The SDK's ``BatchSpanProcessor`` does the same at 5 µs a span in the event loop; to append to a
deque takes a twentieth of that.

Before: a span has ended, in any thread.
After: the exporter gets it in a batch, or it is dropped: telemetry holds up nobody.
"""

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from orchestrator_core.recorded_span import RecordedSpan

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    AnySpan = ReadableSpan | RecordedSpan

_log = logging.getLogger(__name__)


class SpanQueue:
    """A bounded queue with a thread of its own."""

    def __init__(
        self, exporter: "SpanExporter", *, max_spans: int, batch_spans: int, batch_seconds: float
    ) -> None:
        """Start the thread.

        Args:
            exporter: takes the batches; its calls have a deadline of its own.
            max_spans: that wait; further ones are dropped.
            batch_spans: how many are sent at once, and without waiting.
            batch_seconds: until fewer are sent.
        """
        self._exporter = exporter
        self._max_spans = max_spans
        self._batch_spans = batch_spans
        self._batch_seconds = batch_seconds
        self._spans: deque[AnySpan] = deque()
        self._is_due = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def put(self, span: "AnySpan") -> None:
        """Let a span that has ended be sent; never blocks."""
        waiting = len(self._spans)
        if waiting < self._max_spans:
            self._spans.append(span)
            # Not ``==``: two threads that append at once may both pass it by.
            if waiting + 1 >= self._batch_spans and not self._is_due.is_set():
                self._is_due.set()

    def close(self, *, seconds: float) -> None:
        """Send what waits for so long, then give up."""
        self._is_closing = True
        self._is_due.set()
        self._thread.join(seconds)
        # Also ends a retry that is under way.
        self._exporter.shutdown()

    def _run(self) -> None:
        # Else a handler's library that makes spans of HTTP calls would make some of these.
        suppressed = otel_context._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001 - what the SDK uses
        otel_context.attach(otel_context.set_value(suppressed, "yes"))
        while not self._is_closing:
            self._is_due.wait(self._batch_seconds)
            self._is_due.clear()
            self._send_batch()
            while len(self._spans) >= self._batch_spans:
                self._send_batch()
        while self._spans:
            self._send_batch()

    def _send_batch(self) -> None:
        count = min(len(self._spans), self._batch_spans)
        batch = [self._spans.popleft() for _ in range(count)]
        if not batch:
            return
        try:
            self._exporter.export(batch)  # type: ignore[arg-type] # ours knows ours
        except Exception:  # noqa: BLE001 - the thread's edge
            _log.debug("a batch of spans was lost", exc_info=True)


class QueueingProcessor(SpanProcessor):
    """Puts the SDK's spans, which handlers make, among ours."""

    def __init__(self, queue: SpanQueue) -> None:
        """Take the queue."""
        self._queue = queue

    def on_end(self, span: ReadableSpan) -> None:
        """Put it, if it is sampled."""
        context = span.get_span_context()
        if context is not None and context.trace_flags.sampled:
            self._queue.put(span)
