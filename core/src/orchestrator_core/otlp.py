"""Spans as a collector takes them: the bytes of OTLP's ``ExportTraceServiceRequest``.

Written by hand, because a span that goes through the library's objects takes eight times as long
as everything else that is done for it. Numbers of fields: opentelemetry-proto 1, ``trace.proto``
and ``common.proto``; how they are written: protobuf.dev/programming-guides/encoding.

Before: ``recorded_span`` has ended.
After: ``span_exporter`` sends the bytes.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import SpanKind, Status, StatusCode

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from orchestrator_core.recorded_span import RecordedSpan

SCOPE = "orchestrator"
"""The name of what makes these spans."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""The wire types."""
_SMALL = tuple(bytes([number]) for number in range(0x80))
_INT64_MASK = (1 << 64) - 1

_HAS_IS_REMOTE, _IS_REMOTE = 0x100, 0x200
"""Of a span's flags: what they say of its parent."""


def _tag(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _varint(number: int) -> bytes:
    """Return a number that is not negative, seven bits a byte, the lowest first."""
    if number < 0x80:  # noqa: PLR2004 - one byte's worth
        return _SMALL[number]
    found = bytearray()
    while number >= 0x80:  # noqa: PLR2004
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _field(tag: bytes, content: bytes) -> bytes:
    return tag + _varint(len(content)) + content


def _text(tag: bytes, text: str) -> bytes:
    # Half a surrogate pair can't be written in UTF-8.
    return _field(tag, text.encode("utf-8", "replace"))


_RESOURCE_SPANS: Final = _tag(1, _BYTES)
_RESOURCE, _SCOPE_SPANS = _tag(1, _BYTES), _tag(2, _BYTES)
_RESOURCE_ATTRIBUTE: Final = _tag(1, _BYTES)
_SCOPE: Final = _field(_tag(1, _BYTES), _text(_tag(1, _BYTES), SCOPE))
_SPAN: Final = _tag(2, _BYTES)
_TRACE_ID: Final = _tag(1, _BYTES) + _varint(16)
_SPAN_ID: Final = _tag(2, _BYTES) + _varint(8)
_PARENT_ID: Final = _tag(4, _BYTES) + _varint(8)
_NAME, _ATTRIBUTE, _STATUS = _tag(5, _BYTES), _tag(9, _BYTES), _tag(15, _BYTES)
_KINDS: Final = {kind: _tag(6, _VARINT) + _varint(kind.value + 1) for kind in SpanKind}
_pack_times: Final = struct.Struct(f"<{len(_tag(7, _FIXED64))}sQ{len(_tag(8, _FIXED64))}sQ").pack
_START, _END = _tag(7, _FIXED64), _tag(8, _FIXED64)
_CHILD, _REMOTE_CHILD = (
    _tag(16, _FIXED32) + struct.pack("<I", flags)
    for flags in (_HAS_IS_REMOTE, _HAS_IS_REMOTE | _IS_REMOTE)
)
_KEY, _VALUE = _tag(1, _BYTES), _tag(2, _BYTES)
_STRING, _BOOL, _INT = _tag(1, _BYTES), _tag(2, _VARINT), _tag(3, _VARINT)
_DOUBLE, _ARRAY = _tag(4, _FIXED64), _tag(5, _BYTES)
_PAIRS, _RAW, _ELEMENT = _tag(6, _BYTES), _tag(7, _BYTES), _tag(1, _BYTES)
_STATUS_MESSAGE, _STATUS_CODE = _tag(2, _BYTES), _tag(3, _VARINT)
_UNSET: Final = _field(_STATUS, b"")


def encode_resource(attributes: "Mapping[str, AttributeValue]") -> bytes:
    """Return what all spans of a process have in common."""
    return b"".join(_attribute(_RESOURCE_ATTRIBUTE, *each) for each in attributes.items())


def encode_request(resource: bytes, spans: "Iterable[RecordedSpan]") -> bytes:
    """Return a request that brings ``spans`` to a collector.

    Args:
        resource: as ``encode_resource`` has it.
        spans: ended ones.
    """
    scope_spans = _SCOPE + b"".join([_field(_SPAN, _span(each)) for each in spans])
    return _field(_RESOURCE_SPANS, _field(_RESOURCE, resource) + _field(_SCOPE_SPANS, scope_spans))


def _span(span: "RecordedSpan") -> bytes:
    origin = span.origin
    parts = [
        *(_TRACE_ID, span.trace_id, _SPAN_ID, span.span_id),
        _text(_NAME, span.name),
        _KINDS[span.kind],
        _pack_times(_START, span.start_time, _END, span.end_time),
        *[_attribute(_ATTRIBUTE, *each) for each in span.attributes.items()],
        _status(span.status),
        _REMOTE_CHILD if origin and origin.is_remote else _CHILD,
    ]
    if origin:
        parts += (_PARENT_ID, origin.span_id)
    return b"".join(parts)


def _status(status: Status) -> bytes:
    if status.status_code is StatusCode.UNSET:
        return _UNSET
    message = _text(_STATUS_MESSAGE, status.description) if status.description else b""
    return _field(_STATUS, message + _STATUS_CODE + _varint(status.status_code.value))


def _attribute(tag: bytes, key: str, value: object) -> bytes:
    return _field(tag, _key(key) + _field(_VALUE, _any_value(value)))


@lru_cache(maxsize=1024)
def _key(key: str) -> bytes:
    return _text(_KEY, key)


def _any_value(value: object) -> bytes:
    # bool before int, which it is one of.
    match value:
        case str():
            return _text(_STRING, value)
        case bool():
            return _BOOL + _varint(value)
        case int():
            return _INT + _varint(value & _INT64_MASK)
        case float():
            return _DOUBLE + struct.pack("<d", value)
    return _rare_value(value)


def _rare_value(value: object) -> bytes:
    """Return what no span of ours has, but a handler may say of one."""
    match value:
        case bytes():
            return _field(_RAW, value)
        case None:
            return b""
        case Mapping():
            pairs = (_attribute(_ELEMENT, str(key), each) for key, each in value.items())
            return _field(_PAIRS, b"".join(pairs))
        case Sequence():
            parts = (_field(_ELEMENT, _any_value(each)) for each in value)
            return _field(_ARRAY, b"".join(parts))
    return _text(_STRING, str(value))
