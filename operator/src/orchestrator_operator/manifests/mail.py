"""How workers find the mail server: settings, and its secrets as files.

Before: ``spec.worker.smtp`` names a server and Secrets that the users own.
After: ``worker`` puts these parts into its pods.
"""

from typing import Any

from orchestrator_operator.manifests.context import Context
from orchestrator_operator.manifests.pods import mount, secret_files

ROOT = "/etc/orchestrator-mail"
VOLUME = "mail"
LOGIN = ("username", "password")
AUTHORITY = "ca.crt"


def mail_environment(context: Context) -> dict[str, str | int]:
    """Return the variables about mail; none if no server is named."""
    smtp = context.spec.worker.smtp
    if smtp is None:
        return {}
    values: dict[str, str | int] = {
        "SMTP_HOST": smtp.host,
        "SMTP_PORT": smtp.port,
        "SMTP_SECURITY": smtp.security.lower(),
        "SMTP_FROM": smtp.from_,
        # Part of each Message-ID: numbers of tasks begin anew on each platform.
        "ORCHESTRATOR_INSTALLATION": context.uid,
    }
    if smtp.secret_ref is not None:
        values |= {f"SMTP_{key.upper()}_FILE": f"{ROOT}/{key}" for key in LOGIN}
    if smtp.ca_secret_ref is not None:
        values["SMTP_CA_FILE"] = f"{ROOT}/{AUTHORITY}"
    return values


def mail_volumes(context: Context) -> list[dict[str, Any]]:
    """Return the volume with the secrets about mail; none if there are none."""
    smtp = context.spec.worker.smtp
    if smtp is None:
        return []
    return secret_files(VOLUME, (smtp.secret_ref, LOGIN), (smtp.ca_secret_ref, (AUTHORITY,)))


def mail_mounts(context: Context) -> list[dict[str, Any]]:
    """Return where that volume appears."""
    return [mount(VOLUME, ROOT, is_read_only=True)] if mail_volumes(context) else []
