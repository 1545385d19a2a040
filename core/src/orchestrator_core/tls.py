"""What a client needs to know its servers by their certificates.

Before: settings name a file of authorities, or none.
After: connections to the stores and to mail servers are made with the context.
"""

import ssl
from pathlib import Path

from orchestrator_core.errors import SettingsError


def verifying_context(ca_file: Path | None, *, text: str | None = None) -> ssl.SSLContext:
    """Return a context that takes a server only with a valid certificate of its own name.

    Args:
        ca_file: the authorities to trust, in PEM.
        text: the same as text; without either, those of the system are trusted.

    Raises:
        SettingsError: the file or the text holds none.
    """
    try:
        return ssl.create_default_context(cafile=ca_file, cadata=text)
    except (OSError, TypeError) as error:
        # Errors of SSL are OSErrors; a TypeError is for text that is not ASCII.
        source = ca_file or "the text that was given"
        raise SettingsError(
            f"{source} should hold certificates of authorities in PEM, and does not: {error}"
        ) from error
