"""The composition root: opens what a process needs, connects the parts, closes in reverse.

Before: ``asgi`` has read the settings.
After: uvicorn serves the application; each request finds its services in ``request.state``.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import SystemRandom
from typing import TypedDict

from fastapi import FastAPI
from starlette.middleware import Middleware

from orchestrator_api import health
from orchestrator_api.accounts import endpoints as account_endpoints
from orchestrator_api.accounts.passwords import PasswordHasher
from orchestrator_api.accounts.service import AccountService
from orchestrator_api.accounts.tokens import AccessTokens, SigningKey
from orchestrator_api.bounds import RequestBounds
from orchestrator_api.dispatching import FirstRings, Sweep
from orchestrator_api.openapi import install_openapi
from orchestrator_api.problems import install_problem_handlers
from orchestrator_api.pruning import Pruning
from orchestrator_api.request_log import RequestLog
from orchestrator_api.running import Service, running
from orchestrator_api.settings import ApiSettings, ProcessSettings
from orchestrator_api.tasks import endpoints as task_endpoints
from orchestrator_api.tasks.catalogue import Catalogue
from orchestrator_api.tasks.keeping import build_keeper
from orchestrator_api.tasks.service import TaskService
from orchestrator_core.amqp.doorbell import Doorbell
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.load_store import LoadStore
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.redis.connections import RedisConnection


class Services(TypedDict):
    """What every request finds in ``request.state``."""

    access_tokens: AccessTokens
    accounts: AccountService
    catalogue: Catalogue
    tasks: TaskService
    health: health.Health


def create_app(settings: ProcessSettings) -> FastAPI:
    """Return the application; nothing is opened before its lifespan begins."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Services]:
        async with AsyncExitStack() as resources:
            yield await open_services(settings, resources)

    app = FastAPI(
        title="Orchestrator",
        description="Accepts tasks, runs them on workers, and says how they went.",
        version="0.1.0",
        lifespan=lifespan,
        # The page of /docs loads its scripts from a public host; a cluster may not reach it.
        docs_url=None,
        redoc_url=None,
        middleware=[Middleware(RequestLog), _bounds(settings.api)],
    )
    install_problem_handlers(app)
    install_openapi(app)
    for router in (account_endpoints.router, task_endpoints.router, health.router):
        app.include_router(router)
    return app


async def open_services(settings: ProcessSettings, resources: AsyncExitStack) -> Services:
    """Open everything on ``resources`` and start the background services."""
    enter = resources.enter_async_context
    database = await enter(
        Database.open(
            settings.postgres,
            application="orchestrator-api",
            max_connections=settings.api.db_connections,
        )
    )
    redis = await enter(RedisConnection.open(settings.redis))
    doorbell = Doorbell(settings.amqp)
    resources.push_async_callback(doorbell.close)
    hasher = resources.enter_context(PasswordHasher.open(rounds=settings.api.bcrypt_rounds))

    task_store, account_store = TaskStore(database), AccountStore(database)
    worker_store, chance = WorkerStore(database), SystemRandom()
    rings = FirstRings(doorbell)
    keeper = build_keeper(task_store, rings, max_waiting=settings.api.waiting_tasks)
    background: list[Service] = [
        rings,
        keeper,
        Sweep(task_store, LoadStore(database), doorbell, chance=chance),
        Pruning(account_store, worker_store, chance=chance),
    ]
    # What is kept last rings last, so the keeper drains before the rings.
    started = await enter(
        running(background, drain=(keeper, rings), drain_seconds=settings.api.drain_seconds)
    )

    async def ask_rabbitmq() -> None:
        if not doorbell.is_answering:
            raise StoreUnavailableError("rabbitmq", "the last call failed")

    catalogue = Catalogue(worker_store)
    access_tokens = AccessTokens(
        SigningKey.from_secret(settings.api.jwt_secret.get_secret_value()),
        lifetime_seconds=settings.api.access_token_ttl_seconds,
    )
    return Services(
        access_tokens=access_tokens,
        accounts=AccountService(
            account_store,
            hasher,
            access_tokens,
            refresh_token_ttl_seconds=settings.api.refresh_token_ttl_seconds,
            password_min_length=settings.api.password_min_length,
        ),
        catalogue=catalogue,
        tasks=TaskService(task_store, catalogue, keeper),
        health=health.Health(
            pings={"postgres": database.ping, "rabbitmq": ask_rabbitmq, "redis": redis.ping},
            needed=frozenset({"postgres"}),
            is_alive=started.is_alive,
        ),
    )


def _bounds(settings: ApiSettings) -> Middleware:
    return Middleware(
        RequestBounds,
        deadline_seconds=settings.deadline_seconds,
        limit_bytes=settings.body_limit_bytes,
        budget_bytes=settings.bodies_in_memory_bytes,
    )
