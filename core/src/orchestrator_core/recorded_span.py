"""A span that is made for speed: a tenth of what the SDK's takes, without its limits and locks.

It belongs to one task of one event loop, and all that is put on it comes from here, so it needs
neither. Handlers and their libraries see it as any other span.

Before: ``spans`` begins one.
After: its end hands it to the queue of those that wait for the collector.
"""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from random import randbytes
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.util.types import Attributes

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_UNSET = Status(StatusCode.UNSET)
CURRENT: "ContextVar[RecordedSpan | None]" = ContextVar("orchestrator_span", default=None)
"""What happens now is a part of it. A variable of ours, because every statement asks it, traced or
not, and the SDK's context takes ten times as long."""


class Parent(NamedTuple):
    """What a child needs to know of its parent."""

    trace_id: bytes
    """16 of them."""
    span_id: bytes
    """8 of them."""
    is_remote: bool
    """Whether another process made it, or another request."""


class RecordedSpan(Span):
    """A span that is exported when it ends. As a context manager it is the current one inside.

    What the SDK's ``ReadableSpan`` has as well is named as there.
    """

    def __init__(
        self,
        name: str,
        parent: Parent | None,
        on_end: "Callable[[RecordedSpan], None]",
        *,
        kind: SpanKind,
        begun_ns: int | None = None,
    ) -> None:
        """Begin it, now or at ``begun_ns`` since the epoch; without a parent, with a new trace."""
        self.name = name
        self.origin = parent
        self.kind = kind
        self.trace_id = parent[0] if parent else randbytes(16)  # noqa: S311 - as the SDK's
        self.span_id = randbytes(8)  # noqa: S311 - as the SDK's
        self.start_time = begun_ns or time.time_ns()
        self.end_time = 0
        self.attributes: dict[str, AttributeValue] = {}
        self.status = _UNSET
        self._on_end = on_end
        self._context: SpanContext | None = None

    def __enter__(self) -> Self:
        self._token = CURRENT.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        CURRENT.reset(self._token)
        if isinstance(error, Exception):
            self.set_status(Status(StatusCode.ERROR, type(error).__name__))
        self.end()

    def end(self, end_time: int | None = None) -> None:
        """Export it; what is said of it afterwards is not heard, nor that it ends again."""
        if self.end_time:
            return
        self.end_time = end_time or time.time_ns()
        self._on_end(self)

    def as_parent(self) -> Parent:
        """Return what its children are made with."""
        return Parent(self.trace_id, self.span_id, is_remote=False)

    def get_span_context(self) -> SpanContext:
        """Return what spans of others, its children, are made with."""
        return self.context

    @property
    def context(self) -> SpanContext:
        """Return the same under the SDK's name."""
        if self._context is None:
            self._context = _to_span_context(self.as_parent())
        return self._context

    @property
    def parent(self) -> SpanContext | None:
        """Return what it was made with, if anything."""
        return _to_span_context(self.origin) if self.origin else None

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self.end_time == 0

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Say something of it."""
        self.attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Say several things of it."""
        self.attributes.update(attributes)

    def update_name(self, name: str) -> None:
        """Give it another name."""
        self.name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went."""
        self.status = status if isinstance(status, Status) else Status(status, description)

    def add_event(
        self, name: str, attributes: "Attributes" = None, timestamp: int | None = None
    ) -> None:
        """Take no notice: nothing here makes events, and errors are told as a status."""

    def record_exception(
        self,
        exception: BaseException,
        attributes: "Attributes" = None,  # noqa: ARG002 - these are the interface's
        timestamp: int | None = None,  # noqa: ARG002
        escaped: bool = False,  # noqa: ARG002, FBT001, FBT002
    ) -> None:
        """Say that it failed; a stack trace may hold what is not for a collector."""
        self.set_status(Status(StatusCode.ERROR, type(exception).__name__))


def _to_span_context(parent: Parent) -> SpanContext:
    return SpanContext(
        int.from_bytes(parent.trace_id),
        int.from_bytes(parent.span_id),
        is_remote=parent.is_remote,
        trace_flags=_SAMPLED,
    )
