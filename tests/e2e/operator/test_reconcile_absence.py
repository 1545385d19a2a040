"""An operator that was away for a while does what was last asked for, and nothing in between."""

import secrets
from typing import Any

import httpx

from installed_operator import operator_outage
from platform_under_test import Api, Platform, Tunnel, wait_until

READY_SECONDS = 90.0
BACK_SECONDS = 60.0
DAMAGED = (
    ("deployment", "edge"),
    ("service", "api"),
    ("configmap", "edge"),
    ("networkpolicy", "worker"),
    ("poddisruptionbudget", "api"),
)


def test_only_the_last_word_counts_and_all_damage_is_made_good(small: Platform) -> None:
    before = state(small)
    transport = Tunnel(small.namespace, f"{small.name}-api")
    with httpx.Client(transport=transport, base_url="http://api", timeout=10.0) as http:
        with operator_outage():
            for concurrency in (7, 4):
                ask(small, concurrency)
            # The platform takes tasks without its operator.
            api = Api(http, f"user-{secrets.token_hex(4)}")
            task_id = api.submit("demo_sleep", seconds=0.1)
            for kind, component in DAMAGED:
                small.kubectl("delete", kind, f"{small.name}-{component}", "--wait=false")
        wait_until(
            lambda: all(small.get(kind, f"{small.name}-{part}") for kind, part in DAMAGED),
            seconds=BACK_SECONDS,
            what="everything to be back",
        )
        small.await_ready(seconds=READY_SECONDS)

        assert state(small) == before
        assert api.await_final(task_id)["status"] == "COMPLETED"


def ask(platform: Platform, concurrency: int) -> None:
    platform.merge(
        "orchestrator", platform.name, {"spec": {"worker": {"concurrency": concurrency}}}
    )


def state(platform: Platform) -> dict[str, Any]:
    """Return what must not have changed: the workers' template, volumes, and what there is."""
    kinds = ("deployment", "statefulset", "service", "networkpolicy", "configmap", "job")
    owned = {"instance": platform.name, "managed-by": "orchestrator-operator"}
    return {
        "names": {
            kind: sorted(each["metadata"]["name"] for each in platform.list(kind, **owned))
            for kind in kinds
        },
        "volumes": {
            each["metadata"]["name"]: each["metadata"]["uid"]
            for each in platform.list("pvc", **owned)
        },
        "template": platform.get("deployment", f"{platform.name}-worker")["spec"]["template"],
        "worker sets": sorted(
            each["metadata"]["uid"]
            for each in platform.list("replicaset", instance=platform.name, component="worker")
        ),
    }
