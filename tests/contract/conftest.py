"""Fixtures of the contract tests: the operator's own parts on a real cluster.

Before: ``make cluster``; ``KUBECONFIG`` names it.
After: tests ask the parts whether they keep what others rely on.
"""

import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator_operator import names
from orchestrator_operator.bindings import PORTS, bind_managed
from orchestrator_operator.images import DefaultImages, ResolvedImages
from orchestrator_operator.manifests.context import Context, Credentials
from orchestrator_operator.manifests.credentials import SOURCE_KEYS, build_new_secret, build_secrets
from orchestrator_operator.manifests.edge import build_edge
from orchestrator_operator.manifests.postgres import build_postgres
from orchestrator_operator.manifests.rabbitmq import build_rabbitmq
from orchestrator_operator.manifests.redis import build_redis
from orchestrator_operator.spec import (
    ManagedPostgres,
    ManagedRabbitMQ,
    ManagedRedis,
    OrchestratorSpec,
)
from platform_under_test import KubectlError, kubectl, namespace, wait_until

ROOT = Path(__file__).parents[2]
READY_SECONDS = 90.0
LOAD_SECONDS = 280.0
RESOURCE = "contract"
References = Mapping[str, str]
BUILDERS: Mapping[str, Callable[[Context], list[dict[str, Any]]]] = {
    names.POSTGRES: lambda context: build_postgres(context, ManagedPostgres()),
    names.REDIS: lambda context: build_redis(context, ManagedRedis()),
    names.RABBITMQ: lambda context: build_rabbitmq(context, ManagedRabbitMQ()),
    names.EDGE: build_edge,
}


class Part:
    """One part of the operator's, deployed as the operator deploys it."""

    def __init__(self, space: str, component: str, images: ResolvedImages) -> None:
        self.space = space
        self.component = component
        self.password = secrets.token_urlsafe(12)
        self.context = Context(
            name=RESOURCE,
            namespace=space,
            uid="00000000-0000-0000-0000-000000000000",
            spec=OrchestratorSpec(),
            images=images,
            credentials=credentials(self.password),
            operator_namespace=space,
        )

    @property
    def pod(self) -> str:
        return f"{RESOURCE}-{self.component}-0"

    @property
    def workload(self) -> str:
        kind = "deployment" if self.component == names.EDGE else "statefulset"
        return f"{kind}/{RESOURCE}-{self.component}"

    def deploy(self, edit: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """Apply what the operator would; ``edit`` may change the StatefulSet before."""
        manifests = [*self._secrets(), *BUILDERS[self.component](self.context)]
        for manifest in manifests:
            # The resource does not exist, and the garbage collector takes orphans away.
            manifest["metadata"].pop("ownerReferences", None)
            if manifest["kind"] == "StatefulSet":
                edit(manifest)
            self.kubectl("apply", "-f", "-", input_text=json.dumps(manifest))
        self.kubectl("rollout", "status", self.workload, "--timeout=55s")

    def _secrets(self) -> list[dict[str, Any]]:
        if self.component not in SOURCE_KEYS:
            return []
        derived = {one["metadata"]["name"]: one for one in build_secrets(self.context)}
        secret = build_new_secret(RESOURCE, self.space, self.component, self.password)
        more = derived.get(secret["metadata"]["name"], {})
        return [{**secret, "data": {**secret["data"], **more.get("data", {})}}]

    def change_password(self) -> None:
        """Do what the operator does when somebody changes the Secret: the pod is replaced."""
        self.password = secrets.token_urlsafe(12)
        self.context = replace(self.context, credentials=credentials(self.password))
        self.deploy()

    def restart(self) -> float:
        """Replace the pod and wait for the new one; returns how long the old one took to stop."""
        started = time.monotonic()
        self.kubectl("delete", "pod", self.pod, "--wait=true", "--timeout=50s")
        seconds = time.monotonic() - started
        wait_until(
            lambda: "true" in self._readiness(),
            seconds=READY_SECONDS,
            what=f"{self.pod} to be back",
        )
        return seconds

    def _readiness(self) -> str:
        with contextlib.suppress(KubectlError):
            path = "{.status.containerStatuses[*].ready}"
            return self.kubectl("get", "pod", self.pod, f"-o=jsonpath={path}")
        return ""

    def run(self, *command: str) -> str:
        """Run a program in the pod."""
        return self.kubectl("exec", self.pod, "-c", self.component, "--", *command)

    def refuses(self, *command: str) -> str:
        """Run a program that must fail; returns what it said."""
        with pytest.raises(KubectlError) as refusal:
            self.run(*command)
        return str(refusal.value)

    def address(self) -> str:
        return self.kubectl("get", "pod", self.pod, "-o=jsonpath={.status.podIP}")

    def kubectl(self, *arguments: str, input_text: str | None = None) -> str:
        return kubectl("-n", self.space, *arguments, input_text=input_text)

    @contextlib.contextmanager
    def forward(self, port: int) -> Iterator[str]:
        """Reach a port of one of its pods; yields the address."""
        process = subprocess.Popen(
            ["kubectl", "-n", self.space, "port-forward", self.workload, f":{port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert found, line
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()
            process.communicate(timeout=10)


def credentials(password: str) -> Credentials:
    return Credentials(
        stores={store: bind_managed(RESOURCE, store, password) for store in PORTS},
        jwt_secret=password,
        edge_key=password,
    )


@pytest.fixture(scope="session")
def references() -> References:
    """Every image's reference by name: those of this checkout, or those that somebody names."""
    given = os.environ.get("ORCHESTRATOR_TEST_IMAGES")
    if given is not None:
        return {**DefaultImages().model_dump(), **json.loads(given)}
    # Loading what is loaded takes a second; asking for names alone could miss an edit.
    command = [sys.executable, "-m", "hack.images", "load", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=LOAD_SECONDS, check=True
    )
    return dict(json.loads(done.stdout)["images"])


@pytest.fixture(scope="session")
def images(references: References) -> ResolvedImages:
    return ResolvedImages(**{name: references[name] for name in ResolvedImages.model_fields})


@pytest.fixture(scope="module")
def space() -> Iterator[str]:
    """A namespace that enforces the Pod Security level ``restricted``."""
    assert os.environ.get("KUBECONFIG"), "KUBECONFIG must name a cluster: run `make contract`"
    with namespace(f"images-{secrets.token_hex(3)}") as name:
        yield name


def deployed(space: str, component: str, images: ResolvedImages) -> Part:
    part = Part(space, component, images)
    part.deploy()
    return part


@pytest.fixture(scope="module")
def postgres(space: str, images: ResolvedImages) -> Part:
    return deployed(space, names.POSTGRES, images)


@pytest.fixture(scope="module")
def redis(space: str, images: ResolvedImages) -> Part:
    return deployed(space, names.REDIS, images)


@pytest.fixture(scope="module")
def rabbitmq(space: str, images: ResolvedImages) -> Part:
    return deployed(space, names.RABBITMQ, images)


@pytest.fixture(scope="module")
def edge(space: str, images: ResolvedImages) -> Part:
    return deployed(space, names.EDGE, images)


@pytest.fixture
def another_postgres(images: ResolvedImages) -> Iterator[Part]:
    """Postgres in a namespace of its own, not yet deployed."""
    with namespace(f"images-{secrets.token_hex(3)}") as name:
        yield Part(name, names.POSTGRES, images)
