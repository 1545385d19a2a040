"""The spec of an Orchestrator: what a user may ask for, with its defaults and rules.

These models are the one source: the CRD's schema is generated from them
(``schema``), attribute docstrings become ``kubectl explain``, and the loop
reads a resource through them. Defaults are static and stored by the API server,
so an upgrade of the operator does not change what a resource means.

Before: the API server has validated the resource against the generated schema.
After: builders get a frozen ``OrchestratorSpec``.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from orchestrator_operator import names
from orchestrator_operator.allowances import FilesSpec, RateLimitSpec, ResultsSpec
from orchestrator_operator.compute import Resources, default_resources
from orchestrator_operator.external import ONE_OF, External, may_be_absent
from orchestrator_operator.outside import (
    IngressSpec,
    MonitoringSpec,
    NetworkBlock,
    SecretReference,
    SmtpSpec,
    SourceUrls,
    is_network_block,
)
from orchestrator_operator.quantities import Duration, Size, to_number, to_seconds
from orchestrator_operator.rules import Part, Rule, duration_between
from orchestrator_operator.templates import PodTemplate

CURRENT_VERSION = "0.1.0"

ImageReference = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][^\s]*$", min_length=1, max_length=512)
]


class ScalingMode(StrEnum):
    """Who decides how many workers run."""

    AUTOMATIC = "Automatic"
    FIXED = "Fixed"
    EXTERNAL = "External"


class DeletionPolicy(StrEnum):
    """What becomes of the data of a deleted resource."""

    RETAIN = "Retain"
    DELETE = "Delete"


class NetworkPolicyMode(StrEnum):
    """Whether the operator writes NetworkPolicies."""

    ENFORCED = "Enforced"
    DISABLED = "Disabled"


class ServiceType(StrEnum):
    """How a Service can be reached."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class Images(Part):
    """Full image references, for mirrors and private builds; what is left out has a default."""

    pull_secrets: list[SecretReference] = Field(default=[], max_length=16)
    """Secrets with the logins of registries, for every pod."""
    api: ImageReference | None = None
    """The API, which also runs the migrations."""
    worker: ImageReference | None = None
    """The worker with its task types; put your own here to add types."""
    nginx: ImageReference | None = None
    """The edge; an unprivileged nginx that reads /etc/nginx/nginx.conf."""
    postgres: ImageReference | None = None
    """PostgreSQL 17, keeping the official image's contract."""
    redis: ImageReference | None = None
    """Redis 8, keeping the official image's contract."""
    rabbitmq: ImageReference | None = None
    """RabbitMQ 4, keeping the official image's contract."""


class ServiceSpec(Part):
    """How a Service is published."""

    type: ServiceType = ServiceType.CLUSTER_IP
    """ClusterIP: inside the cluster; NodePort: on each node; LoadBalancer: by the cloud."""


class ApiSpec(Part):
    """The REST API."""

    rules = (
        duration_between("access_token_ttl", "accessTokenTTL", "1m", "24h"),
        duration_between("refresh_token_ttl", "refreshTokenTTL", "1h", "8760h"),
        Rule(
            cel="duration(self.refreshTokenTTL) > duration(self.accessTokenTTL)",
            message="refreshTokenTTL must be longer than accessTokenTTL",
            field="refreshTokenTTL",
            holds=lambda api: to_seconds(api.refresh_token_ttl) > to_seconds(api.access_token_ttl),
        ),
    )

    replicas: int = Field(default=2, ge=1, le=50)
    """Pods of the API. At least one, because the API also publishes what is due."""
    resources: Resources = default_resources(cpu="100m", memory="160Mi", memory_limit="512Mi")
    """Compute resources of each API pod."""
    access_token_ttl: Duration = Field(default="15m", alias="accessTokenTTL")
    """How long an access token is good."""
    refresh_token_ttl: Duration = Field(default="168h", alias="refreshTokenTTL")
    """How long a refresh token is good."""
    rate_limit: RateLimitSpec = Field(default_factory=RateLimitSpec)
    """How many requests the API takes, counted for each user and, on /auth, for each address."""
    files: FilesSpec = Field(default_factory=FilesSpec)
    """What users may upload."""
    service: ServiceSpec = Field(default_factory=ServiceSpec)
    """The Service in front of the API itself, past the edge."""
    template: PodTemplate = Field(default_factory=PodTemplate)
    """What is added to the API's pods and to the migration's."""


