"""Contexts for tests of builders: sensible defaults, a test names only what it is about.

Before: a test of a builder, a plan or a status.
After: the builder gets a complete ``Context``.
"""

from collections.abc import Mapping
from typing import Any

from orchestrator_operator.bindings import PORTS, bind_managed
from orchestrator_operator.desiring import Gates
from orchestrator_operator.images import DefaultImages, resolve_images
from orchestrator_operator.manifests.context import Context, Credentials
from orchestrator_operator.spec import OrchestratorSpec

CREDENTIALS = Credentials(
    stores={store: bind_managed("demo", store, f"secret-of-{store}") for store in PORTS},
    jwt_secret="secret-of-jwt",
    edge_key="key-of-the-edge",
    erlang_cookie="cookie-of-the-brokers",
)
ALL_OPEN = Gates(
    is_postgres_ready=True,
    has_migration_job=True,
    is_migrated=True,
    is_api_address_known=True,
    has_workers=True,
)


def a_context(spec: Mapping[str, Any] | OrchestratorSpec | None = None, **fields: Any) -> Context:
    """Return the context of an Orchestrator called demo in the namespace team."""
    given = spec if isinstance(spec, OrchestratorSpec) else OrchestratorSpec(**(spec or {}))
    values: dict[str, Any] = {
        "name": "demo",
        "namespace": "team",
        "uid": "00000000-0000-4000-8000-000000000001",
        "spec": given,
        "images": resolve_images(given, DefaultImages()),
        "credentials": CREDENTIALS,
        "operator_namespace": "orchestrator-system",
        "api_cluster_ip": "198.51.100.7",
        "database_identity": "00000000-0000-4000-8000-000000000002",
        **fields,
    }
    return Context(**values)
