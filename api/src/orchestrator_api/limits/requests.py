"""Limit requests: find the bucket, take a token, tell the client.

What a client may still ask for stands on every answer, whoever makes it: the
headers wait in the request's state until ``bounds`` sends the answer's start.

Before: ``dependencies`` knows the request, and the caller if there is one.
After: the endpoint runs, or the client gets 429 and when to come back.
"""

import math

from starlette.types import Scope

from orchestrator_api.bounds import ANSWER_HEADERS
from orchestrator_api.errors import RateLimitedError
from orchestrator_api.limits.client_addresses import ClientAddresses
from orchestrator_api.limits.limiter import Limiter
from orchestrator_api.limits.policies import Policies, Policy
from orchestrator_core.accounts import Identity
from orchestrator_core.rate_limits import Decision


class RequestLimits:
    """Takes a token for each request."""

    def __init__(self, limiter: Limiter, policies: Policies, addresses: ClientAddresses) -> None:
        self._limiter = limiter
        self._policies = policies
        self._addresses = addresses

    async def take_for_user(self, scope: Scope, identity: Identity) -> None:
        """Take a token of the caller.

        Raises:
            RateLimitedError: he has none left.
        """
        policy = self._policies.find_for_user(identity.username)
        await self._take(scope, policy, b"limit:user:%d" % identity.user_id)

    async def take_for_address(self, scope: Scope) -> None:
        """Take a token of the address that the request came from.

        Raises:
            RateLimitedError: it has none left.
        """
        key = f"limit:auth:{self._addresses.find(scope)}".encode()
        await self._take(scope, self._policies.of_addresses, key)

    async def _take(self, scope: Scope, policy: Policy, key: bytes) -> None:
        decision = await self._limiter.take(policy, key)
        if not decision.is_allowed:
            raise _refusal(policy, decision)
        left = policy.template % (decision.remaining, math.ceil(decision.reset_seconds))
        scope["state"][ANSWER_HEADERS] = (policy.header, (b"ratelimit", left))


def _refusal(policy: Policy, decision: Decision) -> RateLimitedError:
    # The draft wants ``t`` to name the same moment as Retry-After; sooner is no use.
    seconds = max(1, math.ceil(decision.retry_after_seconds))
    name, value = policy.header
    return RateLimitedError(
        decision.retry_after_seconds,
        {
            "Retry-After": str(seconds),
            name.decode(): value.decode(),
            "ratelimit": (policy.template % (0, seconds)).decode(),
        },
    )
