"""Who is traced, whose child each span is, and that all others cost nothing."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import INVALID_SPAN, SpanKind, StatusCode

from orchestrator_core import spans
from orchestrator_core.settings import TracingSettings
from orchestrator_core.spans import (
    add_child,
    begin_trace,
    child_of,
    child_span,
    context_of,
    current,
    current_context,
    exporting,
    shown_to_sdk,
    span_of,
    spans_of,
)
from orchestrator_core.testing import A_TRACE
from orchestrator_core.tracing import is_sampled, to_trace_context, trace_id_of
from recorded_spans import recording_spans

SAMPLED = f"{A_TRACE[:-2]}01"


def begin(traceparent: str | None, *, ratio: float) -> tuple[str, object]:
    return begin_trace("POST", traceparent, ratio=ratio, chance=Random(1))


async def test_without_a_collector_nothing_is_sampled_and_nothing_made() -> None:
    context, span = begin(None, ratio=1.0)

    assert not is_sampled(context)
    assert span is INVALID_SPAN
    assert begin(SAMPLED, ratio=1.0) == (SAMPLED, INVALID_SPAN)
    with span_of(SAMPLED, "process", kind=SpanKind.CONSUMER) as attempt, child_span("x") as child:
        assert attempt is child is INVALID_SPAN


@pytest.mark.parametrize(("ratio", "is_traced"), [(0.0, False), (1.0, True)])
async def test_chance_decides_for_those_without_a_trace(ratio: float, *, is_traced: bool) -> None:
    async with recording_spans() as recorded:
        context, span = begin(None, ratio=ratio)
        assert is_sampled(context) is is_traced
        if is_traced:
            span.end()  # type: ignore[attr-defined]

    assert [trace_id_of(context_of(each)) for each in recorded.spans] == (  # type: ignore[arg-type]
        [trace_id_of(context)] if is_traced else []
    )


@pytest.mark.parametrize(("traceparent", "is_traced"), [(SAMPLED, True), (A_TRACE, False)])
async def test_a_clients_word_counts_more_than_chance(traceparent: str, *, is_traced: bool) -> None:
    async with recording_spans():
        context, _ = begin(traceparent, ratio=0.0 if is_traced else 1.0)

    assert trace_id_of(context) == trace_id_of(traceparent)
    assert is_sampled(context) is is_traced
    # Its own span is the parent of what follows, no longer the client's.
    assert (context != traceparent) is is_traced


async def test_a_tenth_is_about_a_tenth() -> None:
    chance = Random(7)
    async with recording_spans():
        sampled = sum(
            is_sampled(begin_trace("GET", None, ratio=0.1, chance=chance)[0]) for _ in range(5000)
        )

    assert 400 < sampled < 600


async def test_a_task_has_one_trace_over_its_request_and_its_attempts() -> None:
    async with recording_spans() as recorded:
        context, request = begin_trace("POST", SAMPLED, ratio=0, chance=Random(1))
        with current(request), child_span("insert"):
            assert current_context(A_TRACE) != A_TRACE
        request.end()
        with spans_of({context, A_TRACE}, "publish", kind=SpanKind.PRODUCER):
            pass
        for attempt in ("first", "second"):
            with span_of(context, attempt, kind=SpanKind.CONSUMER, begun_ns=5) as span:
                add_child(span, f"claim {attempt}", begun_ns=5, ended_ns=7)
                with child_of(span, f"execute {attempt}"):
                    pass
                span.set_attribute("x", 1)

    assert recorded.parents() == {
        "POST": None,
        "insert": "POST",
        "publish": "POST",
        "first": "POST",
        "claim first": "first",
        "execute first": "first",
        "second": "POST",
        "claim second": "second",
        "execute second": "second",
    }
    assert recorded.one("POST").parent is not None, "the client's own span"
    claim = recorded.one("claim first")
    assert (claim.start_time, claim.end_time) == (5, 7)
    assert recorded.one("first").start_time == 5


async def test_spans_that_a_handler_makes_itself_are_children_of_its_attempt() -> None:
    tracer = TracerProvider().get_tracer("of a handler")
    async with recording_spans():
        with (
            span_of(SAMPLED, "process", kind=SpanKind.CONSUMER) as span,
            child_of(span, "execute") as executing,
            shown_to_sdk(executing),
        ):
            child = tracer.start_span("its own")
        with span_of(A_TRACE, "of nobody", kind=SpanKind.CONSUMER) as none, shown_to_sdk(none):
            stranger = tracer.start_span("its own")

    assert isinstance(child, ReadableSpan)
    assert child.parent == executing.get_span_context()
    assert child.get_span_context().trace_id == int(trace_id_of(SAMPLED), 16)
    assert isinstance(stranger, ReadableSpan)
    assert stranger.parent is None


async def test_what_goes_on_after_its_span_has_ended_is_no_part_of_it() -> None:
    async with recording_spans() as recorded:
        _, request = begin_trace("POST", None, ratio=1, chance=Random(1))
        with current(request):
            request.end()
            with child_span("late"):
                pass
        with child_span("later"):
            pass

    assert recorded.parents() == {"POST": None}


async def test_what_fails_for_many_fails_for_each() -> None:
    async with recording_spans() as recorded:
        with (
            pytest.raises(OSError, match="away"),
            spans_of([SAMPLED, A_TRACE], "publish", kind=SpanKind.PRODUCER),
        ):
            raise OSError("away")

    assert recorded.one("publish").status.status_code is StatusCode.ERROR


async def test_a_trace_context_that_is_none_disturbs_nobody() -> None:
    async with recording_spans() as recorded:
        with span_of("nonsense", "process", kind=SpanKind.CONSUMER):
            pass

    assert recorded.spans == ()


async def test_a_collector_that_is_away_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "EXPORT_SECONDS", 0.2)
    settings = TracingSettings(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_TRACES_SAMPLER_ARG=1
    )

    async with exporting(settings, app="tests", version="1", instance="here"):
        _, span = begin(None, ratio=settings.sampling_ratio)
        span.end()  # type: ignore[attr-defined]
        assert span is not INVALID_SPAN


@given(st.text())
def test_only_a_well_formed_context_is_taken(traceparent: str) -> None:
    context = to_trace_context(traceparent)

    assert context == traceparent or not is_sampled(context)
    assert len(trace_id_of(context)) == 32
