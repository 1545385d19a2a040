"""Sends spans to a collector by OTLP: ours as ``otlp`` has them, a handler's as the library does.

Before: the SDK's batch processor has a batch, in its own thread.
After: the collector has it, or it is lost: telemetry holds up nobody.
"""

from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.util.types import AttributeValue

from orchestrator_core.otlp import encode_request, encode_resource
from orchestrator_core.recorded_span import RecordedSpan


class OwnSpanExporter(OTLPSpanExporter):
    """The library's exporter, with its variables, retries and TLS, and a way past its encoder."""

    def __init__(
        self, endpoint: str, *, resource: Mapping[str, AttributeValue], seconds: float
    ) -> None:
        """Prepare to send.

        Args:
            endpoint: the collector's URL for traces.
            resource: what all spans of this process have in common.
            seconds: that one batch may take.
        """
        super().__init__(endpoint=endpoint, timeout=seconds)
        self._resource = encode_resource(resource)

    def export(self, spans: Sequence[ReadableSpan | RecordedSpan]) -> SpanExportResult:
        """Send a batch; what it says only counts for the SDK's own log."""
        own = [span for span in spans if isinstance(span, RecordedSpan)]
        others = [span for span in spans if not isinstance(span, RecordedSpan)]
        is_sent = not own or self._send(own)
        if others and super().export(others) is not SpanExportResult.SUCCESS:
            is_sent = False
        return SpanExportResult.SUCCESS if is_sent else SpanExportResult.FAILURE

    def _send(self, spans: Sequence[RecordedSpan]) -> bool:
        request = encode_request(self._resource, spans)
        return bool(self._client.export(request).success)
