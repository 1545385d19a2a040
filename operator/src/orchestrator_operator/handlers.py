"""The only module that knows kopf: events come in, doors are rung, nothing else.

No handler does work, none is for create, update or resume, and there is no
daemon and no timer. Kopf therefore writes nothing: no finalizer that could keep a
resource from going, no annotation with a copy of the spec.

Before: kopf watches the resource and its labelled children.
After: ``looping`` makes passes. Kopf also serves the liveness probe.
"""

import dataclasses
import logging
import ssl
from collections.abc import Callable, Sequence
from typing import Any

import kopf

from orchestrator_operator.kinds import ORCHESTRATOR, WATCHED_CHILDREN
from orchestrator_operator.looping import ResourceKey
from orchestrator_operator.names import FIELD_MANAGER, INSTANCE_LABEL, MANAGED_BY_LABEL

IDENTITY: Any = FIELD_MANAGER
"""Kopf's type for it is not public."""

Ring = Callable[[ResourceKey], None]
Complaint = Callable[[], str]
"""Says what is wrong with the process; empty when nothing is."""


class Connection(kopf.ConnectionInfo):
    """Verifies the API server's certificate, but not the niceties of RFC 5280.

    Python 3.13 refuses authorities without key usage or key identifier, which many clusters
    have. ``applying`` does the same for its own calls.
    """

    def as_ssl_context(self) -> ssl.SSLContext:
        """Return the context that kopf connects with."""
        context = super().as_ssl_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context


def build_registry(ring: Ring, complaint: Complaint) -> kopf.OperatorRegistry:
    """Return kopf's handlers."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(settings: kopf.OperatorSettings, **_: object) -> kopf.ConnectionInfo | None:
        found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(
            settings=settings
        )
        if found is None:
            return None
        fields = dataclasses.fields(kopf.ConnectionInfo)
        return Connection(**{field.name: getattr(found, field.name) for field in fields})

    @kopf.on.probe(registry=registry, id="alive", errors=kopf.ErrorsMode.PERMANENT)
    def alive(**_: object) -> str:
        wrong = complaint()
        if wrong:
            # Kopf answers a probe with 200 unless a handler raises.
            raise kopf.PermanentError(wrong)
        return "ok"

    @kopf.on.event(ORCHESTRATOR.api_version, ORCHESTRATOR.plural, registry=registry, id="resource")
    async def resource_changed(namespace: str | None, name: str | None, **_: object) -> None:
        ring(ResourceKey(str(namespace), str(name)))

    for kind in WATCHED_CHILDREN:

        @kopf.on.event(
            kind.api_version,
            kind.plural,
            registry=registry,
            id=kind.plural,
            labels={MANAGED_BY_LABEL: FIELD_MANAGER, INSTANCE_LABEL: kopf.PRESENT},
        )
        async def child_changed(namespace: str | None, labels: kopf.Labels, **_: object) -> None:
            ring(ResourceKey(str(namespace), labels[INSTANCE_LABEL]))

    return registry


def build_settings() -> kopf.OperatorSettings:
    """Return kopf's settings: every wait bounded, nothing written, children filtered early."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    # Neither namespaces nor resource definitions are watched: what to watch does not change.
    settings.scanning.disabled = True
    settings.watching.server_timeout = 240
    settings.watching.client_timeout = 300
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.queueing.worker_limit = 16
    settings.process.ultimate_exiting_timeout = 20
    for kind in WATCHED_CHILDREN:
        selector = (kind.api_version, kind.plural)
        settings.watching.label_selectors[selector] = f"{MANAGED_BY_LABEL}={FIELD_MANAGER}"
    return settings


async def watch(
    ring: Ring, complaint: Complaint, *, namespaces: Sequence[str], health_port: int
) -> None:
    """Run kopf until the process is asked to stop."""
    # A line for each event and each probe says nothing: what a pass changes is logged.
    for name in ("kopf.objects", "kopf.activities", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    await kopf.operator(
        registry=build_registry(ring, complaint),
        settings=build_settings(),
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        # Otherwise kopf asks for the name of the user, and a container's has none.
        identity=IDENTITY,
        liveness_endpoint=f"http://0.0.0:{health_port}/healthz",
    )
