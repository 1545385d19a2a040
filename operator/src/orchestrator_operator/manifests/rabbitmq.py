"""RabbitMQ: tells workers that a task is due. Losing its volumes loses no task.

Its user comes from definitions that it imports at every start, so the Secret
rules the password whatever the volume holds.

Before: ``credentials`` applies the Secret with the definitions.
After: the API publishes, workers consume, the autoscaler asks for the queue's depth.
"""

from typing import Any

from orchestrator_operator import names
from orchestrator_operator.bindings import PORTS
from orchestrator_operator.kinds import CONFIG_MAP, Manifest
from orchestrator_operator.manifests.context import Context, build_object, hash_of
from orchestrator_operator.manifests.credentials import RABBITMQ_DEFINITIONS
from orchestrator_operator.manifests.pods import (
    STORE_UID,
    build_container,
    build_pod,
    build_probes,
    empty_volume,
    mount,
    tcp_connect,
    to_environment,
)
from orchestrator_operator.manifests.rabbitmq_cluster import (
    COOKIE,
    DATA_FOLDER,
    cluster_lines,
    node_name,
    with_cluster,
)
from orchestrator_operator.manifests.stores import (
    CREDENTIALS_ROOT,
    CREDENTIALS_VOLUME,
    DATA_VOLUME,
    build_headless_service,
    build_stateful_set,
    credentials_volume,
)
from orchestrator_operator.quantities import to_number
from orchestrator_operator.spec import ManagedRabbitMQ

CONFIG_FILE = "90-orchestrator.conf"
METRICS_PORT = 15692
PLUGINS_FILE = "enabled_plugins"
PLUGINS = "[rabbitmq_management,rabbitmq_prometheus].\n"
NODE_NAME = "rabbit@localhost"
"""A node alone needs no name that others can resolve, and this one never changes."""
WRITE_AHEAD_LOG_BYTES = 64 * 2**20
"""The default of 512 MiB is for brokers with gigabytes of memory; messages here are tiny."""


def build_rabbitmq(context: Context, managed: ManagedRabbitMQ) -> list[Manifest]:
    """Return the ConfigMap, the Service and the StatefulSet."""
    config = {CONFIG_FILE: _render_config(context, managed), PLUGINS_FILE: PLUGINS}
    pod = _build_pod(context, managed, config)
    if managed.replicas > 1:
        pod = with_cluster(context, pod)
    return [
        build_object(context, CONFIG_MAP, names.RABBITMQ, {"data": config}),
        build_headless_service(context, names.RABBITMQ, PORTS[names.RABBITMQ]),
        build_stateful_set(
            context, names.RABBITMQ, pod, managed.storage, replicas=managed.replicas
        ),
    ]


def _render_config(context: Context, managed: ManagedRabbitMQ) -> str:
    limits = managed.resources.limits
    lines = [
        f"listeners.tcp.default = {PORTS[names.RABBITMQ]}",
        f"load_definitions = {CREDENTIALS_ROOT}/{names.RABBITMQ}/{RABBITMQ_DEFINITIONS}",
        f"raft.wal_max_size_bytes = {WRITE_AHEAD_LOG_BYTES}",
        "log.console = true",
        "log.file = false",
        "log.console.level = warning",
    ]
    if limits is not None and limits.memory is not None:
        # What the kernel reports is the node's memory, not the pod's.
        lines.append(f"total_memory_available_override_value = {int(to_number(limits.memory))}")
    if managed.replicas > 1:
        lines += cluster_lines(context, managed.replicas)
    return "\n".join([*lines, ""])


def _build_pod(
    context: Context, managed: ManagedRabbitMQ, config: dict[str, str]
) -> dict[str, Any]:
    server = build_container(
        names.RABBITMQ,
        context.images.rabbitmq,
        env=_environment(context, managed),
        ports=[
            {"name": names.RABBITMQ, "containerPort": PORTS[names.RABBITMQ], "protocol": "TCP"},
            {"name": "management", "containerPort": 15672, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        resources=managed.resources.to_manifest(),
        volumeMounts=[
            mount(DATA_VOLUME, DATA_FOLDER),
            mount("config", f"/etc/rabbitmq/conf.d/{CONFIG_FILE}", file=CONFIG_FILE),
            mount("config", f"/etc/rabbitmq/{PLUGINS_FILE}", file=PLUGINS_FILE),
            mount(CREDENTIALS_VOLUME, CREDENTIALS_ROOT, is_read_only=True),
            mount("tmp", "/tmp"),  # noqa: S108 - a path in the pod
        ],
        # The last thing a starting broker does is to open this port; RabbitMQ's own check
        # starts an Erlang machine each time, a second of a core.
        **build_probes(tcp_connect(names.RABBITMQ)),
    )
    return build_pod(
        context,
        names.RABBITMQ,
        uid=STORE_UID,
        containers=[server],
        volumes=[
            {"name": "config", "configMap": {"name": context.child(names.RABBITMQ)}},
            credentials_volume(
                context,
                (names.RABBITMQ, RABBITMQ_DEFINITIONS),
                *([COOKIE] if managed.replicas > 1 else ()),
            ),
            empty_volume("tmp", size_limit="64Mi"),
        ],
        config_hash=hash_of(config, context.credentials.rabbitmq.password),
        # It stops in two seconds. A stop that comes while the image's entrypoint still runs is
        # lost, for the kernel keeps signals from a first process that has no handler.
        terminationGracePeriodSeconds=20,
    )


def _environment(context: Context, managed: ManagedRabbitMQ) -> list[dict[str, Any]]:
    is_alone = managed.replicas == 1
    # Idle schedulers sleep instead of spinning; on few cores all else starts sooner.
    erlang = {"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none"}
    return [
        *(to_environment({"RABBITMQ_NODENAME": NODE_NAME}) if is_alone else node_name(context)),
        *to_environment(erlang),
        # Erlang's own ports stay inside the pod.
        *(to_environment({"ERL_EPMD_ADDRESS": "127.0.0.1"}) if is_alone else ()),
    ]
