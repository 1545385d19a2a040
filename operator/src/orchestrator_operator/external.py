"""Stores that somebody else runs: what a resource says of them.

Before: users write ``spec.postgres.external`` and the like.
After: ``bindings`` read the Secret that is named.
"""

from enum import StrEnum
from typing import Any

from pydantic import Field

from orchestrator_operator.outside import SecretReference
from orchestrator_operator.rules import Part, Rule


class StoreTls(StrEnum):
    """How connections to a store are protected."""

    VERIFIED = "Verified"
    DISABLED = "Disabled"


class External(Part):
    """A store that the operator does not run."""

    secret_ref: SecretReference
    """A Secret as the Service Binding specification has it: host, port, username, password,
    database (RabbitMQ: virtual-host) and ca.crt, the authorities to trust instead of the usual
    ones; what is left out is taken from uri. A change of it restarts the pods."""
    tls: StoreTls = StoreTls.VERIFIED
    """Verified: encrypted, with a certificate that is valid for the store's name. Disabled: for a
    store beside the pods."""


def may_be_absent() -> Any:  # noqa: ANN401 - a pydantic default
    """Return the default of a part whose absence says something."""
    return Field(default=None, json_schema_extra={"x-absence-says-something": True})


ONE_OF = (
    Rule(
        cel="has(self.managed) != has(self.external)",
        message="set exactly one of managed and external",
        holds=lambda store: (store.managed is None) != (store.external is None),
    ),
    Rule(
        cel="has(self.managed) == has(oldSelf.managed)",
        message="managed and external can't be exchanged: what the one holds, the other lacks;"
        " make a new resource and move the data",
    ),
)
"""Of a store."""
