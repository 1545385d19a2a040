"""What Schemathesis can't know from the document; each with its reason.

Before: ``test_schemathesis`` names this file in its configuration.
After: its generated requests stay within what JSON Schema can't say.
"""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

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
    # A task has its result when it has run, which nothing in here does.
    (EnsureResourceAvailability, "no_result", None),
    # Only the file itself says which parts it has.
    (RejectedPositiveData, "range_not_satisfiable", None),
    # Only the task's history says which of its events have happened.
    (RejectedPositiveData, "invalid_request", "Last-Event-ID"),
}
"""What a check reports, and the problem and its only field, where both are right."""


KEY = "Idempotency-Key"
VISIBLE = re.compile(r"[!-~]{1,255}")
LONGEST_WAIT_SECONDS = 1
MAX_WAIT_SECONDS = 60


@schemathesis.hook
def filter_failure(_: HookContext, failure: Failure, case: Any, response: Response) -> bool:
    """Return whether ``failure`` is one."""
    if response.headers.get("content-type") != ["application/problem+json"]:
        return True
    if not response.content:
        # HEAD tells no code; what it looks for can only be the result that is not there yet.
        is_result = case.operation.path.endswith("/result")
        return not (is_result and isinstance(failure, EnsureResourceAvailability))
    problem = response.json()
    code = problem["type"].removeprefix("urn:orchestrator:problem:")
    fields = {fault["field"] for fault in problem.get("errors", ())}
    field = fields.pop() if len(fields) == 1 else None
    return (type(failure), code, field) not in EXPECTED


@schemathesis.hook
def before_call(_: HookContext, case: Any, __: dict[str, Any]) -> None:
    """Change what would only cost time, or keep all bodies but the first from being read."""
    wait = str((case.query or {}).get("wait", ""))
    if wait.isdecimal() and LONGEST_WAIT_SECONDS < int(wait) <= MAX_WAIT_SECONDS:
        # A long poll of a minute shows no more than one of a second.
        case.query["wait"] = 0
    key = (case.headers or {}).get(KEY, "")
    if VISIBLE.fullmatch(key):
        # The generator draws few keys for many bodies, and a key is good for one.
        case.headers[KEY] = f"{key[:200]}-{uuid.uuid4().hex}"
