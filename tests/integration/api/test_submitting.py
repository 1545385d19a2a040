"""Submissions with a name, a plan or many tasks."""

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api_clients import User, a_task, list_task_ids, read_task, serving
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.postgres.database import Database
from orchestrator_core.settings import AmqpSettings
from rung_bells import listening

WISH = {"task_type": "IMAGE_RESIZE", "payload": {"width": 640}}


async def submit(
    client: httpx.AsyncClient,
    user: User,
    wish: object = WISH,
    *,
    key: str | None = None,
    path: str = "/api/v1/tasks",
) -> httpx.Response:
    headers = user.headers if key is None else {**user.headers, "Idempotency-Key": key}
    return await client.post(path, json=wish, headers=headers)


def fields_of(answer: httpx.Response) -> list[str]:
    return [fault["field"] for fault in answer.json()["errors"]]


async def test_a_plan_is_shown_as_it_was_submitted(client: httpx.AsyncClient, user: User) -> None:
    run_at = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)

    task_id = await a_task(
        client, user, priority="HIGH", run_at=run_at.isoformat(), timeout_seconds=7
    )

    task = await read_task(client, user, task_id)
    assert task["priority"] == "HIGH"
    assert datetime.fromisoformat(task["run_at"]) == run_at
    assert (task["timeout_seconds"], task["progress"], task["retry_of"]) == (7, None, None)


async def test_a_bare_task_is_of_normal_priority_and_runs_at_once(
    client: httpx.AsyncClient, user: User
) -> None:
    task = await read_task(client, user, await a_task(client, user))

    assert (task["priority"], task["run_at"]) == ("NORMAL", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "URGENT"),
        ("priority", "high"),
        ("priority", 2),
        ("priority", None),
        ("run_at", "2030-01-01T00:00:00"),
        ("run_at", "9999-12-31T23:59:59Z"),
        ("run_at", "9999-12-31T23:59:59-14:00"),
        ("run_at", 1_893_456_000),
    ],
)
async def test_a_wrong_plan_is_refused_by_its_field(
    client: httpx.AsyncClient, user: User, field: str, value: object
) -> None:
    answer = await submit(client, user, {**WISH, field: value})

    assert (answer.status_code, fields_of(answer)) == (422, [field])


async def test_the_bell_rings_at_once_only_for_what_is_due(
    client: httpx.AsyncClient, user: User, amqp_settings: AmqpSettings
) -> None:
    now = datetime.now(UTC)
    times = [now + timedelta(hours=1), None, now - timedelta(hours=1), now + timedelta(days=1)]
    wishes = [{**WISH, "run_at": each and each.isoformat()} for each in times]

    async with listening(amqp_settings) as rung_until:
        answer = await submit(client, user, {"tasks": wishes}, path="/api/v1/tasks/batch")
        single = await a_task(client, user)

        ids = [task["task_id"] for task in answer.json()["tasks"]]
        # The single one rings last, so whatever rings at all has rung by then.
        assert await rung_until(single) == {ids[1], ids[2], single}


async def test_the_same_request_again_has_the_same_answer_and_makes_nothing(
    client: httpx.AsyncClient, user: User
) -> None:
    first = await submit(client, user, key="order-17")

    again = await submit(client, user, key="order-17")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await list_task_ids(client, user) == [first.json()["task_id"]]


async def test_the_order_of_keys_and_the_spelling_of_a_time_are_no_other_request(
    client: httpx.AsyncClient, user: User
) -> None:
    first = {
        "task_type": "send_email",
        "payload": {"a": 1, "b": 2},
        "run_at": "2020-01-01T00:00:00Z",
    }
    again = {
        "run_at": "2020-01-01t01:00:00.000+01:00",
        "payload": {"b": 2, "a": 1},
        "task_type": "send_email",
    }

    answers = [await submit(client, user, wish, key="key") for wish in (first, again)]

    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize(
    "other",
    [
        {"task_type": "IMAGE_RESIZE", "payload": {"width": 641}},
        {"task_type": "VIDEO_PROCESS", "payload": {"width": 640}},
        {**WISH, "priority": "LOW"},
    ],
)
async def test_a_key_with_another_body_is_refused_and_nothing_is_kept(
    client: httpx.AsyncClient, user: User, other: dict[str, Any]
) -> None:
    first = await submit(client, user, key="key")

    answer = await submit(client, user, other, key="key")

    assert (answer.status_code, fields_of(answer)) == (422, ["Idempotency-Key"])
    assert await list_task_ids(client, user) == [first.json()["task_id"]]


