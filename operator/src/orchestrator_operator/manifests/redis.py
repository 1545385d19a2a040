"""Redis: short-lived facts. It keeps nothing that must last, so it has no volume.

Before: ``credentials`` applies the Secret with the password line.
After: API and workers connect; both work on without it.
"""

from typing import Any

from orchestrator_operator import names
from orchestrator_operator.kinds import CONFIG_MAP, Manifest
from orchestrator_operator.manifests.context import Context, build_object, hash_of
from orchestrator_operator.manifests.credentials import REDIS_PORT
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

CONFIG_FOLDER = "/usr/local/etc/redis"
CONFIG_FILE = "redis.conf"
PASSWORD_LINE = "auth.conf"  # noqa: S105 - the name of a file


def build_redis(context: Context) -> list[Manifest]:
    """Return the ConfigMap, the Service and the StatefulSet."""
    config = {CONFIG_FILE: _render_config(context)}
    return [
        build_object(context, CONFIG_MAP, names.REDIS, {"data": config}),
        build_headless_service(context, names.REDIS, REDIS_PORT),
        build_stateful_set(context, names.REDIS, _build_pod(context, config)),
    ]


def _render_config(context: Context) -> str:
    limits = context.spec.redis.managed.resources.limits
    lines = [
        "bind * -::*",
        "protected-mode no",
        f"port {REDIS_PORT}",
        "dir /data",
        # Nothing here must outlive the process, and no fork ever doubles its memory.
        'save ""',
        "appendonly no",
        # Full of buckets and caches, it drops the least used ones instead of refusing new ones.
        "maxmemory-policy allkeys-lru",
        f"include {CREDENTIALS_ROOT}/{names.REDIS}/{PASSWORD_LINE}",
    ]
    if limits is not None and limits.memory is not None:
        lines.append(f"maxmemory {int(to_number(limits.memory) * 3 / 4)}")
    return "\n".join([*lines, ""])


def _build_pod(context: Context, config: dict[str, str]) -> dict[str, Any]:
    server = build_container(
        names.REDIS,
        context.images.redis,
        args=["redis-server", f"{CONFIG_FOLDER}/{CONFIG_FILE}"],
        ports=[{"name": names.REDIS, "containerPort": REDIS_PORT, "protocol": "TCP"}],
        resources=context.spec.redis.managed.resources.to_manifest(),
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
            credentials_volume(context, (names.REDIS, PASSWORD_LINE)),
            empty_volume("data", size_limit="64Mi"),
        ],
        config_hash=hash_of(config, context.credentials.redis_password),
        terminationGracePeriodSeconds=5,
    )
