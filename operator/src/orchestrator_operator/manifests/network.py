"""Network policies: nothing may talk to anything, except along the lines of one table.

Each component gets the policy that follows from ``FLOWS``; one more policy
denies the rest. Policies add up, so a cluster's owner can allow more with one
of their own, for instance an egress of the workers.

Before: ``spec.networkPolicy`` is Enforced.
After: the cluster's network plugin keeps to them; probes come from the node and always pass.
"""

from typing import Any

from orchestrator_operator import names
from orchestrator_operator.bindings import PORTS as STORES
from orchestrator_operator.kinds import NETWORK_POLICY, Manifest
from orchestrator_operator.manifests.api import API_PORT
from orchestrator_operator.manifests.context import Context, build_object
from orchestrator_operator.manifests.edge import EDGE_PORT
from orchestrator_operator.manifests.monitoring import MEASURED
from orchestrator_operator.manifests.rabbitmq_cluster import ERLANG_PORTS, ERLANG_TOOL_PORTS
from orchestrator_operator.outside import SourceUrls
from orchestrator_operator.spec import NetworkPolicyMode, ServiceType

PORTS = {**STORES, names.API: API_PORT, names.EDGE: EDGE_PORT}
FLOWS = (
    (names.EDGE, names.API),
    (names.API, names.POSTGRES),
    (names.API, names.REDIS),
    (names.API, names.RABBITMQ),
    (names.WORKER, names.POSTGRES),
    (names.WORKER, names.REDIS),
    (names.WORKER, names.RABBITMQ),
    (names.MIGRATION, names.POSTGRES),
)
"""Who connects to whom."""
READ_BY_THE_AUTOSCALER = frozenset({names.POSTGRES, names.RABBITMQ})
USERS_OF_THE_BUCKET = frozenset({names.API, names.WORKER})
TRACED = frozenset({names.API, names.WORKER})
COMPONENTS = (
    names.POSTGRES,
    names.REDIS,
    names.RABBITMQ,
    names.MIGRATION,
    names.API,
    names.EDGE,
    names.WORKER,
)
DNS_PORT = 53
WEB_PORTS = (80, 443)
INTERNET = (
    (
        "0.0.0.0/0",
        ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    ),
    ("::/0", ("fc00::/7", "fe80::/10")),
)
"""All addresses, and what of them is near. The worker itself judges each address more finely."""


def build_network_policies(context: Context) -> list[Manifest]:
    """Return all policies, or none when they are disabled."""
    if context.spec.network_policy is NetworkPolicyMode.DISABLED:
        return []
    return [
        _build_default(context),
        *(
            _build_policy(context, component)
            for component in COMPONENTS
            if not context.is_external(component)
        ),
    ]


def _build_default(context: Context) -> Manifest:
    body = {
        "spec": {
            "podSelector": {
                "matchLabels": {
                    names.NAME_LABEL: names.APPLICATION,
                    names.INSTANCE_LABEL: context.name,
                }
            },
            "policyTypes": ["Ingress", "Egress"],
        }
    }
    return build_object(context, NETWORK_POLICY, "default-deny", body)


def _build_policy(context: Context, component: str) -> Manifest:
    spec = {
        "podSelector": {"matchLabels": context.selector(component)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": _ingress(context, component),
        "egress": _egress(context, component),
    }
    return build_object(
        context,
        NETWORK_POLICY,
        component,
        {"spec": {key: value for key, value in spec.items() if value}},
    )


def _ingress(context: Context, component: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    if component in PORTS:
        rules.append(_for_clients(context, component))
    if component == names.RABBITMQ and context.spec.has_broker_cluster:
        rules.append({"from": [_pods(context, component)], "ports": _between_brokers()})
    if component in MEASURED:
        rules.append({"from": [_monitoring()], "ports": _tcp(MEASURED[component])})
    return rules


def _for_clients(context: Context, component: str) -> dict[str, Any]:
    rule = {"ports": _tcp(PORTS[component])}
    if component in _open_to_all(context):
        return rule
    peers = [_pods(context, source) for source, target in FLOWS if target == component]
    if component in READ_BY_THE_AUTOSCALER:
        peers.append(_operator(context))
    return {"from": peers, **rule}


def _open_to_all(context: Context) -> set[str]:
    """Return what clients may reach: the edge, and the API itself where it is published."""
    is_published = context.spec.api.service.type is not ServiceType.CLUSTER_IP
    return {names.EDGE, names.API} if is_published else {names.EDGE}


def _egress(context: Context, component: str) -> list[dict[str, Any]]:
    targets = [target for source, target in FLOWS if source == component]
    is_broker = component == names.RABBITMQ and context.spec.has_broker_cluster
    if not targets and not is_broker:
        return []
    resolve = [
        {"port": DNS_PORT, "protocol": "UDP"},
        {"port": DNS_PORT, "protocol": "TCP"},
    ]
    # Where a cluster's DNS runs differs: a Deployment, the node itself.
    return [
        {"ports": resolve},
        *(_way_to(context, target) for target in targets),
        *([{"to": [_pods(context, component)], "ports": _between_brokers()}] if is_broker else ()),
        *(_bucket(context) if component in USERS_OF_THE_BUCKET else ()),
        *(_collector(context) if component in TRACED else ()),
        *(_outside(context) if component == names.WORKER else ()),
    ]


def _way_to(context: Context, component: str) -> dict[str, Any]:
    if context.is_external(component):
        # It is given by name, which policies don't know.
        return {"ports": _tcp(context.credentials.stores[component].port)}
    return {"to": [_pods(context, component)], "ports": _tcp(PORTS[component])}


def _bucket(context: Context) -> list[dict[str, Any]]:
    """Return the way to the bucket, which is given by name, which policies don't know."""
    s3 = context.spec.results.s3
    return [] if s3 is None else [{"ports": _tcp(s3.port)}]


def _collector(context: Context) -> list[dict[str, Any]]:
    """Return the way to the collector of traces, which is given by name as well."""
    tracing = context.spec.monitoring.tracing
    return [] if tracing is None else [{"ports": _tcp(tracing.port)}]


def _outside(context: Context) -> list[dict[str, Any]]:
    """Return where workers may go beyond the platform: by default nowhere."""
    worker = context.spec.worker
    rules: list[dict[str, Any]] = []
    if worker.smtp is not None:
        # A mail server is given by name, which policies don't know.
        rules.append({"ports": _tcp(worker.smtp.port)})
    if worker.source_urls is SourceUrls.ENABLED:
        blocks = [{"ipBlock": {"cidr": all_, "except": [*near]}} for all_, near in INTERNET]
        rules.append({"to": blocks, "ports": [each for p in WEB_PORTS for each in _tcp(p)]})
    return rules


def _between_brokers() -> list[dict[str, Any]]:
    tools, last = ERLANG_TOOL_PORTS
    return [
        *(each for port in ERLANG_PORTS for each in _tcp(port)),
        {"port": tools, "endPort": last, "protocol": "TCP"},
    ]


def _tcp(port: int) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"}]


def _pods(context: Context, component: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": context.selector(component)}}


def _monitoring() -> dict[str, Any]:
    """Return the namespaces whose owner says that they may read metrics; by default none."""
    return {"namespaceSelector": {"matchLabels": {names.MONITORING_LABEL: names.MONITORING_VALUE}}}


def _operator(context: Context) -> dict[str, Any]:
    return {
        "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": context.operator_namespace}
        },
        "podSelector": {"matchLabels": {names.NAME_LABEL: names.OPERATOR_APPLICATION}},
    }