async def test_a_key_means_one_call(client: httpx.AsyncClient, user: User) -> None:
    await submit(client, user, key="key")

    answer = await submit(client, user, {"tasks": [WISH]}, key="key", path="/api/v1/tasks/batch")

    assert (answer.status_code, fields_of(answer)) == (422, ["Idempotency-Key"])


async def test_requests_with_one_key_at_once_on_two_replicas_make_one_task(
    client: httpx.AsyncClient, user: User, process_settings: ProcessSettings
) -> None:
    async with serving(process_settings) as other:
        answers = await asyncio.gather(
            *(submit(each, user, key="key") for each in [client, other] * 10)
        )

    kept = [answer.json()["task_id"] for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert await list_task_ids(client, user) == [kept[0]]
    assert set(kept) == {kept[0]}
    assert {answer.status_code for answer in refused} <= {409}
    assert all("under way" in answer.json()["error"] for answer in refused)


async def test_after_a_day_a_key_is_free_again(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    first = await submit(client, user, key="key")
    async with database.answering("move the clock on") as connection:
        await connection.execute(
            "UPDATE idempotency_keys SET created_at = created_at - interval '24 hours 1 second'"
        )

    second = await submit(client, user, {"task_type": "send_email"}, key="key")

    assert second.status_code == 201
    assert "idempotent-replayed" not in second.headers
    assert await list_task_ids(client, user) == [first.json()["task_id"], second.json()["task_id"]]


async def test_a_strangers_key_is_another_key(
    client: httpx.AsyncClient, user: User, stranger: User
) -> None:
    mine = await submit(client, user, key="key")

    theirs = await submit(client, stranger, {"task_type": "send_email"}, key="key")

    assert theirs.status_code == 201
    assert theirs.json()["task_id"] != mine.json()["task_id"]


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 256, "tab\tbed", "ümlaut"])
async def test_what_is_no_key_is_refused(client: httpx.AsyncClient, user: User, key: str) -> None:
    headers = [*user.headers.items(), ("Idempotency-Key", key)]
    raw = [(name.encode(), value.encode()) for name, value in headers]

    answer = await client.post("/api/v1/tasks", json=WISH, headers=raw)

    assert (answer.status_code, fields_of(answer)) == (422, ["Idempotency-Key"])
    assert await list_task_ids(client, user) == []


async def test_a_key_of_255_characters_is_one(client: httpx.AsyncClient, user: User) -> None:
    answers = [await submit(client, user, key="~" * 255) for _ in range(2)]

    assert answers[1].headers["idempotent-replayed"] == "true"


async def test_a_refused_request_does_not_use_its_key_up(
    client: httpx.AsyncClient, user: User
) -> None:
    await submit(client, user, {"task_type": "NO_SUCH"}, key="key")

    answer = await submit(client, user, key="key")

    assert answer.status_code == 201
    assert "idempotent-replayed" not in answer.headers


async def test_a_bulk_of_a_thousand_is_kept_in_its_order(
    client: httpx.AsyncClient, user: User
) -> None:
    wishes = [{"task_type": "IMAGE_RESIZE", "payload": {"width": n}} for n in range(1, 1_001)]

    answer = await submit(client, user, {"tasks": wishes}, path="/api/v1/tasks/batch")

    accepted = answer.json()["tasks"]
    ids = [each["task_id"] for each in accepted]
    assert answer.status_code == 201
    assert accepted[0] == {
        "task_id": ids[0],
        "status": "PENDING",
        "message": "Task created successfully",
    }
    assert await list_task_ids(client, user) == sorted(ids)
    for index in (0, 499, 999):
        assert (await read_task(client, user, ids[index]))["payload"] == {"width": index + 1}


