"""An operator that was away for a while does what was last asked for, and nothing in between.

Half a minute in each run; the five of F-34 by ``ORCHESTRATOR_ABSENCE_SECONDS=300``.
"""

import os
import secrets
import time
from typing import Any

import httpx
import pytest

from installed_operator import operator_outage
from owned_objects import await_order, read_owned
from platform_under_test import Api, Platform, Tunnel, wait_until

ABSENCE_SECONDS = float(os.environ.get("ORCHESTRATOR_ABSENCE_SECONDS", "5"))
READY_SECONDS = 90.0
BACK_SECONDS = 60.0
DAMAGED = (
    ("deployment", "edge"),
    ("service", "api"),
    ("configmap", "edge"),
    ("networkpolicy", "worker"),
    ("poddisruptionbudget", "api"),
)


@pytest.mark.alone
@pytest.mark.timeout(ABSENCE_SECONDS + 300)
def test_only_the_last_word_counts_and_all_damage_is_made_good(small: Platform) -> None:
    before, owned = roll_outs(small), read_owned(small)
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
            time.sleep(ABSENCE_SECONDS)
        wait_until(
            lambda: all(small.get(kind, f"{small.name}-{part}") for kind, part in DAMAGED),
            seconds=BACK_SECONDS,
            what="everything to be back",
        )
        small.await_ready(seconds=READY_SECONDS)

        await_order(small, owned)
        assert roll_outs(small) == before
        assert api.await_final(task_id)["status"] == "COMPLETED"


def ask(platform: Platform, concurrency: int) -> None:
    platform.merge(
        "orchestrator", platform.name, {"spec": {"worker": {"concurrency": concurrency}}}
    )


def roll_outs(platform: Platform) -> dict[str, Any]:
    """Return the workers' template, and every set of workers that there ever was."""
    return {
        "template": platform.get("deployment", f"{platform.name}-worker")["spec"]["template"],
        "worker sets": sorted(
            each["metadata"]["uid"]
            for each in platform.list("replicaset", instance=platform.name, component="worker")
        ),
    }
