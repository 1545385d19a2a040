"""Spans wait for their collector, in batches and within bounds."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from orchestrator_core.recorded_span import RecordedSpan
from orchestrator_core.span_queue import QueueingProcessor, SpanQueue

PATIENCE_SECONDS = 10.0
LONG_SECONDS = 3600.0


class AnExporter(SpanExporter):
    """Takes what it gets, once it is let."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.let = threading.Event()
        self.let.set()
        self.fault: Exception | None = None
        self.is_shut_down = False
        self.suppressed: object = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.let.wait()
        self.batches.append([span.name for span in spans])
        key = otel_context._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001 - what the SDK uses
        self.suppressed = otel_context.get_value(key)
        if self.fault is not None:
            raise self.fault
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.is_shut_down = True
        self.let.set()


@pytest.fixture
def exporter() -> AnExporter:
    return AnExporter()


def a_queue(
    exporter: AnExporter,
    *,
    max_spans: int = 100,
    batch_spans: int = 3,
    batch_seconds: float = LONG_SECONDS,
) -> SpanQueue:
    return SpanQueue(
        exporter, max_spans=max_spans, batch_spans=batch_spans, batch_seconds=batch_seconds
    )


def a_span(name: str) -> RecordedSpan:
    span = RecordedSpan(name, None, lambda _: None, kind=SpanKind.INTERNAL)
    span.end()
    return span


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_full_batch_is_sent_at_once(exporter: AnExporter) -> None:
    queue = a_queue(exporter)

    for name in "abc":
        queue.put(a_span(name))

    await_true(lambda: exporter.batches == [["a", "b", "c"]])
    queue.close(seconds=PATIENCE_SECONDS)


def test_fewer_are_sent_after_a_while(exporter: AnExporter) -> None:
    queue = a_queue(exporter, batch_seconds=0.01)

    queue.put(a_span("a"))

    await_true(lambda: exporter.batches == [["a"]])
    queue.close(seconds=PATIENCE_SECONDS)


def test_what_waits_is_sent_in_the_end_in_batches(exporter: AnExporter) -> None:
    exporter.let.clear()
    queue = a_queue(exporter)
    for name in "abcdefgh":
        queue.put(a_span(name))
    exporter.let.set()

    queue.close(seconds=PATIENCE_SECONDS)

    assert [name for batch in exporter.batches for name in batch] == [*"abcdefgh"]
    assert max(map(len, exporter.batches)) == 3
    assert exporter.is_shut_down


def test_what_does_not_fit_is_dropped(exporter: AnExporter) -> None:
    exporter.let.clear()
    queue = a_queue(exporter, max_spans=5, batch_spans=50)
    for name in "abcdefgh":
        queue.put(a_span(name))
    exporter.let.set()

    queue.close(seconds=PATIENCE_SECONDS)

    assert exporter.batches == [[*"abcde"]]


def test_a_batch_that_breaks_is_lost_and_the_next_one_is_sent(exporter: AnExporter) -> None:
    exporter.fault = OSError("away")
    queue = a_queue(exporter)
    for name in "abc":
        queue.put(a_span(name))
    await_true(lambda: len(exporter.batches) == 1)
    exporter.fault = None

    queue.put(a_span("d"))
    queue.close(seconds=PATIENCE_SECONDS)

    assert exporter.batches == [["a", "b", "c"], ["d"]]


def test_a_collector_that_hangs_is_given_up(exporter: AnExporter) -> None:
    exporter.let.clear()
    queue = a_queue(exporter)
    queue.put(a_span("a"))

    queue.close(seconds=0.05)

    assert exporter.is_shut_down


def test_sending_is_no_reason_for_further_spans(exporter: AnExporter) -> None:
    queue = a_queue(exporter)
    queue.put(a_span("a"))

    queue.close(seconds=PATIENCE_SECONDS)

    assert exporter.suppressed


def test_of_the_sdks_spans_the_sampled_ones_go_along(exporter: AnExporter) -> None:
    queue = a_queue(exporter)
    for name, provider in (
        ("sampled", TracerProvider()),
        ("not sampled", TracerProvider(sampler=ALWAYS_OFF)),
    ):
        provider.add_span_processor(QueueingProcessor(queue))
        provider.get_tracer("of a handler").start_span(name).end()

    queue.close(seconds=PATIENCE_SECONDS)

    assert exporter.batches == [["sampled"]]
