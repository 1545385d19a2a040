"""Final tasks from Redis: as true as the row, one round trip, and never anybody else's."""

import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import httpx
import pytest
from pydantic import TypeAdapter
from redis.asyncio import Redis

from api_clients import JWT_SECRET, User, a_task, serving
from background import background
from orchestrator_api.settings import ProcessSettings
from orchestrator_api.tasks.remembering import RememberedTasks
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.redis.cache import Cache
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.settings import RedisSettings
from orchestrator_core.tasks import Task, TaskId, TaskStatus, UserId
from services import free_port
from worker_bench import until

TASK = TypeAdapter(Task)


class RecordingStore(TaskStore):
    """Says which tasks were read from Postgres."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.found: list[TaskId] = []

    async def find(self, task_id: TaskId) -> Task | None:
        self.found.append(task_id)
        return await super().find(task_id)


@pytest.fixture
def store(database: Database) -> RecordingStore:
    return RecordingStore(database)


@pytest.fixture
async def remembered(store: RecordingStore, cache: Cache) -> AsyncIterator[RememberedTasks]:
    remembered = RememberedTasks(store, cache)
    async with background(remembered.memory):
        yield remembered


@pytest.fixture
async def waiting_id(client: httpx.AsyncClient, user: User) -> TaskId:
    return TaskId(await a_task(client, user, payload={"note": "grüße 🐘"}))


@pytest.fixture
async def final_id(waiting_id: TaskId, database: Database) -> TaskId:
    assert await TaskStore(database).cancel(waiting_id)
    return waiting_id


@pytest.fixture
async def final_task(final_id: TaskId, database: Database) -> Task:
    task = await TaskStore(database).find(final_id)
    assert task is not None
    return task


def name_of(task_id: int, owner: int) -> str:
    return f"task:1:{owner}:{task_id}"


async def count_commands(redis: RedisConnection) -> Counter[str]:
    """Return how often each command ran, those inside of scripts among them."""
    stats = await redis.run("ask", lambda client: client.info("commandstats"))
    return Counter(
        {
            name.removeprefix("cmdstat_"): each["calls"]
            for name, each in stats.items()
            if name != "cmdstat_info"
        }
    )


async def await_entry(redis: RedisConnection, name: str) -> None:
    """Return once the entry is there: it is written in the background."""

    async def look() -> bool:
        return bool(await redis.run("look", lambda client: client.exists(f"cache:{name}")))

    await until(look)


async def test_a_final_task_is_read_from_postgres_once_and_then_as_it_was(
    remembered: RememberedTasks, store: RecordingStore, user: User, final_id: TaskId
) -> None:
    first = await remembered.find(final_id, reader=UserId(user.id))
    await remembered.memory.drain()

    again = await remembered.find(final_id, reader=UserId(user.id))

    assert store.found == [final_id]
    assert again == first
    assert first is not None
    assert first.status is TaskStatus.CANCELLED


async def test_a_hit_costs_one_command_of_redis(
    remembered: RememberedTasks, redis: RedisConnection, user: User, final_id: TaskId
) -> None:
    await remembered.find(final_id, reader=UserId(user.id))
    await remembered.memory.drain()
    before = await count_commands(redis)

    await remembered.find(final_id, reader=UserId(user.id))

    assert await count_commands(redis) - before == Counter(get=1)


async def test_a_remembered_task_is_shown_without_asking_postgres_for_it(
    client: httpx.AsyncClient,
    redis: RedisConnection,
    database: Database,
    user: User,
    final_id: TaskId,
) -> None:
    path = f"/api/v1/tasks/{final_id}"
    from_postgres = await client.get(path, headers=user.headers)
    await await_entry(redis, name_of(final_id, user.id))
    async with database.answering("hide the table") as connection:
        await connection.execute("ALTER TABLE tasks RENAME TO hidden")
    before = await count_commands(redis)
    # What every request costs for its limit.
    await client.get("/api/v1/task-types", headers=user.headers)
    between = await count_commands(redis)

    from_redis = await client.get(path, headers=user.headers)

    after = await count_commands(redis)
    assert (from_redis.status_code, from_redis.json()) == (200, from_postgres.json())
    assert from_redis.headers["etag"] == from_postgres.headers["etag"]
    assert (after - between) - (between - before) == Counter(get=1)


async def test_a_task_that_is_not_final_is_never_remembered(
    remembered: RememberedTasks, store: RecordingStore, user: User, waiting_id: TaskId
) -> None:
    for _ in range(2):
        await remembered.find(waiting_id, reader=UserId(user.id))
        await remembered.memory.drain()

    assert store.found == [waiting_id] * 2


async def test_the_end_of_a_task_is_shown_at_once(
    client: httpx.AsyncClient, database: Database, user: User, waiting_id: TaskId
) -> None:
    path = f"/api/v1/tasks/{waiting_id}"
    before = await client.get(path, headers=user.headers)
    await TaskStore(database).cancel(waiting_id)

    after = await client.get(path, headers=user.headers)

    assert (before.json()["status"], after.json()["status"]) == ("PENDING", "CANCELLED")


async def test_a_remembered_task_stays_its_owners(
    client: httpx.AsyncClient, redis: RedisConnection, user: User, stranger: User, final_id: TaskId
) -> None:
    path = f"/api/v1/tasks/{final_id}"
    await client.get(path, headers=user.headers)
    await await_entry(redis, name_of(final_id, user.id))

    answer = await client.get(path, headers=stranger.headers)

    assert answer.status_code == 403
    assert "grüße" not in answer.text


async def test_a_large_payload_is_not_remembered(
    client: httpx.AsyncClient,
    remembered: RememberedTasks,
    store: RecordingStore,
    database: Database,
    user: User,
) -> None:
    task_id = TaskId(await a_task(client, user, payload={"note": "x" * 70_000}))
    await TaskStore(database).cancel(task_id)

    for _ in range(2):
        await remembered.find(task_id, reader=UserId(user.id))
        await remembered.memory.drain()

    assert store.found == [task_id] * 2


Poison = Callable[[Cache, Redis, Task, int], Awaitable[None]]


async def put_sealed(cache: Cache, name: str, task: Task) -> None:
    await cache.put_many({name: TASK.dump_json(task)}, ttl_seconds=60)


async def unsealed(_: Cache, redis: Redis, task: Task, owner: int) -> None:
    forged = dataclasses.replace(task, error_message="forged")
    await redis.set(f"cache:{name_of(task.id, owner)}", TASK.dump_json(forged))


async def sealed_with_another_secret(_: Cache, redis: Redis, task: Task, owner: int) -> None:
    forged = dataclasses.replace(task, error_message="forged")
    connection = RedisConnection(redis, timeout_seconds=5)
    await put_sealed(Cache(connection, secret=b"guessed"), name_of(task.id, owner), forged)


async def sealed_for_another_key(cache: Cache, redis: Redis, task: Task, owner: int) -> None:
    forged = dataclasses.replace(task, error_message="forged")
    await put_sealed(cache, name_of(task.id + 1, owner), forged)
    entry = await redis.get(f"cache:{name_of(task.id + 1, owner)}")
    assert isinstance(entry, bytes)
    await redis.set(f"cache:{name_of(task.id, owner)}", entry)


async def not_final(cache: Cache, _: Redis, task: Task, owner: int) -> None:
    for status in (TaskStatus.PENDING, TaskStatus.PROCESSING):
        old = dataclasses.replace(task, status=status, finished_at=None)
        await put_sealed(cache, name_of(task.id, owner), old)


async def of_another_task(cache: Cache, _: Redis, task: Task, owner: int) -> None:
    other = dataclasses.replace(task, id=TaskId(task.id + 1))
    await put_sealed(cache, name_of(task.id, owner), other)


async def of_another_user(cache: Cache, _: Redis, task: Task, owner: int) -> None:
    other = dataclasses.replace(task, user_id=UserId(owner + 1), payload='{"note": "theirs"}')
    await put_sealed(cache, name_of(task.id, owner), other)


async def of_another_release(cache: Cache, _: Redis, task: Task, owner: int) -> None:
    text = TASK.dump_json(task).replace(b'"last_event"', b'"renamed"')
    await cache.put_many({name_of(task.id, owner): text}, ttl_seconds=60)


async def garbage(cache: Cache, redis: Redis, task: Task, owner: int) -> None:
    await redis.set(f"cache:{name_of(task.id, owner)}", b"\xff\x00" * 50)
    await cache.put_many({name_of(task.id, owner): b"\xff not JSON"}, ttl_seconds=60)


@pytest.mark.parametrize(
    "poison",
    [
        unsealed,
        sealed_with_another_secret,
        sealed_for_another_key,
        not_final,
        of_another_task,
        of_another_user,
        of_another_release,
        garbage,
    ],
    ids=lambda poison: poison.__name__,
)
async def test_a_stale_or_poisoned_entry_is_passed_over_and_replaced(
    client: httpx.AsyncClient,
    redis: RedisConnection,
    user: User,
    final_task: Task,
    poison: Poison,
) -> None:
    path = f"/api/v1/tasks/{final_task.id}"
    cache = Cache(redis, secret=JWT_SECRET.encode())
    await redis.run("poison", lambda raw: poison(cache, raw, final_task, user.id))
    name = name_of(final_task.id, user.id)
    poisoned = await redis.run("look", lambda raw: raw.get(f"cache:{name}"))

    answer = await client.get(path, headers=user.headers)

    shown = answer.json()
    assert (shown["id"], shown["user_id"], shown["status"]) == (
        *(final_task.id, user.id, "CANCELLED"),
    )
    assert (shown["error_message"], shown["payload"]) == (
        *("its owner asked for it", {"note": "grüße 🐘"}),
    )

    async def is_replaced() -> bool:
        return await redis.run("look", lambda raw: raw.get(f"cache:{name}")) != poisoned

    await until(is_replaced)
    assert (await client.get(path, headers=user.headers)).json() == shown


async def test_a_pending_task_is_shown_as_it_is_whatever_the_cache_says(
    client: httpx.AsyncClient, cache: Cache, database: Database, user: User, waiting_id: TaskId
) -> None:
    task = await TaskStore(database).find(waiting_id)
    assert task is not None
    later = task.created_at + timedelta(seconds=1)
    old = dataclasses.replace(task, status=TaskStatus.PROCESSING, updated_at=later)
    await put_sealed(cache, name_of(waiting_id, user.id), old)

    answer = await client.get(f"/api/v1/tasks/{waiting_id}", headers=user.headers)

    assert answer.json()["status"] == "PENDING"


async def test_without_redis_tasks_come_from_postgres(
    process_settings: ProcessSettings, store: RecordingStore, user: User, final_id: TaskId
) -> None:
    nowhere = RedisSettings(REDIS_HOST="127.0.0.1", REDIS_PORT=free_port())
    settings = dataclasses.replace(process_settings, redis=nowhere)
    async with serving(settings) as client:
        answers = [
            await client.get(f"/api/v1/tasks/{final_id}", headers=user.headers) for _ in range(3)
        ]
    async with RedisConnection.open(nowhere) as redis:
        remembered = RememberedTasks(store, Cache(redis, secret=b"any"))
        async with background(remembered.memory):
            tasks = [await remembered.find(final_id, reader=UserId(user.id)) for _ in range(3)]
            await remembered.memory.drain()

    assert [answer.status_code for answer in answers] == [200] * 3
    assert [task and task.id for task in tasks] == [final_id] * 3


async def test_what_is_remembered_stays_readable_without_postgres(
    cache: Cache, redis: RedisConnection, user: User, final_id: TaskId, database: Database
) -> None:
    remembered = RememberedTasks(TaskStore(database), cache)
    async with background(remembered.memory):
        await remembered.find(final_id, reader=UserId(user.id))
        await remembered.memory.drain()

    class AwayStore(TaskStore):
        async def find(self, task_id: TaskId) -> Task | None:
            raise StoreUnavailableError("postgres", f"find task {task_id}")

    away = RememberedTasks(AwayStore(database), Cache(redis, secret=JWT_SECRET.encode()))
    task = await away.find(final_id, reader=UserId(user.id))

    assert task is not None
    with pytest.raises(StoreUnavailableError):
        await away.find(TaskId(final_id + 1), reader=UserId(user.id))
