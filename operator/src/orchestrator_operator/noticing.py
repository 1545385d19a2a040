"""Notices what sends no event: a changed or lost Secret, and the autoscaler's news.

Secrets are not watched: to watch some is to be allowed to read all of a
namespace. One is read by name every few seconds, in turn; that needs no permission to
list, and is most of what a resource at rest asks of the API server.

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
SECRET_EVERY_LOOKS = 3
"""There are five of them: a lost one is back within 20 s."""

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
            _log.debug(
                "secrets_not_seen", namespace=key.namespace, resource=key.name, error=str(error)
            )
            continue
        if has_news:
            ring(key)


async def _has_news(key: ResourceKey, companion: Companion, cluster: Cluster, looks: int) -> bool:
    if companion.told is not None and companion.pool.view() != companion.told:
        return True
    if looks % SECRET_EVERY_LOOKS != 0:
        return False
    return await is_secret_new(key, companion, cluster, turn=looks // SECRET_EVERY_LOOKS)


async def is_secret_new(
    key: ResourceKey, companion: Companion, cluster: Cluster, *, turn: int
) -> bool:
    """Return whether the Secret whose turn it is is not as the last pass left it."""
    known = sorted(companion.secrets.items())
    if not known:
        return False
    name, version = known[turn % len(known)]
    secret = await cluster.get(SECRET, key.namespace, name)
    return secret is None or bool(secret["metadata"]["resourceVersion"] != version)
