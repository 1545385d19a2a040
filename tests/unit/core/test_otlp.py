"""What we write by hand is what the library writes, byte for byte after it is read again."""

from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from orchestrator_core.otlp import SCOPE, encode_request, encode_resource
from orchestrator_core.recorded_span import Parent, RecordedSpan

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
VALUES = st.recursive(
    st.one_of(TEXTS, st.booleans(), INT64, st.floats(allow_nan=False), st.binary(), st.none()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
# The SDK takes no empty key.
ATTRIBUTES = st.dictionaries(TEXTS.filter(bool), VALUES, max_size=5)
MOMENTS = st.integers(min_value=1, max_value=2**63)
PARENTS = st.builds(
    Parent,
    st.binary(min_size=16, max_size=16).filter(any),
    st.binary(min_size=8, max_size=8).filter(any),
    is_remote=st.booleans(),
)
STATUSES = st.one_of(
    st.just(Status(StatusCode.UNSET)),
    st.just(Status(StatusCode.OK)),
    st.builds(Status, st.just(StatusCode.ERROR), st.none() | TEXTS),
)
RESOURCE: dict[str, AttributeValue] = {
    "service.name": "orchestrator-tests",
    "service.instance.id": "a-pod",
    "replicas": 3,
}


class Said(NamedTuple):
    """All that can be said of a span; it makes its own id, which is no part of a strategy."""

    name: str
    parent: Parent | None
    kind: SpanKind
    began: int
    attributes: dict[str, AttributeValue]
    status: Status
    ended: int

    def to_span(self) -> RecordedSpan:
        span = RecordedSpan(
            self.name, self.parent, lambda _: None, kind=self.kind, begun_ns=self.began
        )
        span.set_attributes(self.attributes)
        span.set_status(self.status)
        span.end(self.ended)
        return span


SAID = st.builds(
    Said,
    name=TEXTS,
    parent=st.none() | PARENTS,
    kind=st.sampled_from(SpanKind),
    began=MOMENTS,
    attributes=ATTRIBUTES,
    status=STATUSES,
    ended=MOMENTS,
)


def encode_with_the_library(spans: list[RecordedSpan]) -> ExportTraceServiceRequest:
    resource, scope = Resource(RESOURCE), InstrumentationScope(SCOPE)
    return encode_spans(
        [
            ReadableSpan(
                span.name,
                context=span.context,
                parent=span.parent,
                resource=resource,
                attributes=span.attributes,
                kind=span.kind,
                status=span.status,
                start_time=span.start_time,
                end_time=span.end_time,
                instrumentation_scope=scope,
            )
            for span in spans
        ]
    )


def read(request: bytes) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    message.ParseFromString(request)
    return message


@given(st.lists(SAID, min_size=1, max_size=4))
def test_a_request_says_what_the_librarys_says(said: list[Said]) -> None:
    spans = [each.to_span() for each in said]

    assert read(encode_request(encode_resource(RESOURCE), spans)) == encode_with_the_library(spans)


@pytest.mark.parametrize(
    ("value", "told"),
    [("half a pair: \ud800", "half a pair: ?"), (Decimal("1.5"), "1.5"), ({1}, "{1}")],
)
def test_what_can_not_be_written_is_written_as_text(value: object, told: str) -> None:
    span = RecordedSpan("x", None, lambda _: None, kind=SpanKind.INTERNAL)
    span.set_attribute("key", value)  # type: ignore[arg-type]
    span.end()

    [resource_spans] = read(encode_request(b"", [span])).resource_spans
    [attribute] = resource_spans.scope_spans[0].spans[0].attributes
    assert (attribute.key, attribute.value.string_value) == ("key", told)
