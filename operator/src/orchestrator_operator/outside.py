"""What workers may reach outside the platform: a mail server, files of the internet.

Before: users write ``spec.worker.smtp`` and ``spec.worker.sourceUrls``.
After: ``manifests.mail`` and ``manifests.network`` turn them into settings, mounts and policies.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from orchestrator_operator.rules import Part, Rule

ObjectName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253),
]


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
