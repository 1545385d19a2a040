"""An example of a package of one's own task types; also what the tests run.

Two kinds of handlers: ``async`` ones run on the worker's event loop, plain ones
in a child process with a time limit and a memory limit.

Before: ``pip install`` beside the worker; the entry point in ``pyproject.toml`` names ``handlers``.
After: the worker publishes and runs these types like its own.
"""

import asyncio
import os
import signal
import time
from collections import deque
from itertools import repeat

from pydantic import Field

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import HandlerGroup, Payload, TaskContext

handlers = HandlerGroup()

ONE_DAY_SECONDS = 86_400
REPORT_EVERY_SECONDS = 0.1
"""More often than anybody looks, so that a test need not wait for it."""


class Sleep(Payload):
    """How long to do nothing."""

    seconds: float = Field(default=1.0, ge=0, le=ONE_DAY_SECONDS)


class Fail(Payload):
    """How often to fail before it works."""

    times: int = Field(default=1, ge=0, le=1000)


class Crash(Payload):
    """Which signal the process sends to itself."""

    signal: int = Field(default=int(signal.SIGKILL), ge=1, le=64)


class Nothing(Payload):
    """No fields."""


class Allocate(Payload):
    """How much memory to fill."""

    bytes: int = Field(default=64 * 1024 * 1024, ge=0, le=1 << 40)


@handlers.register("demo_sleep", payload=Sleep, timeout_seconds=900)
async def sleep(payload: Sleep, context: TaskContext) -> ResultFile:
    """Wait; takes a slot but no processor."""
    until = time.monotonic() + payload.seconds
    while (left_seconds := until - time.monotonic()) > 0:
        _report(context, left_seconds, payload.seconds)
        await asyncio.sleep(min(left_seconds, REPORT_EVERY_SECONDS))
    return _text(f"slept for {payload.seconds:g} s")


@handlers.register("demo_block", payload=Sleep, timeout_seconds=900)
async def block(payload: Sleep, _: TaskContext) -> ResultFile:
    """Stop the worker's event loop, as an async handler must not."""
    time.sleep(payload.seconds)  # noqa: ASYNC251 - the mistake that this type is about
    return _text(f"blocked for {payload.seconds:g} s")


@handlers.register("demo_fail", payload=Fail)
async def fail(payload: Fail, context: TaskContext) -> ResultFile:
    """Raise in the first attempts, then succeed."""
    if context.attempt <= payload.times:
        raise RuntimeError(f"attempt {context.attempt} fails, as asked")
    return _text(f"succeeded in attempt {context.attempt}")


@handlers.register("demo_crash", payload=Crash)
def crash(payload: Crash, context: TaskContext) -> ResultFile:
    """Kill the process that runs this attempt."""
    os.kill(os.getpid(), payload.signal)
    return _text(f"signal {payload.signal} did no harm in attempt {context.attempt}")


@handlers.register("demo_spin", payload=Sleep, timeout_seconds=900)
def spin(payload: Sleep, context: TaskContext) -> ResultFile:
    """Keep a processor busy."""
    now = report_at = time.monotonic()
    until = now + payload.seconds
    turns = 0
    while now < until:
        if now >= report_at:
            _report(context, until - now, payload.seconds)
            report_at = now + REPORT_EVERY_SECONDS
        turns += 1
        now = time.monotonic()
    return _text(f"spun {turns} times in {payload.seconds:g} s")


@handlers.register("demo_hang", payload=Nothing, timeout_seconds=900)
def hang(_: Nothing, __: TaskContext) -> ResultFile:
    """Never come back from C, where no signal is looked at; only the time limit ends it."""
    deque(repeat(None), maxlen=0)
    raise AssertionError("an endless loop has ended")


@handlers.register("demo_allocate", payload=Allocate, memory_bytes=512 * 1024 * 1024)
def allocate(payload: Allocate, _: TaskContext) -> ResultFile:
    """Fill memory; more than half a gigabyte ends the attempt."""
    filled = b"\x01" * payload.bytes
    return _text(f"filled {len(filled)} bytes")


def _report(context: TaskContext, left_seconds: float, seconds: float) -> None:
    context.report(1 - left_seconds / seconds, f"{left_seconds:.1f} s left")


def _text(sentence: str) -> ResultFile:
    return ResultFile(
        content=f"{sentence}\n".encode(), content_type="text/plain", file_name="demo.txt"
    )