class EdgeSpec(Part):
    """The nginx in front of the API that limits requests by client address."""

    rules = (
        Rule(
            cel="!has(self.trustedProxies) || self.trustedProxies.all(each, isCIDR(each))",
            message="trustedProxies must be blocks of addresses, such as 10.0.0.0/16",
            field="trustedProxies",
            holds=lambda edge: all(map(is_network_block, edge.trusted_proxies)),
        ),
    )

    replicas: int = Field(default=1, ge=1, le=20)
    """Pods of the edge. Each counts on its own: n pods let n times the rate through."""
    resources: Resources = default_resources(cpu="20m", memory="32Mi", memory_limit="128Mi")
    """Compute resources of each edge pod."""
    service: ServiceSpec = Field(default_factory=ServiceSpec)
    """The Service in front of the edge."""
    ingress: IngressSpec | None = None
    """A name by which clients outside the cluster reach the edge."""
    trusted_proxies: list[NetworkBlock] = Field(default=[], max_length=32)
    """Where proxies before the edge connect from, such as the pods of an ingress controller:
    10.0.0.0/16. Their X-Forwarded-For is believed; without it all their clients count as one."""


class ScalingSpec(Part):
    """How the number of workers is found."""

    rules = (
        Rule(
            cel="self.min <= self.max",
            message="min must not be above max",
            field="min",
            holds=lambda scaling: scaling.min <= scaling.max,
        ),
        duration_between("target_latency", "targetLatency", "1s", "1h"),
        duration_between("idle_after", "idleAfter", "10s", "24h"),
    )

    mode: ScalingMode = ScalingMode.AUTOMATIC
    """Automatic: by load, between min and max. Fixed: spec.worker.replicas, by hand.
    External: spec.worker.replicas, written through /scale by an HPA or KEDA."""
    min: int = Field(default=0, ge=0, le=1000)
    """Fewest workers in mode Automatic; 0 lets them all go when there is nothing to do."""
    max: int = Field(default=10, ge=1, le=1000)
    """Most workers in mode Automatic."""
    target_latency: Duration = "10s"
    """How long a task may wait for a free worker, in mode Automatic."""
    idle_after: Duration = "5m"
    """How long there must be nothing to do before the last worker goes, in mode Automatic."""


class WorkerSpec(Part):
    """The workers that run tasks."""

    rules = (
        duration_between("task_timeout", "taskTimeout", "1s", "24h"),
        Rule(
            cel=(
                "self.scaling.mode != 'Automatic' || oldSelf.scaling.mode != 'Automatic'"
                " || self.replicas == oldSelf.replicas"
            ),
            message=(
                "replicas is decided by the autoscaler while scaling.mode is Automatic;"
                " set scaling.mode to Fixed or External to decide it yourself"
            ),
            field="replicas",
        ),
    )

    concurrency: int = Field(default=4, ge=1, le=64)
    """Tasks that one worker runs at the same time."""
    task_timeout: Duration = "15m"
    """How long one attempt may take. A pod that must go gets this long, up to one hour."""
    replicas: int = Field(default=1, ge=0, le=1000)
    """Workers in the modes Fixed and External; the path of /scale."""
    resources: Resources = default_resources(cpu="100m", memory="192Mi", memory_limit="1Gi")
    """Compute resources of each worker pod."""
    scaling: ScalingSpec = Field(default_factory=ScalingSpec)
    """How the number of workers is found."""
    smtp: SmtpSpec | None = None
    """The mail server that tasks send through; without one they fail and say so."""
    source_urls: SourceUrls = SourceUrls.DISABLED
    """Enabled: tasks may name their inputs by URLs of the public internet, never of the cluster or
    of private networks."""
    template: PodTemplate = Field(default_factory=PodTemplate)
    """What is added to the workers' pods."""


class StorageSpec(Part):
    """A volume."""

    rules = (
        Rule(
            cel="quantity(self.size).compareTo(quantity('256Mi')) >= 0",
            message="size must be at least 256Mi",
            field="size",
            holds=lambda storage: to_number(storage.size) >= to_number("256Mi"),
        ),
        Rule(
            cel="quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0",
            message="size can grow but not shrink",
            field="size",
        ),
        Rule(
            cel=(
                "has(self.class) == has(oldSelf.class)"
                " && (!has(self.class) || self.class == oldSelf.class)"
            ),
            message="class can't be changed: the volume exists already",
            field="class",
        ),
    )

    size: Size
    """Size of the volume. It can grow, if the storage class allows expansion."""
    class_: str | None = Field(default=None, alias="class", min_length=1, max_length=253)
    """Storage class; left out, the cluster's default. It can't be changed."""


def _storage(size: str) -> Any:  # noqa: ANN401 - a pydantic default
    return Field(
        default_factory=lambda: StorageSpec(size=size),
        json_schema_extra={"default": {"size": size}},
    )


