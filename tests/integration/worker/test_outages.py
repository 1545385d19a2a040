"""Broker and database go away and come back; the worker stays."""

import asyncio
from urllib.parse import quote, urlsplit

import aio_pika

import services
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.tasks import TaskStatus
from orchestrator_core.topology import DEAD_QUEUE, TASK_QUEUE
from worker_bench import Bench, Wire, until


def vhost_of(amqp: AmqpSettings) -> str:
    return urlsplit(amqp.url.get_secret_value()).path[1:]


async def completes(bench: Bench) -> bool:
    task = await bench.finished(await bench.submit("demo_sleep", payload={"seconds": 0}))
    return (task.status, task.attempts) == (TaskStatus.COMPLETED, 1)


async def test_a_cut_broker_connection_is_opened_again(
    bench: Bench, rabbitmq_service: services.Service
) -> None:
    async with Wire(rabbitmq_service.port) as wire:
        worker = await bench.start_worker(amqp=bench.broker_at(wire.port))
        await worker.ready()

        wire.cut()
        await worker.logged("broker_away")
        wire.mend()

        assert await completes(bench)
        assert len(worker.lines("consuming")) == 2


async def test_a_worker_without_broker_is_alive_but_not_ready(bench: Bench) -> None:
    worker = await bench.start_worker(amqp=bench.unreachable_broker())
    await worker.logged("broker_away")

    await worker.logged("postgres_answers")
    assert await worker.probe("/livez") == 200
    assert await worker.probe("/readyz") == 503


async def test_a_deleted_queue_is_declared_and_consumed_again(
    bench: Bench, rabbitmq_service: services.Service
) -> None:
    worker = await bench.start_worker()
    await worker.ready()

    path = f"queues/{quote(vhost_of(bench.amqp), safe='')}/{TASK_QUEUE}"
    await asyncio.to_thread(services.broker_api, rabbitmq_service, "DELETE", path)
    await worker.logged("broker_away")

    assert await completes(bench)


async def test_garbage_goes_to_the_dead_letter_queue_and_nowhere_else(bench: Bench) -> None:
    worker = await bench.start_worker()
    await worker.ready()

    connection = await aio_pika.connect(bench.amqp.url.get_secret_value())
    async with connection:
        channel = await connection.channel()
        for body in (b"garbage", b'{"v":2,"task_id":1}', b'{"v":1,"task_id":-1}', b"\xff" * 1000):
            await channel.default_exchange.publish(aio_pika.Message(body), routing_key=TASK_QUEUE)

        async def look() -> bool:
            queue = await channel.declare_queue(DEAD_QUEUE, passive=True)
            return queue.declaration_result.message_count == 4

        await until(look)
        dead = await channel.get_queue(DEAD_QUEUE)
        headers = [(await dead.get(no_ack=True)).headers for _ in range(4)]

    assert {each["x-first-death-reason"] for each in headers} == {"rejected"}
    assert {each["x-first-death-queue"] for each in headers} == {TASK_QUEUE}
    assert await completes(bench)
    assert worker.lines("garbage_rejected")[-1]["total"] == 4


async def test_an_attempt_that_ends_while_postgres_is_away_is_recorded_when_it_is_back(
    bench: Bench,
) -> None:
    async with Wire(bench.postgres.port) as wire:
        postgres = bench.postgres.model_copy(update={"port": wire.port})
        worker = await bench.start_worker(postgres=postgres, LEASE_SECONDS=30)
        await worker.ready()
        task_id = await bench.submit("demo_sleep", payload={"seconds": 1})
        await bench.claimed(task_id)

        wire.cut()
        await worker.logged("settlement_postponed")
        wire.mend()

        task = await bench.finished(task_id)
        assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 1)


async def test_a_message_that_arrives_while_postgres_is_away_is_claimed_when_it_is_back(
    bench: Bench,
) -> None:
    async with Wire(bench.postgres.port) as wire:
        postgres = bench.postgres.model_copy(update={"port": wire.port})
        worker = await bench.start_worker(postgres=postgres)
        await worker.ready()

        wire.cut()
        task_id = await bench.submit("demo_sleep", payload={"seconds": 0})
        await worker.logged("claim_postponed")
        wire.mend()

        task = await bench.finished(task_id)
        assert (task.status, task.attempts) == (TaskStatus.COMPLETED, 1)
