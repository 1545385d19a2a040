"""No route forgets its limit, and none does any work before it."""

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts

from orchestrator_api.app import ROUTERS
from orchestrator_api.limits.dependencies import limit_by_address, limit_by_user

LIMITS = {"/api/v1/": limit_by_user, "/auth/": limit_by_address}
UNLIMITED = {"/livez", "/readyz", "/health"}


@pytest.mark.parametrize(
    "route",
    [context for router in ROUTERS for context in iter_route_contexts(router.routes)],
    ids=lambda context: context.name,
)
def test_every_route_takes_a_token_before_all_else(route: RouteContext) -> None:
    path = route.path or ""
    dependant: Dependant = route.dependant
    expected = next((limit for start, limit in LIMITS.items() if path.startswith(start)), None)

    calls = [each.call for each in dependant.dependencies]

    if expected is None:
        assert path in UNLIMITED
    else:
        assert calls[0] is expected
