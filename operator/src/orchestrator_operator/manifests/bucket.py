"""How the platform finds the bucket that results are kept in: settings, and secrets as files.

Before: ``spec.results.s3`` names a bucket and Secrets that the users own.
After: ``api``, which reads and deletes, and ``worker``, which puts, have these parts in their pods.
"""

from typing import Any

from orchestrator_operator.manifests.context import Context
from orchestrator_operator.manifests.pods import mount, secret_files

ROOT = "/etc/orchestrator-bucket"
VOLUME = "bucket"
ACCESS_KEY_ID, SECRET_ACCESS_KEY = LOGIN = ("accessKeyId", "secretAccessKey")
AUTHORITY = "ca.crt"


def bucket_environment(context: Context) -> dict[str, str | int]:
    """Return the variables about the bucket; none if no bucket is named."""
    s3 = context.spec.results.s3
    if s3 is None:
        return {}
    values: dict[str, str | int] = {
        "RESULTS_S3_BUCKET": s3.bucket,
        "RESULTS_S3_REGION": s3.region,
        "RESULTS_S3_PREFIX": s3.prefix,
        "RESULTS_S3_ACCESS_KEY_ID_FILE": f"{ROOT}/{ACCESS_KEY_ID}",
        "RESULTS_S3_SECRET_ACCESS_KEY_FILE": f"{ROOT}/{SECRET_ACCESS_KEY}",
    }
    if s3.endpoint is not None:
        values["RESULTS_S3_ENDPOINT"] = s3.endpoint
    if s3.ca_secret_ref is not None:
        values["RESULTS_S3_CA_FILE"] = f"{ROOT}/{AUTHORITY}"
    return values


def bucket_volumes(context: Context) -> list[dict[str, Any]]:
    """Return the volume with the secrets about the bucket; none if no bucket is named."""
    s3 = context.spec.results.s3
    if s3 is None:
        return []
    return secret_files(VOLUME, (s3.secret_ref, LOGIN), (s3.ca_secret_ref, (AUTHORITY,)))


def bucket_mounts(context: Context) -> list[dict[str, Any]]:
    """Return where that volume appears."""
    return [mount(VOLUME, ROOT, is_read_only=True)] if bucket_volumes(context) else []
