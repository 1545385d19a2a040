"""What the operator's client makes of an API server's answers, sent by one on this machine."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import kubernetes.aio.client
import pytest
from aiohttp import web

from orchestrator_operator import applying
from orchestrator_operator.applying import (
    AlreadyExistsError,
    ChangedMeanwhileError,
    ClusterUnavailableError,
    KindUnknownError,
    KubernetesCluster,
    ObjectRefusedError,
)
from orchestrator_operator.kinds import CONFIG_MAP, POD_MONITOR, Manifest

Answer = Callable[[web.Request], Any]
CONFIG: Manifest = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "it", "namespace": "here", "uid": "one"},
    "data": {},
}


class Server:
    """Answers as the test says and keeps what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _: web.json_response({})
        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.bodies: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        content_type = request.headers.get("Content-Type", "")
        self.requests.append((request.method, request.path, dict(request.query), content_type))
        self.bodies.append(await request.text())
        result = self.answer(request)
        if asyncio.iscoroutine(result):
            result = await result
        assert isinstance(result, web.StreamResponse)
        return result


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def cluster(server: Server) -> AsyncIterator[KubernetesCluster]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(host, port)] = [address[:2] for address in runner.addresses]
    configuration = kubernetes.aio.client.Configuration()
    configuration.host = f"http://{host}:{port}"
    api = kubernetes.aio.client.ApiClient(configuration)
    async with KubernetesCluster(api, component="test") as connected:
        yield connected
    await runner.cleanup()


def refusal(status: int, **body: object) -> Answer:
    return lambda _: web.json_response({"kind": "Status", "message": "no", **body}, status=status)


async def test_a_long_list_is_read_page_by_page(cluster: KubernetesCluster, server: Server) -> None:
    pages = {"": (["a", "b"], "next"), "next": (["c"], "")}

    def page(request: web.Request) -> web.Response:
        names, following = pages[request.query.get("continue", "")]
        items = [{"metadata": {"name": name}} for name in names]
        return web.json_response({"items": items, "metadata": {"continue": following}})

    server.answer = page

    found = await cluster.list(CONFIG_MAP, "here", {"b": "2", "a": "1"})

    assert [item["metadata"]["name"] for item in found] == ["a", "b", "c"]
    assert {item["kind"] for item in found} == {"ConfigMap"}
    assert server.requests[0][2]["labelSelector"] == "a=1,b=2"
    assert len(server.requests) == 2


async def test_an_apply_is_a_forced_one_under_its_managers_name(
    cluster: KubernetesCluster, server: Server
) -> None:
    await cluster.apply(CONFIG, field_manager="me", subresource="status")

    [(method, path, query, content_type)] = server.requests
    assert (method, path) == ("PATCH", "/api/v1/namespaces/here/configmaps/it/status")
    assert query == {"fieldManager": "me", "force": "true"}
    assert content_type == "application/apply-patch+yaml"


async def test_a_delete_names_the_uid(cluster: KubernetesCluster, server: Server) -> None:
    assert await cluster.delete(CONFIG, propagation="Orphan")

    assert '"uid": "one"' in server.bodies[0]
    assert '"propagationPolicy": "Orphan"' in server.bodies[0]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(409, reason="AlreadyExists"), AlreadyExistsError),
        (refusal(409, reason="Conflict"), ChangedMeanwhileError),
        (refusal(401), ClusterUnavailableError),
        (refusal(429), ClusterUnavailableError),
        (refusal(500), ClusterUnavailableError),
        (lambda _: web.Response(status=502, text="<html>Bad Gateway"), ClusterUnavailableError),
        (
            refusal(500, message="failed to create typed patch object (here/it): no such field"),
            ObjectRefusedError,
        ),
        (
            refusal(500, message='failed calling webhook "x": connection refused'),
            ObjectRefusedError,
        ),
        (refusal(403), ObjectRefusedError),
        (refusal(422), ObjectRefusedError),
    ],
)
async def test_every_no_has_its_error(
    cluster: KubernetesCluster, server: Server, answer: Answer, error: type[Exception]
) -> None:
    server.answer = answer

    with pytest.raises(error):
        await cluster.create(CONFIG, field_manager="me")


async def test_a_refusal_names_its_causes(cluster: KubernetesCluster, server: Server) -> None:
    causes = [{"field": "spec.selector", "message": "field is immutable"}]
    server.answer = refusal(422, details={"causes": causes})

    with pytest.raises(ObjectRefusedError) as refused:
        await cluster.apply(CONFIG, field_manager="me")

    assert refused.value.causes == ("spec.selector: field is immutable",)
    assert refused.value.status == 422


async def test_no_answer_in_time_is_no_answer(
    cluster: KubernetesCluster, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.json_response({})

    server.answer = never
    monkeypatch.setattr(applying, "CALL_TIMEOUT_SECONDS", 0.05)

    with pytest.raises(ClusterUnavailableError, match="no answer"):
        await cluster.get(CONFIG_MAP, "here", "it")


async def test_what_is_not_there_is_none(cluster: KubernetesCluster, server: Server) -> None:
    server.answer = refusal(404)

    assert await cluster.get(CONFIG_MAP, "here", "it") is None
    assert await cluster.merge(CONFIG, field_manager="me") is None
    assert await cluster.delete(CONFIG) is False


async def test_a_list_of_what_no_definition_knows_says_so(
    cluster: KubernetesCluster, server: Server
) -> None:
    server.answer = lambda _: web.Response(status=404, text="404 page not found")

    with pytest.raises(KindUnknownError):
        await cluster.list(POD_MONITOR, "here")
