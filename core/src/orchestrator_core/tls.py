"""What a client needs to know its servers by their certificates.

Before: settings name a file of authorities, or none.
After: connections to Postgres and RabbitMQ are made with the context.
"""

import ssl
from pathlib import Path

from orchestrator_core.errors import SettingsError


def verifying_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a context that takes a server only with a valid certificate of its own name.

    Args:
        ca_file: the authorities to trust, in PEM; None: those of the system.

    Raises:
        SettingsError: the file holds none.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"{ca_file} should hold certificates of authorities in PEM, and does not: {error}"
        ) from error
