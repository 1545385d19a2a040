"""A wish becomes a task: everything it will ever need, settled once and for all.

Before: ``SubmitTask`` as a client sent it; the type as workers published it.
After: ``NewTask``, ready to be kept; nothing is looked up or guessed later.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from orchestrator_api.errors import FieldFault, InvalidRequestError
from orchestrator_api.tasks.catalogue import KnownType
from orchestrator_api.tasks.schemas import MAX_DAYS_AHEAD, SubmitTask
from orchestrator_core.tasks import NewTask, TaskPriority, UserId


def understand(
    wish: SubmitTask, known: KnownType, *, user_id: UserId, trace_context: str, now: datetime
) -> NewTask:
    """Return the task that ``wish`` asks for.

    Raises:
        InvalidRequestError: names each field that does not fit the type.
    """
    faults = [*_find_limit_faults(wish, known, now=now), *known.find_faults(wish.payload)]
    if faults:
        raise InvalidRequestError(faults)
    return NewTask(
        user_id=user_id,
        task_type=known.published.name,
        payload=_to_text(wish),
        max_attempts=wish.max_attempts or known.published.max_attempts,
        timeout_seconds=wish.timeout_seconds or known.published.timeout_seconds,
        trace_context=trace_context,
        priority=TaskPriority[wish.priority],
        run_at=wish.run_at,
    )


def _find_limit_faults(
    wish: SubmitTask, known: KnownType, *, now: datetime
) -> Iterator[FieldFault]:
    limits = known.published
    if wish.max_attempts is not None and wish.max_attempts > limits.max_attempts:
        yield FieldFault("max_attempts", f"{limits.name} allows at most {limits.max_attempts}")
    if wish.timeout_seconds is not None and wish.timeout_seconds > limits.timeout_seconds:
        yield FieldFault(
            "timeout_seconds", f"{limits.name} allows at most {limits.timeout_seconds}"
        )
    if wish.run_at is not None and wish.run_at > now + timedelta(days=MAX_DAYS_AHEAD):
        yield FieldFault("run_at", f"expected a time at most {MAX_DAYS_AHEAD} days ahead")


def _to_text(wish: SubmitTask) -> str:
    try:
        return json.dumps(wish.payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        # 1e999 is JSON, but no number that anybody could store.
        raise InvalidRequestError([FieldFault("payload", "holds a number out of range")]) from None
