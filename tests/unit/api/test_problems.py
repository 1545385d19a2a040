"""Every error as an answer, and none with our insides in it."""

import inspect
import json

import pytest

from orchestrator_api import errors as api
from orchestrator_api.errors import FieldFault
from orchestrator_api.problems import INTERNAL, respond, to_problem
from orchestrator_core import errors as core
from orchestrator_core.tasks import TaskStatus

CASES = [
    (api.InvalidRequestError([FieldFault("payload.width", "too small")]), 422, "Invalid request"),
    (core.UnknownTaskTypeError("X", ["B", "A"]), 422, "Invalid request"),
    (core.RowRefusedError("insert: invalid byte sequence"), 422, "Invalid request"),
    (api.UnauthenticatedError("Missing access token"), 401, "Missing access token"),
    (api.NotYoursError("You can only access your own tasks"), 403, None),
    (core.TaskNotFoundError(7), 404, "Task not found"),
    (api.NoResultError(7, TaskStatus.PENDING), 404, "Result not found"),
    (api.ResultGoneError(7), 410, "Result gone"),
    (core.NameTakenError("the username 'x' is taken"), 409, "Username already exists"),
    (api.BodyTooLargeError(100), 413, "Request body too large"),
    (api.WrongPasswordError("The current password is wrong"), 403, None),
    (api.BodyTooSlowError("the body did not come in time"), 408, "Request body too slow"),
    (api.UnsupportedMediaTypeError("expected JSON"), 415, "Unsupported media type"),
    (api.NotFoundError("File not found"), 404, "File not found"),
    (api.ConflictError("Task is already COMPLETED"), 409, "Task is already COMPLETED"),
    (core.QuotaExceededError(100), 413, "Quota exceeded"),
    (api.RangeNotSatisfiableError(100), 416, "Range not satisfiable"),
    (api.RateLimitedError(1.5, {"Retry-After": "2"}), 429, "Rate limit exceeded"),
    (core.StoreUnavailableError("postgres", "SELECT secret"), 503, "Service unavailable"),
    (core.OverloadedError("tasks", 5), 503, "Service unavailable"),
    (api.DeadlineExceededError("/x"), 503, "Service unavailable"),
    (core.SettingsError("DB_PASSWORD"), 500, "Internal server error"),
    (core.NotAnEnvelopeError("x"), 500, "Internal server error"),
    (core.HandlerSetupError("x"), 500, "Internal server error"),
]


@pytest.mark.parametrize(("error", "status", "sentence"), CASES, ids=lambda case: str(case)[:40])
def test_an_error_has_its_status_and_its_sentence(
    error: core.OrchestratorError, status: int, sentence: str | None
) -> None:
    problem = to_problem(error)

    assert problem.status == status
    assert problem.error == (sentence or str(error))


def test_every_class_of_the_trees_is_among_the_cases() -> None:
    classes = {
        each
        for module in (core, api)
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, core.OrchestratorError) and each is not core.OrchestratorError
    }

    assert classes == {type(error) for error, _, _ in CASES}


def test_a_problem_has_the_members_of_rfc_9457_and_the_originals_key() -> None:
    error = api.InvalidRequestError([FieldFault("payload.width", "too small")])

    answer = respond(to_problem(error), path="/api/v1/tasks")

    body = json.loads(bytes(answer.body))
    assert answer.media_type == "application/problem+json"
    assert body["type"] == "urn:orchestrator:problem:invalid_request"
    assert body["status"] == 422
    assert body["title"]
    assert body["detail"] == "payload.width: too small"
    assert body["instance"] == "/api/v1/tasks"
    assert body["error"] == "Invalid request"
    assert body["errors"] == [{"field": "payload.width", "message": "too small"}]


def test_every_503_says_when_to_come_back() -> None:
    unavailable = [to_problem(error) for error, status, _ in CASES if status == 503]

    assert all(int(problem.headers["Retry-After"]) > 0 for problem in unavailable)


def test_every_401_names_its_scheme() -> None:
    assert to_problem(api.UnauthenticatedError("x")).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "error",
    [
        core.StoreUnavailableError("postgres", "password authentication failed for 10.0.0.7"),
        core.RowRefusedError('relation "tasks" violates check'),
        core.SettingsError("DB_PASSWORD is wrong"),
    ],
)
def test_a_drivers_text_never_leaves(error: core.OrchestratorError) -> None:
    body = bytes(respond(to_problem(error), path="/").body).decode()

    assert "10.0.0.7" not in body
    assert "relation" not in body
    assert "DB_PASSWORD" not in body


def test_an_unknown_type_is_answered_with_the_known_ones() -> None:
    problem = to_problem(core.UnknownTaskTypeError("X", ["B", "A"]))

    assert problem.faults == [FieldFault("task_type", "unknown; known are A, B")]


def test_what_nobody_expected_is_a_500_without_details() -> None:
    assert to_problem(core.OrchestratorError("boom")) is INTERNAL
