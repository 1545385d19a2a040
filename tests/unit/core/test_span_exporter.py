"""What a collector gets of a batch, and what becomes of one that it does not take."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

from orchestrator_core.recorded_span import RecordedSpan
from orchestrator_core.span_exporter import OwnSpanExporter


class Collector:
    """Takes what is sent to it, or refuses."""

    def __init__(self) -> None:
        self.taken: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        self.server = HTTPServer(("127.0.0.1", 0), _handler_of(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def names(self) -> list[str]:
        return [
            span.name
            for request in self.taken
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]


def _handler_of(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest()
            request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
            collector.taken.append(request)
            collector.headers.append({key.lower(): value for key, value in self.headers.items()})
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.server.shutdown()
    running.server.server_close()
    thread.join()


def exporter_to(collector: Collector, *, seconds: float = 5.0) -> OwnSpanExporter:
    return OwnSpanExporter(collector.url, resource={"service.name": "tests"}, seconds=seconds)


def a_span(name: str) -> RecordedSpan:
    span = RecordedSpan(name, None, lambda _: None, kind=SpanKind.INTERNAL)
    span.end()
    return span


def a_handlers_span(name: str) -> ReadableSpan:
    span = TracerProvider().get_tracer("of a handler").start_span(name)
    span.end()
    assert isinstance(span, ReadableSpan)
    return span


def test_a_batch_of_ours_is_one_request(collector: Collector) -> None:
    exporter = exporter_to(collector)

    result = exporter.export([a_span("one"), a_span("two")])

    assert result is SpanExportResult.SUCCESS
    assert collector.names() == ["one", "two"]
    [request] = collector.taken
    [attribute] = request.resource_spans[0].resource.attributes
    assert (attribute.key, attribute.value.string_value) == ("service.name", "tests")


def test_spans_of_handlers_go_with_ours(collector: Collector) -> None:
    exporter = exporter_to(collector)

    result = exporter.export([a_span("ours"), a_handlers_span("theirs"), a_span("ours too")])

    assert result is SpanExportResult.SUCCESS
    assert sorted(collector.names()) == ["ours", "ours too", "theirs"]


def test_ours_carry_the_headers_that_a_collector_wants(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=secret")

    exporter_to(collector).export([a_span("ours")])

    [headers] = collector.headers
    assert headers["x-api-key"] == "secret"
    assert headers["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize("make", [a_span, a_handlers_span])
def test_a_batch_that_is_refused_is_lost_and_says_so(
    collector: Collector, make: Callable[[str], RecordedSpan | ReadableSpan]
) -> None:
    collector.status = 400

    result = exporter_to(collector).export([make("lost")])

    assert result is SpanExportResult.FAILURE


def test_a_collector_that_is_busy_is_tried_for_so_long_and_no_longer(collector: Collector) -> None:
    collector.status = 503

    result = exporter_to(collector, seconds=0.3).export([a_span("lost")])

    assert result is SpanExportResult.FAILURE
