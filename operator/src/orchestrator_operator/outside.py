"""The platform and the world: whom it may reach there, and by which name it is reached.

Before: users write ``spec.results.s3``, ``spec.worker.smtp``, ``spec.worker.sourceUrls`` and
``spec.edge.ingress``.
After: ``manifests.bucket``, ``manifests.mail`` and ``manifests.network`` turn them into settings,
mounts and policies, ``manifests.ingress`` into an Ingress.
"""

import re
from enum import StrEnum
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints

from orchestrator_operator.rules import Part, Rule

ObjectName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253),
]


Entries = Annotated[
    dict[str, Annotated[str, StringConstraints(max_length=4096)]], Field(max_length=32)
]
NetworkBlock = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$", min_length=3, max_length=43),
    Field(description="An address with the length of a prefix, such as 10.0.0.0/16."),
]


def is_network_block(text: str) -> bool:
    """Whether a text is an address with the length of a prefix."""
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
ENDPOINT = f"^https?://[A-Za-z0-9][A-Za-z0-9.-]*(:({_PORT}))?/?$"


def port_of(endpoint: str) -> int:
    """Return where an endpoint listens, which may go without saying."""
    address = urlsplit(endpoint)
    return address.port or (80 if address.scheme == "http" else 443)


class SourceUrls(StrEnum):
    """Whether tasks may name their inputs by URLs."""

    DISABLED = "Disabled"
    ENABLED = "Enabled"


class SmtpSecurity(StrEnum):
    """How the connection to the mail server is protected."""

    NONE = "None"
    STARTTLS = "STARTTLS"
    TLS = "TLS"


class SecretReference(Part):
    """A Secret in the same namespace."""

    name: ObjectName
    """Its name."""


class IngressSpec(Part):
    """A name by which clients outside the cluster reach the edge.

    The controller's own limits of bodies, times and buffers are set by annotations; event streams
    must not be buffered.
    """

    host: Annotated[
        str,
        StringConstraints(
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
        ),
    ] = Field(min_length=1, max_length=253)
    """The name: tasks.example.com."""
    class_name: ObjectName | None = None
    """Which controller serves it; left out, the cluster's default."""
    tls_secret_ref: SecretReference | None = None
    """A Secret with the keys tls.crt and tls.key, which cert-manager may write."""
    annotations: Entries | None = None
    """What the controller, or one of certificates, is told."""


class SmtpSpec(Part):
    """The mail server that tasks send through. Workers read it at their start."""

    rules = (
        Rule(
            cel="!has(self.secretRef) || self.security != 'None'",
            message="a user name and password are not sent over an unprotected connection: set"
            " security to STARTTLS or TLS, or leave secretRef out",
            field="security",
            holds=lambda smtp: smtp.secret_ref is None or smtp.security is not SmtpSecurity.NONE,
        ),
    )

    host: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:-]+$")] = Field(
        min_length=1, max_length=253
    )
    """Its name or address."""
    port: int = Field(default=587, ge=1, le=65535)
    """Its port; network policies let the workers out to this port."""
    security: SmtpSecurity = SmtpSecurity.STARTTLS
    """STARTTLS: upgraded before anything is said. TLS: from the first byte. None: for a server
    beside the workers."""
    from_: str = Field(alias="from", min_length=3, max_length=320, pattern=r"^[^\r\n]+@[^\r\n]+$")
    """The address that mails come from, with a name if wanted: Reports <reports@example.com>."""
    secret_ref: SecretReference | None = None
    """A Secret with the keys username and password."""
    ca_secret_ref: SecretReference | None = None
    """A Secret whose key ca.crt holds the authorities to trust, instead of the usual ones."""


class PodMonitors(StrEnum):
    """Whether PodMonitors are made."""

    AUTO = "Auto"
    DISABLED = "Disabled"


class TracingSpec(Part):
    """A collector of traces. API and workers send it the spans of the tasks that are sampled."""

    rules = (
        Rule(
            cel=f"self.endpoint.matches('{ENDPOINT}')",
            message="endpoint must be http:// or https:// with a host and, if it is not the usual"
            " one, a port: http://collector.monitoring:4318",
            field="endpoint",
            holds=lambda tracing: bool(re.match(ENDPOINT, tracing.endpoint)),
        ),
    )

    endpoint: str = Field(max_length=300)
    """Where it takes OTLP over HTTP: http://collector.monitoring:4318. Network policies let API and
    workers out to this port."""
    sampling_percent: int = Field(default=10, ge=0, le=100)
    """Of requests that bring no traceparent, how many are traced. Those that do bring the decision
    as well."""

    @property
    def port(self) -> int:
        """Where the collector listens."""
        return port_of(self.endpoint)


class MonitoringSpec(Part):
    """Who reads the metrics, and who takes the traces."""

    pod_monitors: PodMonitors = PodMonitors.AUTO
    """Auto: a PodMonitor for each part that serves metrics, where the cluster has that kind, as one
    with the Prometheus operator does. Namespaces that read them are labelled
    taskorchestrator.dev/monitoring: allowed."""
    tracing: TracingSpec | None = None
    """Left out, nothing is traced."""


class S3Spec(Part):
    """A bucket that results are kept in. Pods read its Secrets at their start.

    Each result's row says which key it has, so results from before stay where they are. Another
    bucket has to get the objects of the one before, or those results answer 503.
    """

    rules = (
        Rule(
            cel=f"!has(self.endpoint) || self.endpoint.matches('{ENDPOINT}')",
            message="endpoint must be http:// or https:// with a host and, if it is not the usual"
            " one, a port: https://s3.example.com:9000",
            field="endpoint",
            holds=lambda s3: s3.endpoint is None or bool(re.match(ENDPOINT, s3.endpoint)),
        ),
    )

    bucket: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")] = Field(
        min_length=3, max_length=255
    )
    """Its name. Have it end unfinished uploads by a lifecycle rule; all else goes by itself."""
    endpoint: str | None = Field(default=None, max_length=300)
    """Where the bucket is: https://s3.example.com:9000. Left out, it is at AWS."""
    region: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")] = Field(
        default="us-east-1", min_length=1, max_length=64
    )
    """Its region; servers of other makers mostly take any."""
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!_.*'()/-]*$")] = Field(
        default="", max_length=512
    )
    """Before every key, so that platforms can share a bucket."""
    secret_ref: SecretReference
    """A Secret with the keys accessKeyId and secretAccessKey. They must allow to put, to get and to
    delete objects, and to abort uploads."""
    ca_secret_ref: SecretReference | None = None
    """A Secret whose key ca.crt holds authorities to trust beside the usual ones."""

    @property
    def port(self) -> int:
        """Where the endpoint listens; network policies let pods out to this port."""
        return port_of(self.endpoint or "https://")
