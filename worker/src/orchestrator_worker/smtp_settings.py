"""The mail server that tasks may send through.

Before: the operator, or a person, sets the environment.
After: ``builtin.mailing`` connects as it says; without a host there is no mail.
"""

import functools
from email.headerregistry import Address
from email.utils import parseaddr
from enum import StrEnum
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from orchestrator_core.settings import Port, Settings, read_settings


class Security(StrEnum):
    """How the connection to the mail server is protected."""

    NONE = "none"
    """Not at all: for servers beside us."""
    STARTTLS = "starttls"
    """Upgraded before anything is said; refused if the server can't."""
    TLS = "tls"
    """From the first byte."""


class SmtpSettings(Settings):
    """Where mail goes out."""

    host: str | None = Field(default=None, min_length=1, max_length=253, alias="SMTP_HOST")
    """None: no mail is sent here."""
    port: Port = Field(default=587, alias="SMTP_PORT")
    security: Security = Field(default=Security.STARTTLS, alias="SMTP_SECURITY")
    username: str | None = Field(default=None, alias="SMTP_USERNAME")
    password: SecretStr | None = Field(default=None, alias="SMTP_PASSWORD")
    sender: str = Field(default="orchestrator@localhost", alias="SMTP_FROM")
    """The one address that mails come from, with a name if wanted: ``Reports <r@example.com>``."""
    installation: str = Field(
        default="local", pattern=r"^[A-Za-z0-9-]{1,64}$", alias="ORCHESTRATOR_INSTALLATION"
    )
    """Tells this platform from others that send through the same server: task 7 of each has a
    Message-ID of its own."""
    ca_file: Path | None = Field(default=None, alias="SMTP_CA_FILE")
    """Authorities to trust instead of the system's."""

    @field_validator("sender")
    @classmethod
    def _require_address(cls, text: str) -> str:
        to_address(text)
        return text

    @property
    def address(self) -> Address:
        """Return the sender."""
        return to_address(self.sender)


def to_address(text: str) -> Address:
    """Return a mail address with its name, if it has one.

    Raises:
        ValueError: it is none.
    """
    name, spec = parseaddr(text)
    if not text.isprintable() or spec.count("@") != 1:
        raise ValueError("expected an address such as Reports <reports@example.com>")
    return Address(display_name=name, addr_spec=spec)


@functools.cache
def smtp_settings() -> SmtpSettings:
    """Read the settings once.

    Raises:
        SettingsError: they can't be right; says which.
    """
    return read_settings(SmtpSettings)