class ManagedPostgres(Part):
    """A PostgreSQL that the operator runs."""

    storage: StorageSpec = _storage("10Gi")
    """The volume of the database."""
    resources: Resources = default_resources(cpu="100m", memory="256Mi", memory_limit="1Gi")
    """Compute resources; a quarter of the memory limit becomes shared_buffers."""


class ManagedRedis(Part):
    """A Redis that the operator runs. It keeps nothing that must last, so it has no volume."""

    resources: Resources = default_resources(cpu="20m", memory="64Mi", memory_limit="256Mi")
    """Compute resources; three quarters of the memory limit become maxmemory."""


class ManagedRabbitMQ(Part):
    """A RabbitMQ that the operator runs. Losing its volumes loses no task."""

    rules = (
        Rule(
            cel="self.replicas == 1 || self.replicas == 3",
            message="replicas must be 1, or 3 for a quorum",
            field="replicas",
            holds=lambda rabbitmq: rabbitmq.replicas in {1, 3},
        ),
    )

    replicas: int = Field(default=1, ge=1, le=3)
    """1, or 3 for a cluster that goes on when a node or a pod is lost. It can be changed."""
    storage: StorageSpec = _storage("2Gi")
    """The volume of each node."""
    resources: Resources = default_resources(cpu="100m", memory="256Mi", memory_limit="1Gi")
    """Compute resources."""


class PostgresSpec(Part):
    """Where tasks, accounts and results are kept; exactly one of managed and external."""

    rules = ONE_OF

    managed: ManagedPostgres | None = may_be_absent()
    """Run by the operator."""
    external: External | None = None
    """A database of PostgreSQL 15 or later. The role must be allowed to create tables in it."""


class RedisSpec(Part):
    """Where short-lived facts are kept; exactly one of managed and external."""

    rules = ONE_OF

    managed: ManagedRedis | None = may_be_absent()
    """Run by the operator."""
    external: External | None = None
    """A Redis 6 or later, or what speaks like it. Platforms that share one take different
    databases of it."""


class RabbitMQSpec(Part):
    """What tells workers that a task is due; exactly one of managed and external."""

    rules = ONE_OF

    managed: ManagedRabbitMQ | None = may_be_absent()
    """Run by the operator."""
    external: External | None = None
    """A RabbitMQ 3.10 or later. The user must be allowed to declare queues in the virtual host, of
    which each platform needs one of its own."""


_MANAGED: Any = {"default": {"managed": {}}}


class OrchestratorSpec(Part):
    """What should run. An empty spec is valid and starts everything."""

    version: str = Field(
        default=CURRENT_VERSION,
        pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$",
        max_length=64,
    )
    """What runs; the images of API and worker are derived from it."""
    images: Images = Field(default_factory=Images)
    """Images to use instead of the derived ones."""
    api: ApiSpec = Field(default_factory=ApiSpec)
    """The REST API."""
    edge: EdgeSpec = Field(default_factory=EdgeSpec)
    """The nginx in front of the API."""
    worker: WorkerSpec = Field(default_factory=WorkerSpec)
    """The workers that run tasks."""
    results: ResultsSpec = Field(default_factory=ResultsSpec)
    """The files that tasks leave."""
    postgres: PostgresSpec = Field(
        default_factory=lambda: PostgresSpec(managed=ManagedPostgres()), json_schema_extra=_MANAGED
    )
    """Where tasks, accounts and results are kept."""
    redis: RedisSpec = Field(
        default_factory=lambda: RedisSpec(managed=ManagedRedis()), json_schema_extra=_MANAGED
    )
    """Where short-lived facts are kept."""
    rabbitmq: RabbitMQSpec = Field(
        default_factory=lambda: RabbitMQSpec(managed=ManagedRabbitMQ()), json_schema_extra=_MANAGED
    )
    """What tells workers that a task is due."""
    monitoring: MonitoringSpec = Field(default_factory=MonitoringSpec)
    """How metrics are found."""
    network_policy: NetworkPolicyMode = NetworkPolicyMode.ENFORCED
    """Enforced: pods can reach each other only as they need. Disabled: no policies."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """What becomes of volumes and generated Secrets when this resource is deleted."""

    @property
    def has_broker_cluster(self) -> bool:
        """Whether RabbitMQ runs here on several nodes."""
        return self.rabbitmq.managed is not None and self.rabbitmq.managed.replicas > 1

    @property
    def external_stores(self) -> dict[str, External]:
        """Stores that somebody else runs, by component."""
        stores = {
            names.POSTGRES: self.postgres.external,
            names.REDIS: self.redis.external,
            names.RABBITMQ: self.rabbitmq.external,
        }
        return {name: external for name, external in stores.items() if external is not None}
