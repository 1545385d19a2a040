"""RabbitMQ killed, frozen, emptied, full: whoever submits notices nothing, and all is done."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit

import pytest

import services
from evidence import until
from faulty_platform import FaultyPlatform, StartTrial, Stores, a_platform
from orchestrator_core.topology import DEAD_QUEUE, TASK_QUEUE

HUNG_SECONDS = 4.0
"""So that what is published meanwhile can't be confirmed in time."""


@pytest.fixture(scope="module")
def platform(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyPlatform]:
    with a_platform(stores, tmp_path_factory.mktemp("brokers")) as running:
        yield running


def vhost_of(platform: FaultyPlatform) -> str:
    return urlsplit(platform.witness.amqp.url.get_secret_value()).path[1:]


def queue_path(platform: FaultyPlatform) -> str:
    return f"queues/{quote(vhost_of(platform), safe='')}/{TASK_QUEUE}"


@contextmanager
def workers_frozen(platform: FaultyPlatform) -> Iterator[None]:
    """Let messages wait."""
    for worker in platform.workers:
        worker.freeze()
    try:
        yield
    finally:
        for worker in platform.workers:
            worker.thaw()


def test_a_killed_broker_is_missed_by_nobody(platform: FaultyPlatform, trial: StartTrial) -> None:
    with trial("F-10 broker killed") as told, services.killed(platform.stores.rabbitmq):
        before = len(told.ledger.acknowledged())
        until(lambda: len(told.ledger.acknowledged()) > before + 30, what="more to be accepted")

    assert told.codes() == {200, 201}


def test_a_hung_broker_is_missed_by_nobody(platform: FaultyPlatform, trial: StartTrial) -> None:
    with trial("F-11 broker frozen") as told, services.paused(platform.stores.rabbitmq):
        time.sleep(HUNG_SECONDS)

    assert told.codes() == {200, 201}


def test_a_deleted_queue_is_made_again(platform: FaultyPlatform, trial: StartTrial) -> None:
    with trial("F-12 queue deleted") as told:
        services.broker_api(platform.stores.rabbitmq, "DELETE", queue_path(platform))

    assert told.codes() == {200, 201}


def test_a_broker_that_takes_nothing_more_still_hands_out_what_it_has(
    platform: FaultyPlatform, trial: StartTrial
) -> None:
    rabbitmq = platform.stores.rabbitmq

    with trial("F-14 broker full") as told:
        with workers_frozen(platform):
            until(lambda: platform.witness.depth(TASK_QUEUE) > 10, what="messages to wait")
            services.broker_control(rabbitmq, "set_vm_memory_high_watermark", "0")
        before = len(told.ledger.acknowledged())
        until(lambda: platform.witness.depth(TASK_QUEUE) == 0, what="workers to go on")
        until(lambda: len(told.ledger.acknowledged()) > before + 30, what="more to be accepted")
        services.broker_control(rabbitmq, "set_vm_memory_high_watermark", "0.6")

    assert told.codes() == {200, 201}


def test_purged_messages_ring_again(platform: FaultyPlatform, trial: StartTrial) -> None:
    with trial("F-17 queue purged") as told, workers_frozen(platform):
        until(lambda: platform.witness.depth(TASK_QUEUE) > 10, what="messages to wait")
        path = f"{queue_path(platform)}/contents"
        services.broker_api(platform.stores.rabbitmq, "DELETE", path)

    assert told.codes() == {200, 201}


def test_no_message_is_left_with_a_worker(platform: FaultyPlatform) -> None:
    """The last of this module: what is neither waiting nor acknowledged would never ring."""
    columns = ("name", "messages_ready", "messages_unacknowledged")

    def held() -> list[list[str]]:
        listed = services.broker_control(
            platform.stores.rabbitmq,
            *("list_queues", "--vhost", vhost_of(platform), "--no-table-headers", *columns),
        )
        return sorted(line.split() for line in listed.splitlines())

    # A quorum queue tells its counts every 5 s only: the first answer may be of the trial before.
    none_held = [[TASK_QUEUE, "0", "0"], [DEAD_QUEUE, "0", "0"]]
    until(lambda: held() == none_held, what="all messages to be acknowledged")
