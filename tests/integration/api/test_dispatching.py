"""A kept task is rung for, whatever dies between: the sweep over real stores."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from random import Random

import aio_pika
import httpx
import pytest

from api_clients import User, a_task, a_user, serving
from kept_tasks import keep_tasks
from orchestrator_api.dispatching import PAGE_RINGS, Bell, Sweep
from orchestrator_api.metrics import Metrics
from orchestrator_api.settings import ProcessSettings
from orchestrator_api.sparing import GRACE_SECONDS, Sparing
from orchestrator_core.amqp.doorbell import Doorbell
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.ring_store import RingStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.settings import AmqpSettings, PostgresSettings
from orchestrator_core.tasks import NewTask, TaskId, UserId
from orchestrator_core.topology import TASK_QUEUE
from spared_leases import AClock, sparing_nothing

NOWHERE = AmqpSettings(RABBITMQ_URL="amqp://guest:guest@127.0.0.1:1/")
NO_POSTGRES = PostgresSettings(DB_HOST="127.0.0.1", DB_PORT=1)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def bell(amqp_settings: AmqpSettings) -> AsyncIterator[Doorbell]:
    doorbell = Doorbell(amqp_settings)
    yield doorbell
    await doorbell.close()


@pytest.fixture
def store(database: Database) -> TaskStore:
    return TaskStore(database)


@pytest.fixture
async def owner(database: Database) -> UserId:
    async with database.answering("insert a user") as connection:
        user_id = await connection.fetchval(
            "INSERT INTO users (username, password_hash) VALUES ('owner', 'x') RETURNING id"
        )
    return UserId(user_id)


def a_sweep(
    database: Database,
    bell: Bell,
    *,
    ring_again_seconds: float = 30.0,
    sparing: Sparing | None = None,
) -> Sweep:
    return Sweep(
        RingStore(database),
        bell,
        Metrics().rings,
        sparing=sparing or sparing_nothing(),
        chance=Random(1),
        ring_again_seconds=ring_again_seconds,
    )


class ASilentBell:
    """RabbitMQ that takes a connection and then says nothing."""

    def __init__(self) -> None:
        self.was_asked = asyncio.Event()

    async def ring(self, envelopes: Sequence[TaskEnvelope]) -> None:
        raise AssertionError(envelopes)

    async def depth_messages(self) -> int:
        self.was_asked.set()
        await asyncio.Event().wait()
        raise AssertionError


async def kept_tasks(database: Database, owner: UserId, count: int = 1) -> list[TaskId]:
    """Rows of an API that died right after its commit: kept, due, and never rung."""
    task = NewTask(
        user_id=owner,
        task_type="IMAGE_RESIZE",
        payload="{}",
        max_attempts=1,
        timeout_seconds=60,
        trace_context=TRACE,
    )
    return await keep_tasks(database, [task] * count, ring_after_seconds=0)


async def make_due(database: Database) -> None:
    """Move the clock on: every ring and every lease has run out."""
    async with database.answering("move the clock on") as connection:
        await connection.execute(
            "UPDATE live_tasks SET ring_at = now() - interval '1 s',"
            " due_at = now() - interval '1 s',"
            " lease_until = CASE WHEN lease_until IS NOT NULL THEN now() - interval '1 s' END"
        )


async def queued_ids(settings: AmqpSettings) -> list[int]:
    """Take every message out of the queue; return their task ids."""
    connection = await aio_pika.connect(settings.url.get_secret_value())
    async with connection, connection.channel() as channel:
        queue = await channel.get_queue(TASK_QUEUE)
        ids = []
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            ids.append(int(message.body.split(b":")[-1].rstrip(b"}")))
        return ids


async def purge(settings: AmqpSettings) -> None:
    connection = await aio_pika.connect(settings.url.get_secret_value())
    async with connection, connection.channel() as channel:
        await (await channel.get_queue(TASK_QUEUE)).purge()


async def test_a_submitted_task_is_rung_for_without_the_sweep(
    client: httpx.AsyncClient, user: User, bell: Doorbell, amqp_settings: AmqpSettings
) -> None:
    await bell.depth_messages()

    ids = [await a_task(client, user) for _ in range(3)]

    # The answer does not wait for the ring, so the messages may come a moment later.
    found: list[int] = []
    while len(found) < 3:
        found += await queued_ids(amqp_settings)
    assert sorted(found) == ids


async def test_an_api_that_died_between_commit_and_publish_is_made_good_by_the_sweep(
    database: Database,
    owner: UserId,
    bell: Doorbell,
    amqp_settings: AmqpSettings,
) -> None:
    ids = await kept_tasks(database, owner, 3)

    await a_sweep(database, bell).sweep()

    assert sorted(await queued_ids(amqp_settings)) == ids


async def test_a_purged_queue_is_filled_again(
    database: Database,
    owner: UserId,
    bell: Doorbell,
    amqp_settings: AmqpSettings,
) -> None:
    sweep = a_sweep(database, bell)
    ids = await kept_tasks(database, owner, 3)
    await sweep.sweep()
    await purge(amqp_settings)
    await make_due(database)

    await sweep.sweep()

    assert sorted(await queued_ids(amqp_settings)) == ids


async def test_a_deleted_queue_is_declared_and_filled_again(
    database: Database,
    owner: UserId,
    bell: Doorbell,
    amqp_settings: AmqpSettings,
) -> None:
    sweep = a_sweep(database, bell)
    ids = await kept_tasks(database, owner, 3)
    await sweep.sweep()
    connection = await aio_pika.connect(amqp_settings.url.get_secret_value())
    async with connection, connection.channel() as channel:
        await channel.queue_delete(TASK_QUEUE)
    await make_due(database)

    with pytest.raises(StoreUnavailableError):
        await sweep.sweep()
    await sweep.sweep()

    assert sorted(await queued_ids(amqp_settings)) == ids


async def test_messages_that_wait_in_the_queue_are_not_doubled(
    database: Database, owner: UserId, bell: Doorbell
) -> None:
    sweep = a_sweep(database, bell)
    await kept_tasks(database, owner, 5)
    await sweep.sweep()

    for _ in range(3):
        await make_due(database)
        await sweep.sweep()

    assert await bell.depth_messages() == 5


async def test_a_backlog_deeper_than_a_page_is_rung_in_one_sweep(
    database: Database, owner: UserId, bell: Doorbell
) -> None:
    count = 2 * PAGE_RINGS + 1
    await kept_tasks(database, owner, count)

    await a_sweep(database, bell).sweep()

    assert await bell.depth_messages() == count


async def test_a_retry_rings_when_its_time_has_come_however_deep_the_queue(
    database: Database,
    owner: UserId,
    bell: Doorbell,
    amqp_settings: AmqpSettings,
) -> None:
    sweep = a_sweep(database, bell)
    await kept_tasks(database, owner, 5)
    await sweep.sweep()
    (retried,) = await kept_tasks(database, owner)
    async with database.answering("make a retry") as connection:
        await connection.execute("UPDATE live_tasks SET rings = 0 WHERE task_id = $1", retried)

    await sweep.sweep()

    assert (await queued_ids(amqp_settings))[-1] == retried


async def test_two_replicas_that_sweep_together_ring_once_for_each_task(
    database: Database,
    owner: UserId,
    bell: Doorbell,
    amqp_settings: AmqpSettings,
) -> None:
    ids = await kept_tasks(database, owner, 50)
    other_bell = Doorbell(amqp_settings)

    await asyncio.gather(a_sweep(database, bell).sweep(), a_sweep(database, other_bell).sweep())
    await other_bell.close()

    assert sorted(await queued_ids(amqp_settings)) == ids


async def test_while_rabbitmq_is_away_no_ring_is_spent(
    database: Database,
    owner: UserId,
    bell: Doorbell,
    amqp_settings: AmqpSettings,
) -> None:
    ids = await kept_tasks(database, owner, 3)
    with pytest.raises(StoreUnavailableError):
        await a_sweep(database, Doorbell(NOWHERE)).sweep()

    await a_sweep(database, bell).sweep()

    assert sorted(await queued_ids(amqp_settings)) == ids


async def test_a_sweep_that_waits_for_rabbitmq_while_postgres_is_away_can_be_stopped() -> None:
    bell = ASilentBell()
    async with Database.open(NO_POSTGRES, application="test", max_connections=1) as nowhere:
        sweeping = asyncio.create_task(a_sweep(nowhere, bell).sweep())
        await bell.was_asked.wait()

        sweeping.cancel()
        await asyncio.wait({sweeping})

    assert sweeping.cancelled()


async def test_a_task_accepted_while_rabbitmq_was_away_is_rung_when_it_is_back(
    process_settings: ProcessSettings,
    database: Database,
    bell: Doorbell,
    amqp_settings: AmqpSettings,
) -> None:
    async with serving(replace(process_settings, amqp=NOWHERE)) as client:
        task_id = await a_task(client, await a_user(client))
    await make_due(database)

    await a_sweep(database, bell).sweep()

    assert await queued_ids(amqp_settings) == [task_id]


async def test_a_running_api_sweeps_by_itself(
    process_settings: ProcessSettings,
    database: Database,
    owner: UserId,
    bell: Doorbell,
) -> None:
    await kept_tasks(database, owner)

    async with serving(process_settings):
        # Bounded by the time limit of every test; a sweep comes within two seconds.
        while await bell.depth_messages() == 0:
            pass

    assert await bell.depth_messages() == 1


@pytest.mark.parametrize("rabbitmq_is_there", [True, False])
async def test_a_task_whose_last_worker_was_lost_fails_with_or_without_rabbitmq(
    database: Database,
    store: TaskStore,
    owner: UserId,
    bell: Doorbell,
    *,
    rabbitmq_is_there: bool,
) -> None:
    (task_id,) = await kept_tasks(database, owner)
    await store.claim([task_id], worker_id=uuid.uuid4(), lease_seconds=30)
    await make_due(database)
    sweep = a_sweep(database, bell if rabbitmq_is_there else Doorbell(NOWHERE))

    try:
        await sweep.sweep()
    except StoreUnavailableError:
        assert not rabbitmq_is_there

    task = await store.find(task_id)
    assert task is not None
    assert (task.status, task.error_code) == ("FAILED", "WORKER_LOST")


async def test_a_lost_lease_with_attempts_left_is_rung_again(
    database: Database,
    store: TaskStore,
    owner: UserId,
    bell: Doorbell,
    amqp_settings: AmqpSettings,
) -> None:
    (task_id,) = await kept_tasks(database, owner)
    async with database.answering("allow more") as connection:
        await connection.execute("UPDATE tasks SET max_attempts = 2")
    await store.claim([task_id], worker_id=uuid.uuid4(), lease_seconds=30)
    await make_due(database)

    await a_sweep(database, bell).sweep()

    assert await queued_ids(amqp_settings) == [task_id]


@pytest.mark.parametrize("max_attempts", [1, 2])
async def test_a_lease_that_ran_out_in_an_outage_is_left_to_its_worker_for_a_while(
    database: Database, store: TaskStore, owner: UserId, bell: Doorbell, max_attempts: int
) -> None:
    held, lost = await kept_tasks(database, owner, 2)
    async with database.answering("allow more") as connection:
        await connection.execute("UPDATE tasks SET max_attempts = $1", max_attempts)
    claims = await store.claim([held, lost], worker_id=uuid.uuid4(), lease_seconds=30)
    await make_due(database)
    clock = AClock()
    sweep = a_sweep(database, bell, sparing=Sparing(clock))

    await sweep.sweep()
    gone = await store.extend_leases(claims[:1], lease_seconds=30)
    clock.now += GRACE_SECONDS
    await sweep.sweep()

    assert gone == frozenset()
    assert await store.extend_leases(claims, lease_seconds=30) == {lost}


async def test_a_task_under_a_live_lease_is_left_alone(
    database: Database, store: TaskStore, owner: UserId, bell: Doorbell
) -> None:
    (task_id,) = await kept_tasks(database, owner)
    await store.claim([task_id], worker_id=uuid.uuid4(), lease_seconds=30)

    await a_sweep(database, bell).sweep()

    assert await bell.depth_messages() == 0


async def test_stopping_rings_for_everything_that_was_accepted(
    process_settings: ProcessSettings, bell: Doorbell, amqp_settings: AmqpSettings
) -> None:
    async with serving(process_settings) as client:
        user = await a_user(client)
        ids = [await a_task(client, user) for _ in range(20)]

    assert await bell.depth_messages() == 20
    assert sorted(await queued_ids(amqp_settings)) == ids
