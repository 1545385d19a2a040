"""Rounds: every door is rung again and again, for an event may be lost, and a round is not.

Before: ``app`` knows the cluster and which namespaces are watched.
After: ``looping`` makes a pass over each resource at least every half minute.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from orchestrator_operator.applying import Cluster, ClusterError
from orchestrator_operator.kinds import ORCHESTRATOR
from orchestrator_operator.looping import Loops, ResourceKey

RESYNC_SECONDS = 30.0
"""A lost event is made up for within this."""
CRD_WAIT_SECONDS = 2.0

_log = structlog.get_logger(__name__)


class Rounds:
    """Goes round until cancelled."""

    def __init__(self, cluster: Cluster, loops: Loops, namespaces: Sequence[str | None]) -> None:
        """Make one that has not begun.

        Args:
            cluster: where the resources are.
            loops: whose doors to ring.
            namespaces: to look into; None is all of them.
        """
        self._cluster = cluster
        self._loops = loops
        self._namespaces = namespaces
        self._moved_at = time.monotonic()

    def silence_seconds(self) -> float:
        """Return how long ago it last moved."""
        return time.monotonic() - self._moved_at

    async def wait_until_served(self) -> None:
        """Wait until the API server knows the resource: watches begin only with what is there."""
        is_told = False
        while True:
            try:
                await self._cluster.list(ORCHESTRATOR, self._namespaces[0])
            except ClusterError as error:
                if not is_told:
                    _log.warning("waiting_for_the_resource_definition", error=str(error))
                is_told = True
                self._moved_at = time.monotonic()
                await asyncio.sleep(CRD_WAIT_SECONDS)
            else:
                return

    async def run(self) -> None:
        """Ring for every resource that is there, or was."""
        while True:
            self._moved_at = time.monotonic()
            for key in {*self._loops.keys, *await self._list_resources()}:
                self._loops.ring(key)
            await asyncio.sleep(RESYNC_SECONDS)

    async def _list_resources(self) -> set[ResourceKey]:
        keys: set[ResourceKey] = set()
        for namespace in self._namespaces:
            try:
                found = await self._cluster.list(ORCHESTRATOR, namespace)
            except ClusterError as error:
                _log.warning("round_incomplete", namespace=namespace, error=str(error))
                continue
            keys |= {
                ResourceKey(item["metadata"]["namespace"], item["metadata"]["name"])
                for item in found
            }
        return keys
