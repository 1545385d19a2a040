"""A migration that has failed for good is tried again, at a pace that hurts nobody.

The Job has retries of its own. When they are used up, the failed Job stays as
evidence for some minutes; then it is deleted, and the next pass makes a new one.
Whoever has mended the cause deletes it by hand and waits for nothing.

Before: ``reconciling`` sees a failed Job.
After: it is gone, or status says when it will be.
"""

from datetime import datetime, timedelta

from orchestrator_operator.applying import Cluster
from orchestrator_operator.conditions import from_timestamp, to_timestamp
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.workloads import failure_of

PAUSE = timedelta(minutes=5)


async def retry_migration(cluster: Cluster, job: Manifest | None, now: datetime) -> str:
    """Delete a Job that failed long enough ago; return when that will be, for people."""
    failed = failure_of(job)
    if job is None or failed is None or "deletionTimestamp" in job["metadata"]:
        return ""
    due = from_timestamp(failed["lastTransitionTime"]) + PAUSE
    if now >= due:
        await cluster.delete(job)
        return "it is tried again now"
    return f"it is tried again at {to_timestamp(due)}, or when the Job is deleted"
