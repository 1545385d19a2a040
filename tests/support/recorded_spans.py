"""Spans as a collector would receive them.

Before: a test is about spans.
After: it reads them when the context has ended.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from orchestrator_core.spans import exporting_to


@dataclass
class Recorded:
    """What was exported."""

    spans: Sequence[ReadableSpan] = field(default_factory=tuple)

    def one(self, name: str) -> ReadableSpan:
        """Return the only span of this name."""
        [found] = [span for span in self.spans if span.name == name]
        return found

    def parents(self) -> dict[str, str | None]:
        """Return the name of each span's parent by the span's own; None for a stranger."""
        names = {span.context.span_id: span.name for span in self.spans}
        return {
            span.name: names.get(span.parent.span_id) if span.parent else None
            for span in self.spans
        }


@asynccontextmanager
async def recording_spans() -> AsyncIterator[Recorded]:
    """Record every span of the context."""
    exporter, recorded = InMemorySpanExporter(), Recorded()
    async with exporting_to(exporter, Resource({"service.name": "tests"})):
        yield recorded
    recorded.spans = exporter.get_finished_spans()
