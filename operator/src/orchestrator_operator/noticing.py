"""Notices what sends no event: a changed or lost Secret, and the autoscaler's news.

Secrets are not watched: to watch some is to be allowed to read all of a
namespace. A handful of reads by name every few seconds does as well, and needs
no permission to list.

Before: ``app`` starts one task for each resource.
After: the resource's door is rung.
"""

import asyncio
from collections.abc import Callable

import structlog

from orchestrator_operator.applying import Cluster, ClusterError
from orchestrator_operator.companions import Companion
from orchestrator_operator.kinds import SECRET
from orchestrator_operator.looping import ResourceKey

LOOK_SECONDS = 1.0
SECRETS_EVERY_LOOKS = 3
"""A lost Secret is back within five seconds."""

_log = structlog.get_logger(__name__)


async def notice(
    key: ResourceKey, companion: Companion, cluster: Cluster, ring: Callable[[ResourceKey], None]
) -> None:
    """Ring for what is new, until cancelled."""
    looks = 0
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        looks += 1
        try:
            has_news = await _has_news(key, companion, cluster, looks)
        except ClusterError as error:
            # The next pass meets the same trouble and reports it.
            _log.debug("secrets_not_seen", resource=key, error=str(error))
            continue
        if has_news:
            ring(key)


async def _has_news(key: ResourceKey, companion: Companion, cluster: Cluster, looks: int) -> bool:
    if companion.told is not None and companion.pool.view() != companion.told:
        return True
    return looks % SECRETS_EVERY_LOOKS == 0 and await has_new_secrets(key, companion, cluster)


async def has_new_secrets(key: ResourceKey, companion: Companion, cluster: Cluster) -> bool:
    """Return whether a Secret is not as the last pass left it."""
    for name, version in tuple(companion.secrets.items()):
        secret = await cluster.get(SECRET, key.namespace, name)
        if secret is None or secret["metadata"]["resourceVersion"] != version:
            return True
    return False
