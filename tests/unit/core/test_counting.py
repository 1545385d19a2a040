"""Counters and histograms that cost little, held against those of prometheus-client."""

from unittest.mock import patch

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition

from orchestrator_core.counting import CounterFamily, HistogramFamily

BUCKETS = (0.005, 0.1, 1, 2.5, 60)
LABELS = ("route", "status")
VALUES = st.tuples(st.sampled_from(["/a", '/"b"\n']), st.sampled_from([200, "503"]))
MEASUREMENTS = st.one_of(
    st.floats(0, 100), st.sampled_from(BUCKETS), st.integers(0, 100), st.just(1e9)
)
EXEMPLARS = st.one_of(st.none(), st.just({"trace_id": "0af7651916cd43dd8448eb211c80319c"}))


def told(registry: CollectorRegistry) -> tuple[list[str], list[str]]:
    """Return what Prometheus reads, in both of its formats, but for the times of creation."""
    texts = (
        generate_latest(registry),
        exposition.generate_latest(registry),  # type: ignore[no-untyped-call]
    )
    plain, open_metrics = (
        [line for line in text.decode().splitlines() if "_created" not in line] for text in texts
    )
    return plain, open_metrics


@given(st.lists(st.tuples(VALUES, st.integers(0, 1000))))
def test_a_counter_reads_as_the_library_s_does(counts: list[tuple[tuple[str, str], int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = CounterFamily("any_total", 'Any "thing".', LABELS, registry=ours)
    usual = prometheus_client.Counter("any_total", 'Any "thing".', LABELS, registry=theirs)

    for values, amount in counts:
        mine.labels(*values).inc(amount)
        usual.labels(*values).inc(amount)

    assert told(ours) == told(theirs)


@given(st.lists(st.tuples(VALUES, MEASUREMENTS, EXEMPLARS)))
def test_a_histogram_reads_as_the_library_s_does(
    measured: list[tuple[tuple[str, str], float, dict[str, str] | None]],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = HistogramFamily("any_seconds", "Any.", LABELS, buckets=BUCKETS, registry=ours)
    usual = prometheus_client.Histogram(
        "any_seconds", "Any.", LABELS, buckets=BUCKETS, registry=theirs
    )

    with patch("time.time", return_value=1_700_000_000.5):
        for values, value, exemplar in measured:
            mine.labels(*values).observe(value, exemplar)
            usual.labels(*values).observe(value, exemplar)

    assert told(ours) == told(theirs)


def test_without_labels_there_is_one_child_and_it_begins_at_0() -> None:
    registry = CollectorRegistry()
    counter = CounterFamily("any_total", "Any.", registry=registry)
    histogram = HistogramFamily("any_seconds", "Any.", buckets=(1,), registry=registry)

    assert counter.labels() is counter.labels()
    assert histogram.labels() is histogram.labels()

    assert registry.get_sample_value("any_total") == 0
    assert registry.get_sample_value("any_seconds_bucket", {"le": "1.0"}) == 0
    assert registry.get_sample_value("any_seconds_count") == 0


def test_values_that_are_too_few_or_too_many_are_refused() -> None:
    family = CounterFamily("any_total", "Any.", LABELS, registry=CollectorRegistry())

    with pytest.raises(ValueError, match=r"any_total: expected values of \('route', 'status'\)"):
        family.labels("/a")


def test_a_name_that_another_metric_has_is_refused() -> None:
    registry = CollectorRegistry()
    HistogramFamily("any_seconds", "Any.", buckets=(1,), registry=registry)

    with pytest.raises(ValueError, match="Duplicated"):
        prometheus_client.Histogram("any_seconds", "Any.", registry=registry)
