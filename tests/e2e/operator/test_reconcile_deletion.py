"""Deletion ends, with and without an operator, and leaves exactly what the policy keeps."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from platform_under_test import Platform, kubectl, namespace, wait_until

READY_SECONDS = 90.0
GONE_SECONDS = 60.0
KINDS = (
    *("deployment", "statefulset", "service", "configmap", "secret", "job", "pod"),
    *("persistentvolumeclaim", "networkpolicy", "poddisruptionbudget"),
)

Apply = Callable[[Platform, dict[str, Any]], None]


def remains(platform: Platform) -> set[str]:
    return {
        f"{kind}/{item['metadata']['name']}"
        for kind in KINDS
        for item in platform.list(kind, instance=platform.name)
    }


def delete(platform: Platform) -> None:
    platform.kubectl("delete", "orchestrator", platform.name, "--timeout=10s")


def kept(name: str) -> set[str]:
    claims = {f"persistentvolumeclaim/data-{name}-{store}-0" for store in ("postgres", "rabbitmq")}
    return claims | {f"secret/{name}-{part}" for part in ("postgres", "redis", "rabbitmq", "jwt")}


def test_retain_keeps_volumes_and_secrets_and_they_are_found_again(home: str, apply: Apply) -> None:
    platform = Platform(home, "retained")
    apply(platform, {})
    platform.await_ready(seconds=READY_SECONDS)
    claim = f"data-{platform.name}-postgres-0"
    before = platform.get("pvc", claim)["metadata"]["uid"]
    jwt = platform.get("secret", f"{platform.name}-jwt")["data"]

    delete(platform)
    wait_until(
        lambda: remains(platform) == kept(platform.name),
        seconds=GONE_SECONDS,
        what="all but volumes and Secrets to be gone",
    )

    apply(platform, {"deletionPolicy": "Delete"})
    platform.await_ready(seconds=READY_SECONDS)
    assert platform.get("pvc", claim)["metadata"]["uid"] == before
    assert platform.get("secret", f"{platform.name}-jwt")["data"] == jwt

    # The policy was changed on what had been retained: now everything goes.
    delete(platform)
    wait_until(lambda: remains(platform) == set(), seconds=GONE_SECONDS, what="all to be gone")


@pytest.mark.usefixtures("operator_away")
def test_deletion_needs_no_operator(small: Platform) -> None:
    delete(small)

    wait_until(
        lambda: remains(small) == kept(small.name),
        seconds=GONE_SECONDS,
        what="all but volumes and Secrets to be gone",
    )


def test_a_resource_made_anew_at_once_becomes_ready(home: str, apply: Apply) -> None:
    platform = Platform(home, "phoenix")
    apply(platform, {"deletionPolicy": "Delete"})
    platform.await_ready(seconds=READY_SECONDS)

    delete(platform)
    apply(platform, {"deletionPolicy": "Delete"})

    platform.await_ready(seconds=READY_SECONDS)
    delete(platform)


def test_a_namespace_with_a_platform_in_it_can_be_deleted(apply: Apply) -> None:
    with namespace(f"e2e-doomed-{secrets.token_hex(3)}") as name:
        apply(Platform(name, "doomed"), {})
        wait_until(
            lambda: Platform(name, "doomed").list("pods", instance="doomed"),
            seconds=READY_SECONDS,
            what="pods to be there",
        )

        kubectl("delete", "namespace", name, "--timeout=55s")
