"""The demonstration waits when it is told to, and only then."""

from collections.abc import Callable, Iterable

import httpx
import pytest

from hack.stack.patience import PATIENCE_SECONDS, Patient

LATER = {"Retry-After": "3"}


def a_patient(
    answers: Iterable[httpx.Response], slept: list[float]
) -> tuple[httpx.Client, Patient, Callable[[], int]]:
    waiting = iter(answers)
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return next(waiting)

    patient = Patient(httpx.MockTransport(answer), sleep=slept.append)
    client = httpx.Client(transport=patient, base_url="http://api")
    return client, patient, lambda: len(asked)


@pytest.mark.parametrize("status", [429, 503])
def test_it_comes_back_when_it_was_told_to(status: int) -> None:
    slept: list[float] = []
    answers = [httpx.Response(status, headers=LATER), httpx.Response(201)]
    client, patient, asked = a_patient(answers, slept)

    response = client.post("/api/v1/tasks", json={})

    assert (response.status_code, asked(), slept) == (201, 2, [3.0])
    assert patient.waited_seconds == 3.0


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.Response(503),
        httpx.Response(404, headers=LATER),
        httpx.Response(429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
    ],
)
def test_any_other_refusal_is_passed_on(refusal: httpx.Response) -> None:
    slept: list[float] = []
    client, _, asked = a_patient([refusal], slept)

    response = client.get("/")

    assert (response.status_code, asked(), slept) == (refusal.status_code, 1, [])


def test_its_patience_ends() -> None:
    slept: list[float] = []
    refused = (httpx.Response(429, headers=LATER) for _ in range(1_000))
    client, _, _ = a_patient(refused, slept)

    response = client.get("/")

    assert response.status_code == 429
    assert sum(slept) <= PATIENCE_SECONDS


def test_no_time_to_wait_is_still_a_pause() -> None:
    slept: list[float] = []
    answers = [httpx.Response(429, headers={"Retry-After": "0"}), httpx.Response(200)]
    client, _, _ = a_patient(answers, slept)

    client.get("/")

    assert slept == [1.0]
