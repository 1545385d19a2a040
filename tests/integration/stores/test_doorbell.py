"""The doorbell's promises, against real RabbitMQ."""

import asyncio

import pytest
from aiormq.exceptions import DeliveryError

from orchestrator_core.amqp.bulk import publish_all
from orchestrator_core.amqp.channels import opened_channel
from orchestrator_core.amqp.doorbell import Doorbell
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.tasks import TaskId
from orchestrator_core.topology import TASK_QUEUE


async def test_what_was_rung_waits_in_the_queue(amqp_settings: AmqpSettings) -> None:
    doorbell = Doorbell(amqp_settings)

    await doorbell.ring([TaskEnvelope(TaskId(n)) for n in range(1, 101)])

    assert await doorbell.depth_messages() == 100
    await doorbell.close()


async def test_a_broker_that_is_away_is_reported_and_found_again(
    amqp_settings: AmqpSettings,
) -> None:
    nowhere = AmqpSettings(RABBITMQ_URL="amqp://guest:guest@127.0.0.1:1/")
    away, back = Doorbell(nowhere), Doorbell(amqp_settings)

    with pytest.raises(StoreUnavailableError, match="rabbitmq did not answer"):
        await away.ring([TaskEnvelope(TaskId(1))])
    await back.ring([TaskEnvelope(TaskId(1))])
    await back.close()
    await back.ring([TaskEnvelope(TaskId(2))])

    assert await back.depth_messages() == 2
    await back.close()


async def test_rings_of_many_callers_at_once_are_all_confirmed(
    amqp_settings: AmqpSettings,
) -> None:
    doorbell = Doorbell(amqp_settings)

    await asyncio.gather(
        *(doorbell.ring([TaskEnvelope(TaskId(n)) for n in range(1, 51)]) for _ in range(20))
    )

    assert await doorbell.depth_messages() == 1_000
    await doorbell.close()


async def test_a_ring_that_no_queue_takes_is_an_error_and_the_next_makes_the_queue_again(
    amqp_settings: AmqpSettings,
) -> None:
    doorbell = Doorbell(amqp_settings)
    rings = [TaskEnvelope(TaskId(n)) for n in (1, 2, 3)]
    await doorbell.ring(rings)
    async with opened_channel(amqp_settings, client="test", publisher_confirms=False) as channel:
        await channel.queue_delete(TASK_QUEUE)

    with pytest.raises(StoreUnavailableError, match="publish 3 envelopes"):
        await doorbell.ring(rings)
    await doorbell.ring(rings)

    assert await doorbell.depth_messages() == 3
    await doorbell.close()


async def test_a_message_that_a_full_queue_refuses_is_an_error(amqp_settings: AmqpSettings) -> None:
    async with opened_channel(amqp_settings, client="test", publisher_confirms=True) as channel:
        await channel.declare_queue(
            "full", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
        )

        with pytest.raises(DeliveryError):
            await publish_all(channel, [b"1", b"2", b"3"], routing_key="full")