async def test_of_a_bulk_every_wrong_field_is_named_and_nothing_is_kept(
    client: httpx.AsyncClient, user: User
) -> None:
    wishes: list[dict[str, Any]] = [
        WISH,
        {"task_type": "NO_SUCH"},
        {"task_type": "IMAGE_RESIZE", "max_attempts": 6},
        {"task_type": "IMAGE_RESIZE", "payload": {"width": 0}},
        WISH,
    ]

    answer = await submit(client, user, {"tasks": wishes}, path="/api/v1/tasks/batch")

    assert answer.status_code == 422
    assert fields_of(answer) == [
        "tasks.1.task_type",
        "tasks.2.max_attempts",
        "tasks.3.payload.width",
    ]
    assert await list_task_ids(client, user) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tasks"),
        ({"tasks": []}, "tasks"),
        ({"tasks": [WISH] * 1_001}, "tasks"),
        ({"tasks": {"0": WISH}}, "tasks"),
        ({"tasks": [WISH, 7]}, "tasks.1"),
        ({"tasks": [WISH, {"task_type": 7}]}, "tasks.1.task_type"),
        ({"tasks": [WISH], "more": 1}, "more"),
        ([WISH], "body"),
    ],
)
async def test_what_is_no_bulk_is_refused_by_its_field(
    client: httpx.AsyncClient, user: User, body: object, field: str
) -> None:
    answer = await submit(client, user, body, path="/api/v1/tasks/batch")

    assert (answer.status_code, fields_of(answer)) == (422, [field])


async def test_a_thousand_wrong_tasks_are_answered_with_a_hundred_faults(
    client: httpx.AsyncClient, user: User
) -> None:
    unknown = {"tasks": [{"task_type": "NO_SUCH"}] * 1_000}
    shapeless: dict[str, object] = {"tasks": [{}] * 1_000}

    answers = [
        await submit(client, user, body, path="/api/v1/tasks/batch")
        for body in (unknown, shapeless)
    ]

    assert [len(answer.json()["errors"]) for answer in answers] == [100, 100]


async def test_a_bulk_again_has_the_same_answer(client: httpx.AsyncClient, user: User) -> None:
    body = {"tasks": [WISH] * 20}

    answers = [
        await submit(client, user, body, key="key", path="/api/v1/tasks/batch") for _ in range(2)
    ]

    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert len(await list_task_ids(client, user)) == 20


async def test_a_row_that_postgres_refuses_fails_alone(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    async with database.answering("make one value unstorable") as connection:
        await connection.execute(
            "ALTER TABLE tasks ADD CONSTRAINT no_666 CHECK (payload ->> 'width' <> '666')"
        )
    widths = [*range(1, 30), 666, *range(30, 60)]

    answers = await asyncio.gather(
        *(
            submit(client, user, {**WISH, "payload": {"width": width}}, key=f"key-{width}")
            for width in widths
        ),
        submit(
            client,
            user,
            {"tasks": [WISH, {**WISH, "payload": {"width": 666}}]},
            path="/api/v1/tasks/batch",
        ),
    )

    statuses = dict(zip([*widths, "bulk"], [answer.status_code for answer in answers], strict=True))
    assert {name for name, status in statuses.items() if status != 201} == {666, "bulk"}
    assert (statuses[666], statuses["bulk"]) == (422, 422)
    assert len(await list_task_ids(client, user)) == len(widths) - 1


async def test_without_rabbitmq_everything_is_kept_all_the_same(
    process_settings: ProcessSettings, user: User
) -> None:
    nowhere = AmqpSettings(RABBITMQ_URL="amqp://guest:guest@127.0.0.1:1/")
    async with serving(dataclasses.replace(process_settings, amqp=nowhere)) as client:
        single = await submit(client, user, key="key")
        bulk = await submit(client, user, {"tasks": [WISH] * 3}, path="/api/v1/tasks/batch")
        ids = await list_task_ids(client, user)

    assert (single.status_code, bulk.status_code, len(ids)) == (201, 201, 4)
