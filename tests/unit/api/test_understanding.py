"""From a wish to a task."""

import json

import pytest

from orchestrator_api.errors import FieldFault, InvalidRequestError
from orchestrator_api.tasks.catalogue import KnownType, compile_type
from orchestrator_api.tasks.schemas import SubmitTask
from orchestrator_api.tasks.understanding import understand
from orchestrator_core.postgres.worker_store import TaskType
from orchestrator_core.tasks import NewTask, UserId

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
