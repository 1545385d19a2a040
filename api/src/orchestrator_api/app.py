"""The application: its middleware, its routers, and what lives as long as it does.

Before: ``asgi`` has read the settings.
After: uvicorn serves it; ``wiring`` opens the stores when its lifespan begins.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

from fastapi import FastAPI
from starlette.middleware import Middleware

from orchestrator_api import health
from orchestrator_api.accounts import endpoints as account_endpoints
from orchestrator_api.accounts.password_policies import find_min_length
from orchestrator_api.bounds import RequestBounds
from orchestrator_api.direct import install_direct_routes
from orchestrator_api.docs.documents import TAGS
from orchestrator_api.docs.endpoints import install_docs
from orchestrator_api.events import endpoints as event_endpoints
from orchestrator_api.files import endpoints as file_endpoints
from orchestrator_api.methods import HeadRequests
from orchestrator_api.metrics import Metrics
from orchestrator_api.problems import install_problem_handlers
from orchestrator_api.request_log import RequestLog
from orchestrator_api.settings import ApiSettings, ProcessSettings
from orchestrator_api.tasks import endpoints as task_endpoints
from orchestrator_api.tasks import explaining
from orchestrator_api.wiring import Services, open_services

ROUTERS = (
    account_endpoints.router,
    account_endpoints.users_router,
    task_endpoints.router,
    explaining.router,
    file_endpoints.router,
    event_endpoints.router,
    health.router,
)


def create_app(settings: ProcessSettings) -> FastAPI:
    """Return the application; nothing is opened before its lifespan begins."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Services]:
        async with AsyncExitStack() as resources:
            yield await open_services(settings, metrics, resources)

    app = FastAPI(
        title="Orchestrator",
        description="Accepts tasks, runs them on workers, and says how they went.",
        version="0.1.0",
        lifespan=lifespan,
        openapi_tags=TAGS,
        # A function's name says what a call does, and stays when a path changes.
        generate_unique_id_function=lambda route: route.name,
        # ``docs`` serves both: FastAPI's page loads its scripts from a public host.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # ``request_log`` makes the spans; to ask whether to make others takes 8 µs a request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        middleware=[
            Middleware(
                RequestLog,
                metrics=metrics.requests,
                sampling_ratio=settings.tracing.sampling_ratio,
                chance=Random(),  # noqa: S311 - which requests are traced is no secret
            ),
            _bounds(settings.api),
            Middleware(HeadRequests),
        ],
    )
    install_problem_handlers(app)
    for router in ROUTERS:
        app.include_router(router)
    install_docs(
        app,
        password_min_length=find_min_length(
            settings.api.password_policy, settings.api.password_min_length
        ),
    )
    install_direct_routes(app, task_endpoints.submit_task)
    return app


def _bounds(settings: ApiSettings) -> Middleware:
    return Middleware(
        RequestBounds,
        deadline_seconds=settings.deadline_seconds,
        limit_bytes=settings.body_limit_bytes,
        budget_bytes=settings.bodies_in_memory_bytes,
    )
