"""Lists that are filtered, and reads that know what the client has."""

import time
import uuid
from typing import Any

import httpx
import pytest

from api_clients import User, a_task
from kept_tasks import keep_tasks
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.task_store import MAX_SCAN, TaskStore
from orchestrator_core.tasks import NewTask, TaskId, UserId
from orchestrator_core.tracing import to_trace_context

COUNT = 6_000
RARE = {10: "VIDEO_PROCESS", 11: "VIDEO_PROCESS", 5_999: "VIDEO_PROCESS"}
"""By place."""


@pytest.fixture
async def ids(user: User, database: Database) -> list[TaskId]:
    """Thousands of tasks, of which a few are of another type and a few are cancelled."""
    tasks = [
        NewTask(
            user_id=UserId(user.id),
            task_type=RARE.get(place, "IMAGE_RESIZE"),
            payload="{}",
            max_attempts=3,
            timeout_seconds=60,
            trace_context=to_trace_context(None),
        )
        for place in range(COUNT)
    ]
    return await keep_tasks(database, tasks)


async def read_page(client: httpx.AsyncClient, user: User, target: str) -> httpx.Response:
    answer = await client.get(target, headers=user.headers)
    assert answer.status_code == 200, answer.text
    return answer


async def read_all(
    client: httpx.AsyncClient, user: User, query: str
) -> tuple[list[dict[str, Any]], int]:
    """Follow the links; return all tasks, and the number of pages."""
    target: str | None = f"/api/v1/users/{user.id}/tasks?{query}"
    tasks: list[dict[str, Any]] = []
    pages = 0
    while target is not None:
        answer = await read_page(client, user, target)
        tasks += answer.json()["tasks"]
        pages += 1
        target = answer.links["next"]["url"] if "next" in answer.links else None
        assert (target is None) == (answer.json()["next_cursor"] is None)
    return tasks, pages


async def test_filters_find_the_rare_among_thousands_in_a_bounded_number_of_pages(
    client: httpx.AsyncClient, user: User, ids: list[TaskId], database: Database
) -> None:
    cancelled = [ids[5], ids[11], ids[5_500]]
    for task_id in cancelled:
        await TaskStore(database).cancel(task_id)

    by_type = await read_all(client, user, "task_type=VIDEO_PROCESS&limit=1000")
    by_status = await read_all(client, user, "status=CANCELLED&limit=1000")
    by_both = await read_all(client, user, "status=CANCELLED&task_type=VIDEO_PROCESS")
    one_by_one = await read_all(client, user, "task_type=VIDEO_PROCESS&limit=1")
    none = await read_all(client, user, "task_type=NO_SUCH")

    def ids_of(found: tuple[list[dict[str, Any]], int]) -> tuple[list[int], int]:
        return [task["id"] for task in found[0]], found[1]

    assert ids_of(by_type) == ([ids[place] for place in RARE], 2)
    assert ids_of(by_status) == (cancelled, 2)
    assert ids_of(by_both) == ([ids[11]], 2)
    assert ids_of(one_by_one)[0] == [ids[place] for place in RARE]
    assert ids_of(none) == ([], 2)


async def test_a_filtered_page_looks_at_no_more_than_its_bound(
    client: httpx.AsyncClient, user: User, ids: list[TaskId]
) -> None:
    started = time.monotonic()

    page = (
        await read_page(client, user, f"/api/v1/users/{user.id}/tasks?task_type=NO_SUCH")
    ).json()

    assert page == {"tasks": [], "next_cursor": ids[MAX_SCAN - 1]}
    assert time.monotonic() - started < 2


async def test_without_a_filter_the_pages_hold_everything_in_order(
    client: httpx.AsyncClient, user: User, ids: list[TaskId]
) -> None:
    tasks, pages = await read_all(client, user, "limit=1000")

    assert [task["id"] for task in tasks] == ids
    assert pages == COUNT // 1_000


async def test_the_next_page_is_asked_for_with_the_same_question(
    client: httpx.AsyncClient, user: User
) -> None:
    for _ in range(3):
        await a_task(client, user)

    answer = await read_page(
        client, user, f"/api/v1/users/{user.id}/tasks?status=PENDING&task_type=IMAGE_RESIZE&limit=2"
    )

    cursor = answer.json()["next_cursor"]
    assert answer.headers["link"] == (
        f"</api/v1/users/{user.id}/tasks?status=PENDING&task_type=IMAGE_RESIZE&limit=2"
        f'&cursor={cursor}>; rel="next"'
    )


async def test_a_last_page_leads_nowhere(client: httpx.AsyncClient, user: User) -> None:
    await a_task(client, user)

    answer = await read_page(client, user, f"/api/v1/users/{user.id}/tasks?status=PENDING")

    assert "link" not in answer.headers


async def test_a_type_with_any_characters_can_be_asked_for(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    name = 'größe & "<more>" 100%'
    [task_id, _] = await keep_tasks(
        database,
        [
            NewTask(
                user_id=UserId(user.id),
                task_type=name,
                payload="{}",
                max_attempts=3,
                timeout_seconds=60,
                trace_context=to_trace_context(None),
            )
        ]
        * 2,
    )
    params: dict[str, str | int] = {"task_type": name, "limit": 1}

    first = await client.get(f"/api/v1/users/{user.id}/tasks", params=params, headers=user.headers)
    second = await read_page(client, user, first.links["next"]["url"])

    assert [task["id"] for task in first.json()["tasks"]] == [task_id]
    assert [task["task_type"] for task in second.json()["tasks"]] == [name]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=DONE", "status"),
        ("status=pending", "status"),
        ("status=", "status"),
        ("task_type=", "task_type"),
        ("task_type=%00", "task_type"),
        (f"task_type={'x' * 129}", "task_type"),
    ],
)
async def test_a_wrong_filter_is_refused_by_its_field(
    client: httpx.AsyncClient, user: User, query: str, field: str
) -> None:
    answer = await client.get(f"/api/v1/users/{user.id}/tasks?{query}", headers=user.headers)

    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_who_has_a_tasks_state_already_gets_304_until_it_changes(
    client: httpx.AsyncClient, user: User, database: Database
) -> None:
    task_id = await a_task(client, user)
    path = f"/api/v1/tasks/{task_id}"
    first = await client.get(path, headers=user.headers)
    known = {**user.headers, "If-None-Match": first.headers["etag"]}

    same = await client.get(path, headers=known)
    await TaskStore(database).claim([TaskId(task_id)], worker_id=uuid.uuid4(), lease_seconds=30)
    changed = await client.get(path, headers=known)

    assert first.headers["etag"] == f'"{task_id}-1"'
    assert first.headers["cache-control"] == "private, no-cache"
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["etag"] == first.headers["etag"]
    assert (changed.status_code, changed.json()["status"]) == (200, "PROCESSING")
    assert changed.headers["etag"] == f'"{task_id}-2"'


async def test_a_strangers_if_none_match_is_told_nothing(
    client: httpx.AsyncClient, user: User, stranger: User
) -> None:
    task_id = await a_task(client, user)

    answer = await client.get(
        f"/api/v1/tasks/{task_id}", headers={**stranger.headers, "If-None-Match": "*"}
    )

    assert answer.status_code == 403
