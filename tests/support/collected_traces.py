"""Traces as a Jaeger that received them tells them.

Before: ``services.jaeger`` runs, and processes export to it.
After: tests compare who is whose child.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

ARRIVAL_SECONDS = 20.0
"""Processes export every two seconds, and when they end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedSpan:
    """One span."""

    id: str
    parent_id: str | None
    name: str
    service: str
    instance: str
    tags: Mapping[str, Any]
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class CollectedTrace:
    """All spans of a trace that have come so far."""

    spans: Mapping[str, CollectedSpan]
    """By id."""

    def all(self, name: str) -> list[CollectedSpan]:
        """Return the spans of this name, the earliest first."""
        found = [span for span in self.spans.values() if span.name == name]
        return sorted(found, key=lambda span: span.start_us)

    def one(self, name: str) -> CollectedSpan:
        """Return the only span of this name."""
        [found] = self.all(name)
        return found

    def children(self, span: CollectedSpan) -> set[str]:
        """Return the names of a span's children."""
        return {each.name for each in self.spans.values() if each.parent_id == span.id}


def await_trace(url: str, trace_id: str, *names: str) -> CollectedTrace:
    """Wait until Jaeger at ``url`` has at least these spans of a trace; return what it has."""
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while True:
        found = read_trace(url, trace_id)
        missing = Counter(names) - Counter(span.name for span in found.spans.values())
        if not missing:
            return found
        assert time.monotonic() < deadline, f"missing {missing}, found {found}"
        time.sleep(0.2)


def read_trace(url: str, trace_id: str) -> CollectedTrace:
    """Return what Jaeger has of a trace."""
    answer = httpx.get(f"{url}/api/traces/{trace_id}", timeout=10.0)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return CollectedTrace({})
    [trace] = answer.raise_for_status().json()["data"]
    spans = [_to_span(each, trace["processes"][each["processID"]]) for each in trace["spans"]]
    return CollectedTrace({span.id: span for span in spans})


def _to_span(raw: dict[str, Any], process: dict[str, Any]) -> CollectedSpan:
    parents = [each["spanID"] for each in raw["references"] if each["refType"] == "CHILD_OF"]
    of_process = {each["key"]: each["value"] for each in process["tags"]}
    return CollectedSpan(
        id=raw["spanID"],
        parent_id=parents[0] if parents else None,
        name=raw["operationName"],
        service=process["serviceName"],
        instance=of_process["service.instance.id"],
        tags={each["key"]: each["value"] for each in raw["tags"]},
        start_us=raw["startTime"],
        end_us=raw["startTime"] + raw["duration"],
    )
