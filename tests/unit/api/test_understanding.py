"""From a wish to a task."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from orchestrator_api.errors import FieldFault, InvalidRequestError
from orchestrator_api.tasks.catalogue import KnownType, compile_type
from orchestrator_api.tasks.schemas import SubmitTask
from orchestrator_api.tasks.understanding import understand
from orchestrator_core.postgres.worker_store import TaskType
from orchestrator_core.tasks import NewTask, TaskPriority, UserId

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def a_known_type() -> KnownType:
    schema = {"type": "object", "properties": {"width": {"type": "integer"}}}
    return compile_type(
        TaskType(
            name="resize", payload_schema=json.dumps(schema), timeout_seconds=60, max_attempts=5
        )
    )


def understood(**wish: object) -> NewTask:
    return understand(
        SubmitTask.model_validate({"task_type": "resize", **wish}),
        a_known_type(),
        user_id=UserId(7),
        trace_context=TRACE,
        now=NOW,
    )


def faults_of(**wish: object) -> list[FieldFault]:
    with pytest.raises(InvalidRequestError) as refusal:
        understood(**wish)
    return list(refusal.value.faults)


def test_a_bare_type_takes_the_types_own_limits_and_an_empty_payload() -> None:
    assert understood() == NewTask(
        user_id=UserId(7),
        task_type="resize",
        payload="{}",
        max_attempts=5,
        timeout_seconds=60,
        trace_context=TRACE,
    )


def test_a_wish_for_less_is_granted() -> None:
    task = understood(max_attempts=1, timeout_seconds=9)

    assert (task.max_attempts, task.timeout_seconds) == (1, 9)


def test_a_wish_for_more_than_the_type_allows_is_refused_field_by_field() -> None:
    assert faults_of(max_attempts=6, timeout_seconds=61) == [
        FieldFault("max_attempts", "resize allows at most 5"),
        FieldFault("timeout_seconds", "resize allows at most 60"),
    ]


def test_a_plan_is_kept_with_its_priority_and_its_time_in_utc() -> None:
    task = understood(priority="HIGH", run_at="2030-06-01T12:00:00.5+02:00")

    assert task.priority is TaskPriority.HIGH
    assert task.run_at == datetime(2030, 6, 1, 10, 0, 0, 500_000, tzinfo=UTC)


def test_a_time_is_taken_up_to_a_leap_year_ahead() -> None:
    last = NOW + timedelta(days=366)

    task = understood(run_at=last.isoformat())

    assert task.run_at == last
    assert faults_of(run_at=(last + timedelta(seconds=1)).isoformat()) == [
        FieldFault("run_at", "expected a time at most 366 days ahead")
    ]


@pytest.mark.parametrize(
    "run_at",
    [
        "2030-01-01",
        "2030-01-01T00:00:00",
        "2030-01-01 00:00:00Z",
        "2030-02-30T00:00:00Z",
        "2030-01-01T00:00:60Z",
        "0001-01-01T00:00:00+14:00",
        "1893456000",
        "tomorrow",
        "",
        1_893_456_000,
        True,
        {},
    ],
)
def test_what_is_no_time_with_a_zone_is_refused(run_at: object) -> None:
    with pytest.raises(ValidationError, match="run_at"):
        SubmitTask.model_validate({"task_type": "resize", "run_at": run_at}, strict=True)


def test_a_payload_keeps_its_text_whatever_the_script() -> None:
    task = understood(payload={"note": 'größe "🐘" \\u0000 \u2028'})

    assert json.loads(task.payload) == {"note": 'größe "🐘" \\u0000 \u2028'}


def test_a_payload_that_does_not_fit_the_schema_is_refused_with_its_field() -> None:
    assert faults_of(payload={"width": "wide"}) == [
        FieldFault("payload.width", "'wide' is not of type 'integer'")
    ]


def test_a_number_beyond_all_bounds_is_refused() -> None:
    assert faults_of(payload={"other": float("inf")}) == [
        FieldFault("payload", "holds a number out of range")
    ]
