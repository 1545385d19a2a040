"""Open what a process needs, connect the parts, and close in reverse.

Before: ``app`` has a lifespan that begins.
After: each request finds its services in ``request.state``.
"""

import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from random import SystemRandom
from socket import gethostname
from typing import TypedDict

from orchestrator_api import health
from orchestrator_api.accounts.passwords import PasswordHasher
from orchestrator_api.accounts.remembering import RememberedUsers
from orchestrator_api.accounts.revocations import Revocations
from orchestrator_api.accounts.service import AccountService
from orchestrator_api.accounts.tokens import AccessTokens
from orchestrator_api.accounts.wiring import build_account_parts
from orchestrator_api.dispatching import Sweep
from orchestrator_api.events.feed import EventFeed
from orchestrator_api.events.wiring import build_watching
from orchestrator_api.files.wiring import FileParts, build_files
from orchestrator_api.limits.client_addresses import ClientAddresses
from orchestrator_api.limits.limiter import Limiter
from orchestrator_api.limits.local_buckets import LocalBuckets
from orchestrator_api.limits.policies import Policies
from orchestrator_api.limits.requests import RequestLimits
from orchestrator_api.metrics import Metrics
from orchestrator_api.places import Places
from orchestrator_api.pruning import Pruning, build_steps
from orchestrator_api.running import Service, running
from orchestrator_api.settings import ApiSettings, ProcessSettings
from orchestrator_api.sparing import Sparing
from orchestrator_api.tasks.catalogue import Catalogue
from orchestrator_api.tasks.explaining import Explaining
from orchestrator_api.tasks.service import TaskService
from orchestrator_api.tasks.submitting import Submitting
from orchestrator_api.tasks.wiring import build_task_parts
from orchestrator_core.amqp.doorbell import Doorbell
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.metrics import serving_metrics
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.explanation_store import ExplanationStore
from orchestrator_core.postgres.file_store import PostgresUploadStore
from orchestrator_core.postgres.pool_store import PoolStore
from orchestrator_core.postgres.result_store import PostgresResultStore
from orchestrator_core.postgres.ring_store import RingStore
from orchestrator_core.postgres.submission_store import SubmissionStore
from orchestrator_core.postgres.worker_store import WorkerStore
from orchestrator_core.redis.cache import Cache
from orchestrator_core.redis.connections import RedisConnection
from orchestrator_core.redis.token_buckets import TokenBuckets
from orchestrator_core.s3.object_store import PRUNER, READER, build_object_store
from orchestrator_core.spans import exporting


class Services(TypedDict):
    """What every request finds in ``request.state``."""

    access_tokens: AccessTokens
    accounts: AccountService
    catalogue: Catalogue
    explaining: Explaining
    feed: EventFeed
    files: FileParts
    limits: RequestLimits
    places: Places
    revocations: Revocations
    tasks: TaskService
    submitting: Submitting
    users: RememberedUsers
    health: health.Health


async def open_services(
    settings: ProcessSettings, metrics: Metrics, resources: AsyncExitStack
) -> Services:
    """Open everything on ``resources`` and start the background services."""
    enter = resources.enter_async_context
    await enter(
        serving_metrics(
            metrics.registry,
            port=settings.api.metrics_port,
            variable="ORCHESTRATOR_API_METRICS_PORT",
        )
    )
    await enter(
        exporting(
            settings.tracing, app="api", version=version("orchestrator-api"), instance=gethostname()
        )
    )
    database = await enter(
        Database.open(
            settings.postgres,
            application="orchestrator-api",
            max_connections=settings.api.db_connections,
        )
    )
    metrics.stores.watch_pool(database)
    redis = await enter(RedisConnection.open(settings.redis))
    doorbell = Doorbell(settings.amqp)
    resources.push_async_callback(doorbell.close)
    hasher = resources.enter_context(PasswordHasher.open(rounds=settings.api.bcrypt_rounds))

    account_store, worker_store = AccountStore(database), WorkerStore(database)
    chance = SystemRandom()
    cache = Cache(redis, secret=settings.api.jwt_secret.get_secret_value().encode())
    accounts = build_account_parts(settings.api, account_store, hasher, cache)
    watching = build_watching(
        settings, database, accounts.revocations, metrics.events, chance=chance
    )
    task_parts = build_task_parts(
        database,
        doorbell,
        cache,
        metrics,
        announce=watching.announcer.offer,
        max_waiting=settings.api.waiting_tasks,
        ring_after_seconds=settings.api.ring_lost_seconds,
    )
    files = build_files(
        settings.api,
        PostgresUploadStore(database),
        PostgresResultStore(database, build_object_store(settings.s3, READER)),
    )
    limiter = Limiter(
        TokenBuckets(redis), LocalBuckets(replicas=settings.api.replicas), metrics.limits
    )
    background: list[Service] = [
        *watching.services,
        limiter,
        *accounts.services,
        *task_parts.services,
        Sweep(
            RingStore(database),
            doorbell,
            metrics.rings,
            sparing=Sparing(time.monotonic),
            chance=chance,
            announce=watching.announcer.offer,
            ring_again_seconds=settings.api.ring_again_seconds,
        ),
        Pruning(
            build_steps(
                account_store,
                worker_store,
                SubmissionStore(database),
                files.uploads,
                PostgresResultStore(database, build_object_store(settings.s3, PRUNER)),
                pools=PoolStore(database),
            ),
            chance=chance,
        ),
    ]
    drain = (watching.feed, *task_parts.drain)
    started = await enter(
        running(background, drain=drain, drain_seconds=settings.api.drain_seconds)
    )

    async def ask_rabbitmq() -> None:
        if not doorbell.is_answering:
            raise StoreUnavailableError("rabbitmq", "the last call failed")

    return Services(
        access_tokens=accounts.access_tokens,
        accounts=accounts.accounts,
        catalogue=task_parts.catalogue,
        explaining=Explaining(ExplanationStore(database), {"rabbitmq": doorbell, "redis": redis}),
        feed=watching.feed,
        files=files,
        limits=_build_limits(limiter, settings.api),
        places=watching.places,
        revocations=accounts.revocations,
        tasks=task_parts.tasks,
        submitting=task_parts.submitting,
        users=accounts.users,
        health=health.Health(
            pings={"postgres": database.ping, "rabbitmq": ask_rabbitmq, "redis": redis.ping},
            needed=frozenset({"postgres"}),
            is_alive=started.is_alive,
            tell=lambda store, is_up: metrics.stores.tell(store, is_up=is_up),
        ),
    )


def _build_limits(limiter: Limiter, settings: ApiSettings) -> RequestLimits:
    edge_key = settings.edge_key.get_secret_value() if settings.edge_key else None
    return RequestLimits(limiter, Policies(settings.rate_limits), ClientAddresses(edge_key))
