"""A platform whose results lie in a bucket, under the default-deny policies."""

import json
import secrets
from collections.abc import Iterator

import httpx
import pytest

from hack.stack.images import BUCKET, provide_images
from platform_under_test import ROOT, Api, Platform, Tunnel, namespace, wait_until

READY_SECONDS = 90.0
SERVER = ROOT / "hack/samples/bucket.yaml"
PUBLISHED_IMAGE = "versity/versitygw:v1.8.0"
MANIFEST = {
    "apiVersion": "taskorchestrator.dev/v1alpha1",
    "kind": "Orchestrator",
    "metadata": {"name": "demo"},
    "spec": {
        "worker": {"scaling": {"mode": "Fixed"}, "replicas": 1},
        "results": {
            "s3": {
                "endpoint": "http://bucket:7070",
                "bucket": "results",
                "secretRef": {"name": "bucket"},
            }
        },
    },
}


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    server = SERVER.read_text(encoding="utf-8")
    image = provide_images().get(BUCKET, PUBLISHED_IMAGE)
    with namespace(f"e2e-{secrets.token_hex(3)}") as name:
        found = Platform(name, "demo")
        found.kubectl("apply", "-f", "-", input_text=server.replace(PUBLISHED_IMAGE, image))
        found.kubectl("apply", "-f", "-", input_text=json.dumps(MANIFEST))
        found.await_ready(seconds=READY_SECONDS)
        yield found


@pytest.fixture(scope="module")
def api(platform: Platform) -> Iterator[Api]:
    transport = Tunnel(platform.namespace, f"{platform.name}-api")
    with httpx.Client(transport=transport, base_url="http://api", timeout=10.0) as client:
        yield Api(client, "ada")


def test_a_result_goes_into_the_bucket_and_comes_back(platform: Platform, api: Api) -> None:
    task_id = api.submit("IMAGE_RESIZE", width=320)
    task = api.await_final(task_id)
    result = api.http.get(f"/api/v1/tasks/{task_id}/result", headers=api.headers)

    assert (task["status"], task["error_message"], task["attempts"]) == ("COMPLETED", None, 1)
    assert (result.status_code, result.content[:3]) == (200, b"\xff\xd8\xff")
    [row] = platform.query(
        f"SELECT content IS NULL, object_bytes FROM task_results WHERE task_id = {task_id}"  # noqa: S608 - a number
    )
    assert row == ["t", str(len(result.content))]


def test_a_bucket_that_goes_and_comes_back_empty_takes_results_again(
    platform: Platform, api: Api
) -> None:
    platform.kubectl("scale", "deployment/bucket", "--replicas=0")
    platform.kubectl("wait", "--for=delete", "pod", "-l", "app=bucket", "--timeout=30s")
    task_id = api.submit("IMAGE_RESIZE", width=320)
    wait_until(
        lambda: api.task(task_id)["status"] == "PROCESSING", seconds=30, what="the task to start"
    )

    platform.kubectl("scale", "deployment/bucket", "--replicas=1")
    task = api.await_final(task_id, seconds=90)
    result = api.http.get(f"/api/v1/tasks/{task_id}/result", headers=api.headers)

    assert task["status"] == "COMPLETED"
    assert result.status_code == 200
