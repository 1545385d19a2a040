"""What a handler's end means for its task: pure decisions, without a clock or a store.

The same rules hold on the event loop and in a child process.

Before: a handler returned or raised.
After: ``executing`` or ``children`` hands the ``Ending`` on.
"""

import math
from random import Random

from pydantic import BaseModel, ValidationError

from orchestrator_core.attempts import (
    Ending,
    Failed,
    ResultFile,
    ResultOnDisk,
    RetryAfter,
    Returned,
)
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.handlers import GiveUpError, Handler, RetryLaterError
from orchestrator_core.retries import retry_delay_seconds
from orchestrator_core.tasks import ErrorCode

LONGEST_RETRY_SECONDS = 24 * 3600.0
"""A handler may ask for any wait; a day is the longest that it gets."""

UNKNOWN_TYPE_SECONDS = 30.0
"""During a rollout another worker knows the type. Five attempts of 30 s outlast most rollouts,
and a type that nobody serves still ends."""

_MEGABYTE = 1024 * 1024


class InvalidPayloadError(Exception):
    """The payload does not fit the type's model; trying again can't help."""


def parse_payload(handler: Handler, text: str) -> BaseModel:
    """Return the payload as the handler's model.

    Raises:
        InvalidPayloadError: names the fields that are wrong, never their values.
    """
    try:
        return handler.payload.model_validate_json(text)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'payload'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)[:5]
        )
        raise InvalidPayloadError(f"the payload does not fit the task type: {faults}") from None


def is_expected(error: BaseException) -> bool:
    """Whether an error is an answer rather than a fault that its author wants to see."""
    answers = (
        GiveUpError,
        RetryLaterError,
        InvalidPayloadError,
        MemoryError,
        StoreUnavailableError,
    )
    return isinstance(error, answers)


def ending_of_return(returned: object, *, max_result_bytes: int) -> Ending:
    """Judge what a handler returned, without reading it."""
    match returned:
        case ResultFile() | ResultOnDisk():
            try:
                size_bytes = returned.size_bytes
            except OSError as error:
                return Failed(ErrorCode.HANDLER_ERROR, f"the result is not there: {error.strerror}")
        case _:
            return Failed(
                ErrorCode.HANDLER_ERROR,
                f"the handler returned {type(returned).__name__}; expected a ResultFile",
            )
    if size_bytes > max_result_bytes:
        return Failed(
            ErrorCode.RESULT_TOO_LARGE,
            f"the result takes {_megabytes(size_bytes)} MB; at most"
            f" {_megabytes(max_result_bytes)} MB can be kept: ask for a smaller result",
        )
    return Returned(returned)


def ending_of_error(error: BaseException, *, attempt: int, chance: Random) -> Failed | RetryAfter:
    """Judge what a handler raised.

    Args:
        error: anything, ``SystemExit`` included.
        attempt: 1 for the first; later ones wait longer.
        chance: of the retry's delay.
    """
    match error:
        case InvalidPayloadError():
            return Failed(ErrorCode.INVALID_PAYLOAD, str(error))
        case GiveUpError(code=code):
            return Failed(code, str(error) or "the handler gave up")
        case StoreUnavailableError(store=store):
            # A reason to try again, but no fault of the handler.
            delay = retry_delay_seconds(attempt, chance=chance)
            return RetryAfter(None, f"{store} did not answer", delay)
        case RetryLaterError(message=message, delay_seconds=asked):
            return RetryAfter(None, message, _bounded(asked))
        case MemoryError():
            return out_of_memory(attempt=attempt, chance=chance)
        case _:
            delay = retry_delay_seconds(attempt, chance=chance)
            return RetryAfter(ErrorCode.HANDLER_ERROR, _sentence(error), delay)


def unknown_type(task_type: str) -> RetryAfter:
    """Leave a type that this image does not know to a worker that does."""
    return RetryAfter(
        None,
        f"the worker that took the task does not know the type {task_type!r}",
        UNKNOWN_TYPE_SECONDS,
    )


def timed_out(timeout_seconds: float, *, attempt: int, chance: Random) -> RetryAfter:
    """End an attempt that took too long."""
    return RetryAfter(
        ErrorCode.TIMEOUT,
        f"the attempt took longer than {timeout_seconds:g} s and was stopped",
        retry_delay_seconds(attempt, chance=chance),
    )


def child_lost(exit_code: int | None, *, attempt: int, chance: Random) -> RetryAfter:
    """End an attempt whose process died."""
    return RetryAfter(
        ErrorCode.WORKER_LOST,
        f"the process of the attempt ended by itself ({_ending(exit_code)})",
        retry_delay_seconds(attempt, chance=chance),
    )


def out_of_memory(*, attempt: int, chance: Random) -> RetryAfter:
    """End an attempt that passed its memory limit."""
    return RetryAfter(
        ErrorCode.OUT_OF_MEMORY,
        "the attempt needed more memory than its task type allows",
        retry_delay_seconds(attempt, chance=chance),
    )


def _bounded(asked_seconds: float) -> float:
    if math.isnan(asked_seconds):
        return 0.0
    return min(max(asked_seconds, 0.0), LONGEST_RETRY_SECONDS)


def _sentence(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "nobody saw how"
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / _MEGABYTE:.1f}"
