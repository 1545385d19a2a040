"""What Schemathesis can't know from the document; each with its reason.

Before: ``test_schemathesis`` names this file in its configuration.
After: its generated requests stay within what JSON Schema can't say.
"""

from datetime import UTC, datetime, timedelta

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.hooks import HookContext
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
LAST = datetime.now(tz=UTC) + timedelta(days=365)

# "run_at" lies at most 366 days ahead, and a schema can't count from today.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None)).map(
        lambda moment: moment.isoformat() + "Z"
    ),
)

EXPECTED = {
    # The generator draws the same key for different bodies; that this is refused is the promise.
    (RejectedPositiveData, "urn:orchestrator:problem:idempotency_key_reused"),
    # A task has its result when it has run, which nothing in here does.
    (EnsureResourceAvailability, "urn:orchestrator:problem:no_result"),
}
"""What a check reports and the problem that was answered, where both are right."""


@schemathesis.hook
def filter_failure(_: HookContext, failure: Failure, __: object, response: Response) -> bool:
    """Return whether ``failure`` is one."""
    if response.headers.get("content-type") != ["application/problem+json"]:
        return True
    return (type(failure), response.json().get("type")) not in EXPECTED
