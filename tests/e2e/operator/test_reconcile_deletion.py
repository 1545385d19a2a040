"""Deletion ends, with and without an operator, and leaves exactly what the policy keeps."""

import secrets

import pytest

from operator_resources import Apply
from platform_under_test import Platform, kubectl, wait_until

READY_SECONDS = 90.0
GONE_SECONDS = 60.0
GENERATED = ("postgres", "redis", "rabbitmq", "jwt", "edge")
SEEN_SECONDS = 30.0
KINDS = (
    *("deployment", "statefulset", "service", "configmap", "secret", "job", "pod"),
    *("persistentvolumeclaim", "networkpolicy", "poddisruptionbudget"),
)


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
    return claims | {f"secret/{name}-{part}" for part in GENERATED}


@pytest.fixture(scope="module")
def mortal(home: str, apply: Apply) -> Platform:
    """A platform that these tests delete and make anew, in their order."""
    platform = Platform(home, "mortal")
    apply(platform, {})
    platform.await_ready(seconds=READY_SECONDS)
    return platform


@pytest.fixture(scope="module")
def first_life(mortal: Platform) -> tuple[str, object]:
    """Its volume and its key before it was first deleted."""
    return volume_and_key(mortal)


def volume_and_key(platform: Platform) -> tuple[str, object]:
    claim = platform.get("pvc", f"data-{platform.name}-postgres-0")
    return claim["metadata"]["uid"], platform.get("secret", f"{platform.name}-jwt")["data"]


@pytest.mark.usefixtures("first_life")
def test_retain_keeps_volumes_and_secrets_and_nothing_else(mortal: Platform) -> None:
    delete(mortal)

    wait_until(
        lambda: remains(mortal) == kept(mortal.name),
        seconds=GONE_SECONDS,
        what="all but volumes and Secrets to be gone",
    )


def test_what_was_retained_is_found_again(
    mortal: Platform, first_life: tuple[str, object], apply: Apply
) -> None:
    apply(mortal, {"deletionPolicy": "Delete"})

    mortal.await_ready(seconds=READY_SECONDS)
    assert volume_and_key(mortal) == first_life


def test_a_resource_made_anew_at_once_becomes_ready_with_nothing_of_the_old(
    mortal: Platform, first_life: tuple[str, object], apply: Apply
) -> None:
    delete(mortal)
    apply(mortal, {"deletionPolicy": "Delete"})

    mortal.await_ready(seconds=READY_SECONDS)
    volume, key = volume_and_key(mortal)
    assert volume != first_life[0]
    assert key != first_life[1]


@pytest.mark.alone
@pytest.mark.usefixtures("operator_away")
def test_with_delete_everything_goes_and_no_operator_is_needed(mortal: Platform) -> None:
    delete(mortal)

    wait_until(lambda: remains(mortal) == set(), seconds=GONE_SECONDS, what="all to be gone")


def test_a_namespace_with_a_platform_in_it_can_be_deleted(apply: Apply) -> None:
    doomed = Platform(f"e2e-doomed-{secrets.token_hex(3)}", "doomed")
    kubectl("create", "namespace", doomed.namespace)
    apply(doomed, {})
    wait_until(
        lambda: doomed.list("pods", instance="doomed"), seconds=SEEN_SECONDS, what="its pods"
    )

    kubectl("delete", "namespace", doomed.namespace, "--timeout=55s")
