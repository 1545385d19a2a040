"""Results that lie in a bucket, as clients fetch them."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import httpx
import pytest

import services
from api_clients import User
from api_contract import sign_up
from kept_results import in_objects
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.attempts import Settlement, Succeeded
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.task_store import TaskStore
from orchestrator_core.settings import S3Settings
from orchestrator_core.tasks import TaskId
from orchestrator_core.testing import a_result
from own_stores import bucket_at, own_bucket, own_stores, s3_environment_of
from served_api import ServedApi, environment_of, serving_process
from tcp_proxy import TcpProxy, proxies

CONTENT = bytes(range(256)) * 8_000
"""Two requests to the bucket."""
MAX_SECONDS = 5.0


@dataclass(frozen=True)
class Served:
    """A process whose bucket can be made to fail."""

    api: ServedApi
    settings: ProcessSettings
    bucket: S3Settings
    proxy: TcpProxy

    def complete(self, task_id: int, content: bytes) -> None:
        """Do the worker's work."""
        asyncio.run(self._complete(TaskId(task_id), content))

    async def _complete(self, task_id: TaskId, content: bytes) -> None:
        async with Database.open(
            self.settings.postgres, application="test", max_connections=1
        ) as database:
            tasks = TaskStore(database)
            [claim] = await tasks.claim([task_id], worker_id=uuid4(), lease_seconds=30)
            kept = await in_objects(database, self.bucket).keep(claim, a_result(content))
            await tasks.settle([Settlement(claim=claim, outcome=Succeeded(kept))])


@pytest.fixture(scope="module")
def served(
    postgres_service: services.Service,
    redis_service: services.Service,
    rabbitmq_service: services.Service,
    s3_service: services.Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    bucket = own_bucket(s3_service)
    log = tmp_path_factory.mktemp("objects") / "api.log"
    with (
        own_stores(postgres_service, redis_service, rabbitmq_service) as settings,
        proxies(s3_service.port) as [proxy],
    ):
        behind = bucket_at(proxy.port, str(bucket.bucket))
        environment = environment_of(settings, **s3_environment_of(behind))
        with serving_process(environment, log) as api:
            yield Served(api, settings, bucket, proxy)


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.api.url, timeout=10) as client:
        yield client


@pytest.fixture
def user(client: httpx.Client) -> User:
    return sign_up(client)


def a_result_of(served: Served, client: httpx.Client, user: User) -> str:
    """Complete a task; return its result's path."""
    task = client.post("/api/v1/tasks", json={"task_type": "IMAGE_RESIZE"}, headers=user.headers)
    served.complete(task.json()["task_id"], CONTENT)
    return f"{task.headers['location']}/result"


def test_a_result_is_served_whole_and_in_parts(
    served: Served, client: httpx.Client, user: User
) -> None:
    path = a_result_of(served, client, user)

    whole = client.get(path, headers=user.headers)
    part = client.get(path, headers={"Range": "bytes=1048570-1048579", **user.headers})
    looked = client.head(path, headers=user.headers)

    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert (part.status_code, part.content) == (206, CONTENT[1_048_570:1_048_580])
    assert looked.headers["content-length"] == str(len(CONTENT))
    assert whole.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'


@pytest.mark.parametrize("fault", ["stop", "swallow", "drop"])
def test_a_bucket_that_is_away_is_a_503_in_time_and_heals(
    served: Served, client: httpx.Client, user: User, fault: str
) -> None:
    path = a_result_of(served, client, user)

    getattr(served.proxy, fault)()
    started = time.monotonic()
    away = client.get(path, headers=user.headers)
    seconds = time.monotonic() - started
    beside = client.get(path.removesuffix("/result"), headers=user.headers)
    served.proxy.heal()
    back = client.get(path, headers=user.headers)

    assert away.status_code == 503
    assert int(away.headers["retry-after"]) > 0
    assert seconds < MAX_SECONDS
    assert beside.status_code == 200, "only results need the bucket"
    assert (back.status_code, back.content) == (200, CONTENT)
