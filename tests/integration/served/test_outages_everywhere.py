"""Each store stopped, frozen and cut off, while every operation of the document is called.

Every call ends within five seconds with an answer that a client can act on: without
Postgres, 503 and when to come back; without Redis or RabbitMQ, what it always was.
And it heals by itself.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import httpx
import pytest

import services
from api_contract import Call, Operation, Owner, a_call, an_owner, each_operation
from orchestrator_core.settings import AmqpSettings
from own_stores import own_stores
from served_api import ServedApi, environment_of, serving_process
from tcp_proxy import TcpProxy, proxies

Fault = Callable[[], AbstractContextManager[None]]
Store = Literal["postgres", "redis", "rabbitmq"]
STORES: tuple[Store, ...] = ("postgres", "redis", "rabbitmq")
FAULTS = ("stopped", "frozen", "cut off")
MAX_SECONDS = 5.0
HEALING_SECONDS = 15.0
ENDING = {"log_out", "change_password", "delete_file"}
"""These take away what the others need, so they are called with what nobody else uses."""


@dataclass(frozen=True)
class Answered:
    """How one call ended."""

    operation: Operation
    status: int
    headers: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class Shaken:
    """A process whose stores can be made to fail."""

    api: ServedApi
    faults: Mapping[tuple[Store, str], Fault]
    operations: list[Operation]


@pytest.fixture(scope="module")
def shaken(
    postgres_service: services.Service,
    redis_service: services.Service,
    rabbitmq_service: services.Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shaken]:
    running = (postgres_service, redis_service, rabbitmq_service)
    log = tmp_path_factory.mktemp("shaken") / "api.log"
    with (
        own_stores(*running) as settings,
        proxies(*(each.port for each in running)) as (postgres, redis, rabbitmq),
    ):
        url = settings.amqp.url.get_secret_value()
        behind = replace(
            settings,
            postgres=settings.postgres.model_copy(update={"port": postgres.port}),
            redis=settings.redis.model_copy(update={"port": redis.port}),
            amqp=AmqpSettings(
                RABBITMQ_URL=url.replace(f":{rabbitmq_service.port}/", f":{rabbitmq.port}/")
            ),
        )
        with serving_process(environment_of(behind), log) as api:
            faults = {
                (store, fault): make
                for store, proxy, service in zip(
                    STORES, (postgres, redis, rabbitmq), running, strict=True
                )
                for fault, make in faults_of(proxy, service).items()
            }
            document = httpx.get(f"{api.url}/openapi.json").json()
            yield Shaken(api, faults, list(each_operation(document)))


def faults_of(proxy: TcpProxy, service: services.Service) -> dict[str, Fault]:
    @contextmanager
    def stopped() -> Iterator[None]:
        proxy.stop()
        try:
            yield
        finally:
            proxy.heal()

    @contextmanager
    def cut_off() -> Iterator[None]:
        proxy.drop()
        try:
            yield
        finally:
            proxy.heal()

    faults = (stopped, lambda: services.paused(service), cut_off)
    return dict(zip(FAULTS, faults, strict=True))


def make_owners(shaken: Shaken) -> tuple[Owner, Owner]:
    """Return whom the calls are for, and whose things those take that end something."""
    with httpx.Client(base_url=shaken.api.url, timeout=30) as client:
        first, second = (
            an_owner(client, shaken.operations, mark=uuid.uuid4().hex) for _ in range(2)
        )
    return first, second


def call_all(shaken: Shaken, owners: tuple[Owner, Owner]) -> list[Answered]:
    """Call every operation, all at once."""

    def call(operation: Operation) -> Answered:
        owner = owners[operation.id in ENDING]
        return answer_to(shaken.api, a_call(operation, owner.names), owner)

    with ThreadPoolExecutor(len(shaken.operations)) as threads:
        return list(threads.map(call, shaken.operations))


def answer_to(api: ServedApi, call: Call, owner: Owner) -> Answered:
    started = time.monotonic()
    with httpx.stream(
        call.operation.method,
        f"{api.url}{call.url}",
        content=call.content,
        headers={**call.headers, **owner.user.headers},
        timeout=30,
    ) as answer:
        return Answered(
            call.operation, answer.status_code, answer.headers, time.monotonic() - started
        )


def await_healed(shaken: Shaken) -> None:
    """Wait until all stores answer, as the process itself finds."""
    deadline = time.monotonic() + HEALING_SECONDS
    while True:
        health = httpx.get(f"{shaken.api.url}/health", timeout=30).json()
        if health["status"] == "ok":
            return
        assert time.monotonic() < deadline, health
        time.sleep(0.05)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("store", STORES)
def test_every_call_ends_in_time_with_an_answer_to_act_on_and_then_all_is_well_again(
    shaken: Shaken, store: Store, fault: str
) -> None:
    await_healed(shaken)
    owners = make_owners(shaken)

    with shaken.faults[store, fault]():
        answers = [*call_all(shaken, owners), *call_all(shaken, owners)]
    await_healed(shaken)
    healed = call_all(shaken, make_owners(shaken))

    for answer in answers:
        case = f"{answer.operation.label}: {answer.status} after {answer.seconds:.1f} s"
        assert answer.seconds < MAX_SECONDS, case
        assert answer.status < 500 or answer.status == 503, case
        assert answer.status != 503 or int(answer.headers["retry-after"]) > 0, case
        if store != "postgres":
            assert answer.status != 503, case
    assert {answer.status for answer in answers if answer.operation.id == "live"} == {200}
    if store == "postgres":
        refused = {answer.operation.id for answer in answers if answer.status == 503}
        assert {"submit_task", "read_task", "list_tasks", "log_in", "ready"} <= refused
    assert all(answer.status < 500 for answer in healed)


def test_nothing_of_all_this_was_unexpected(shaken: Shaken) -> None:
    """The last of this module: an outage is no fault of ours, so no line speaks of one."""
    assert [line for line in shaken.api.lines() if line["event"] == "unexpected error"] == []
