"""An operator that dies after each write that it makes leaves a platform like any other (F-33)."""

import asyncio
import multiprocessing
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from installed_operator import operator_outage, operators_images
from operator_resources import Apply
from operator_testing.dying import Dying
from operator_testing.no_pool import NoPool
from orchestrator_operator.applying import KubernetesCluster
from orchestrator_operator.companions import Companion
from orchestrator_operator.images import DefaultImages
from orchestrator_operator.looping import Verdict
from orchestrator_operator.reconciling import Reconciler
from owned_objects import HEALTHY, Owned, await_order, read_owned
from platform_under_test import Platform, wait_until

READY_SECONDS = 90.0
PASS_SECONDS = 60.0
LONGEST_PASS = 200
"""Writes that no pass makes."""
KILLED, WAITING, DONE = 137, 3, 0


def make_a_pass(namespace: str, name: str, images: DefaultImages, writes: int) -> None:
    """Be an operator that has just started, for one pass; die as by SIGKILL before a write."""

    async def run() -> Verdict:
        async with await KubernetesCluster.connect(component="e2e") as cluster:
            dying: Any = Dying(cluster, writes, lambda: os._exit(KILLED))
            reconciler = Reconciler(
                cluster=dying,
                default_images=images,
                operator_namespace="orchestrator-system",
                now=lambda: datetime.now(UTC),
            )
            return await reconciler.reconcile(namespace, name, Companion(pool=NoPool()))

    os._exit(DONE if asyncio.run(run()) is Verdict.DONE else WAITING)


@pytest.fixture
def orphan(home: str, apply: Apply) -> Iterator[Platform]:
    """A resource that nobody runs yet."""
    platform = Platform(home, "orphan")
    with operator_outage():
        apply(platform, {})
        yield platform
    platform.kubectl("delete", "orch", platform.name, "--wait=false")


def without_own_names(platform: Platform, owned: Owned) -> set[tuple[str, str]]:
    """Return what there is, whosesoever; a migration's name also says on which volume."""
    return {
        (kind, re.sub("(?<=-migrate)-.*", "", name.replace(platform.name, "*")))
        for kind, name in owned.names
    }


def uids_of_secrets(platform: Platform) -> dict[str, str]:
    owned = {"instance": platform.name, "managed-by": "orchestrator-operator"}
    return {
        each["metadata"]["name"]: each["metadata"]["uid"]
        for each in platform.list("secret", **owned)
    }


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_a_kill_after_each_write_leads_to_the_same_platform(
    small: Platform, orphan: Platform
) -> None:
    images = operators_images()
    fork = multiprocessing.get_context("fork")
    first_secrets: dict[str, str] = {}
    writes, killed = 0, 0

    def die_once_more() -> int:
        nonlocal writes, killed
        process = fork.Process(
            target=make_a_pass, args=(orphan.namespace, orphan.name, images, writes)
        )
        process.start()
        process.join(PASS_SECONDS)
        if process.exitcode == KILLED:
            killed += 1
            writes += 1
        first_secrets.update(
            {
                name: uid
                for name, uid in uids_of_secrets(orphan).items()
                if name not in first_secrets
            }
        )
        return process.exitcode or 0

    def is_done() -> bool:
        code = die_once_more()
        assert code in (KILLED, WAITING, DONE)
        assert writes < LONGEST_PASS
        return code == DONE and orphan.condition("Ready").get("status") == "True"

    wait_until(is_done, seconds=240, what="a pass that is not killed to find all ready", every=0)

    found, like = read_owned(orphan), read_owned(small)
    # The autoscaler is the operator's, which is away.
    await_order(orphan, found, {**HEALTHY, "ScalingActive": "Unknown"})
    assert without_own_names(orphan, found) == without_own_names(small, like)
    # One for each object that it writes itself.
    assert killed >= len(like.names) - len(like.volumes)
    assert uids_of_secrets(orphan) == first_secrets
    for component in ("api", "edge", "worker"):
        sets = orphan.list("replicaset", instance=orphan.name, component=component)
        assert len(sets) == 1, f"{component} was rolled"
