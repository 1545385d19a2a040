"""What three nodes of RabbitMQ need beyond one: names, a common secret, and to find each other.

A quorum queue has a copy on each node, so one node may be away without anybody
noticing: for a roll-out, a drain or for good. RabbitMQ 4 finds the other nodes by itself,
also when all of them are new and start together.

Before: ``rabbitmq`` describes a pod that is alone.
After: the same pod as one of several.
"""

from collections.abc import Mapping
from typing import Any, Final

from orchestrator_operator import names
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.manifests.credentials import SOURCE_KEYS
from orchestrator_operator.manifests.pods import build_container, spread_over_nodes, to_environment
from orchestrator_operator.manifests.stores import CREDENTIALS_ROOT

DATA_FOLDER = "/var/lib/rabbitmq"
ERLANG_PORTS: Final = (4369, 25672)
"""Where a node tells its port, and that port."""
ERLANG_TOOL_PORTS: Final = (35672, 35682)
"""The first and the last of RabbitMQ's own tools, which all nodes answer directly."""
QUORUM_SECONDS = 30
"""How long a pod that has to go waits until the queues can do without it."""
DRAIN_SECONDS = 20
COOKIE: Final = (names.COOKIE, SOURCE_KEYS[names.COOKIE])
"""The key of a Secret that each of the nodes mounts."""
COPY_COOKIE = """\
umask 277 && rm -f "$HOME/.erlang.cookie" && cat "$COOKIE_FILE" >"$HOME/.erlang.cookie"
"""
"""Erlang wants a file of its owner's alone, which a mounted Secret is not."""
GROW_QUEUES = """\
for _ in $(seq 100); do
  rabbitmqctl --quiet await_startup --timeout 300 &&
    rabbitmq-queues --quiet grow "$RABBITMQ_NODENAME" all && exit
  sleep 2
done
"""
"""A queue that was declared while this node was not there gets a copy on it now. The first tries
fail, for this starts together with the node itself."""
LEAVE = f"""\
rabbitmq-upgrade --quiet --timeout {QUORUM_SECONDS} await_online_quorum_plus_one
rabbitmq-upgrade --quiet --timeout {DRAIN_SECONDS} drain
"""


def node_name(context: Context) -> list[dict[str, Any]]:
    """Return the variables by which each pod of a cluster has a name that the others resolve."""
    return [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "RABBITMQ_USE_LONGNAME", "value": "true"},
        {"name": "RABBITMQ_NODENAME", "value": f"rabbit@$(POD_NAME).{_domain(context)}"},
    ]


def cluster_lines(context: Context, replicas: int) -> list[str]:
    """Return the lines of the configuration that name the nodes."""
    return [
        "cluster_formation.peer_discovery_backend = classic_config",
        *(
            f"cluster_formation.classic_config.nodes.{number} = {node}"
            for number, node in enumerate(_nodes(context, replicas), start=1)
        ),
        # The smaller half of a torn cluster stops, so that no queue has two truths.
        "cluster_partition_handling = pause_minority",
    ]


def with_cluster(context: Context, pod: Mapping[str, Any]) -> dict[str, Any]:
    """Return the pod template of one node as that of one of several."""
    [server] = pod["spec"]["containers"]
    lifecycle = {"postStart": _shell(GROW_QUEUES), "preStop": _shell(LEAVE)}
    return {
        **pod,
        "spec": {
            **pod["spec"],
            "initContainers": [_build_copier(server)],
            "containers": [{**server, "lifecycle": lifecycle}],
            "topologySpreadConstraints": spread_over_nodes(context, names.RABBITMQ),
            "terminationGracePeriodSeconds": (
                pod["spec"]["terminationGracePeriodSeconds"] + QUORUM_SECONDS + DRAIN_SECONDS
            ),
        },
    }


def _build_copier(server: Mapping[str, Any]) -> dict[str, Any]:
    file = "/".join((CREDENTIALS_ROOT, *COOKIE))
    return build_container(
        "copy-cookie",
        server["image"],
        command=["sh", "-c", COPY_COOKIE],
        env=to_environment({"COOKIE_FILE": file, "HOME": DATA_FOLDER}),
        resources=server.get("resources"),
        volumeMounts=server["volumeMounts"],
    )


def _nodes(context: Context, replicas: int) -> list[str]:
    name = context.child(names.RABBITMQ)
    return [f"rabbit@{name}-{ordinal}.{_domain(context)}" for ordinal in range(replicas)]


def _domain(context: Context) -> str:
    """Return what follows a pod's name; resolvers add the cluster's own domain."""
    return f"{context.child(names.RABBITMQ)}.{context.namespace}.svc"


def _shell(script: str) -> dict[str, Any]:
    return {"exec": {"command": ["sh", "-c", script]}}
