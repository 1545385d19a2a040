"""The doorbell's promises, against real RabbitMQ."""

import pytest

from orchestrator_core.amqp.doorbell import Doorbell
from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.settings import AmqpSettings
from orchestrator_core.tasks import TaskId


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
