"""Redis: short-lived facts. It keeps nothing that must last, so it has no volume.

Before: ``credentials`` applies the Secret with the password line.
After: API and workers connect; both work on without it.
"""

from typing import Any

from orchestrator_operator import names
from orchestrator_operator.bindings import PORTS
from orchestrator_operator.kinds import CONFIG_MAP, Manifest
from orchestrator_operator.manifests.context import Context, build_object, hash_of
from orchestrator_operator.manifests.credentials import REDIS_PASSWORD_LINE
from orchestrator_operator.manifests.pods import (
    STORE_UID,
    build_container,
    build_pod,
    build_probes,
    empty_volume,
    mount,
    tcp_connect,
)
from orchestrator_operator.manifests.stores import (
    CREDENTIALS_ROOT,
    CREDENTIALS_VOLUME,
    build_headless_service,
    build_stateful_set,
    credentials_volume,
)
from orchestrator_operator.quantities import to_number
from orchestrator_operator.spec import ManagedRedis

CONFIG_FOLDER = "/usr/local/etc/redis"
CONFIG_FILE = "redis.conf"


def build_redis(context: Context, managed: ManagedRedis) -> list[Manifest]:
    """Return the ConfigMap, the Service and the StatefulSet."""
    config = {CONFIG_FILE: _render_config(managed)}
    return [
        build_object(context, CONFIG_MAP, names.REDIS, {"data": config}),
        build_headless_service(context, names.REDIS, PORTS[names.REDIS]),
        build_stateful_set(context, names.REDIS, _build_pod(context, managed, config)),
    ]


def _render_config(managed: ManagedRedis) -> str:
    limits = managed.resources.limits
    lines = [
        "bind * -::*",
        "protected-mode no",
        f"port {PORTS[names.REDIS]}",
        "dir /data",
        # Nothing here must outlive the process, and no fork ever doubles its memory.
        'save ""',
        "appendonly no",
        # Full of buckets and caches, it drops the least used ones instead of refusing new ones.
        "maxmemory-policy allkeys-lru",
        f"include {CREDENTIALS_ROOT}/{names.REDIS}/{REDIS_PASSWORD_LINE}",
    ]
    if limits is not None and limits.memory is not None:
        lines.append(f"maxmemory {int(to_number(limits.memory) * 3 / 4)}")
    return "\n".join([*lines, ""])


def _build_pod(context: Context, managed: ManagedRedis, config: dict[str, str]) -> dict[str, Any]:
    server = build_container(
        names.REDIS,
        context.images.redis,
        args=["redis-server", f"{CONFIG_FOLDER}/{CONFIG_FILE}"],
        ports=[{"name": names.REDIS, "containerPort": PORTS[names.REDIS], "protocol": "TCP"}],
        resources=managed.resources.to_manifest(),
        volumeMounts=[
            mount("config", CONFIG_FOLDER, is_read_only=True),
            mount(CREDENTIALS_VOLUME, CREDENTIALS_ROOT, is_read_only=True),
            mount("data", "/data"),
        ],
        **build_probes(tcp_connect(names.REDIS)),
    )
    return build_pod(
        context,
        names.REDIS,
        uid=STORE_UID,
        containers=[server],
        volumes=[
            {"name": "config", "configMap": {"name": context.child(names.REDIS)}},
            credentials_volume(context, (names.REDIS, REDIS_PASSWORD_LINE)),
            empty_volume("data", size_limit="64Mi"),
        ],
        config_hash=hash_of(config, context.credentials.redis.password),
        terminationGracePeriodSeconds=5,
    )
