"""The tap's division of a stream, against frames that the client library itself made."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from orchestrator_core.amqp.tap import Delivery, DeliveryScanner, TapFactory, TappedReader

OURS = 1


@dataclass(frozen=True)
class Part:
    """Some frames that come without a break, and which delivery they make."""

    frames: bytes
    delivery: Delivery | None = None


def marshal(frame: Frame | ContentHeader | ContentBody | Heartbeat, channel: int = OURS) -> bytes:
    return pamqp.frame.marshal(frame, channel)


def announce(tag: int, channel: int = OURS) -> bytes:
    frame = Basic.Deliver("ctag1.of-us", tag, redelivered=False, routing_key="task.created")
    return marshal(frame, channel)


def deliver(tag: int, body: bytes, *, channel: int = OURS, frame_bytes: int = 16) -> Part:
    bodies = [body[at : at + frame_bytes] for at in range(0, len(body), frame_bytes)]
    return Part(
        announce(tag, channel)
        + marshal(ContentHeader(body_size=len(body), properties=Basic.Properties()), channel)
        + b"".join(marshal(ContentBody(each), channel) for each in bodies),
        Delivery(tag, body) if channel == OURS else None,
    )


TAGS = st.integers(min_value=1, max_value=2**63 - 1)
DELIVERIES = st.builds(deliver, TAGS, st.binary(max_size=50))
OTHERS = st.one_of(
    st.builds(deliver, TAGS, st.binary(max_size=20), channel=st.just(2)),
    st.just(Part(marshal(Heartbeat(), 0))),
    st.just(Part(marshal(Basic.ConsumeOk("ctag1.of-us")))),
    st.just(Part(marshal(Channel.Close(404, "NOT_FOUND", 0, 0)))),
    st.just(Part(marshal(Basic.Return(312, "NO_ROUTE", "", "task.created")))),
)


@given(st.lists(st.one_of(DELIVERIES, OTHERS), max_size=8), st.integers(1, 40))
def test_however_the_stream_is_cut_deliveries_come_out_and_the_rest_goes_on(
    parts: Sequence[Part], piece_bytes: int
) -> None:
    stream = b"".join(part.frames for part in parts)
    scanner = DeliveryScanner(OURS)

    found = [
        scanner.scan(stream[at : at + piece_bytes]) for at in range(0, len(stream), piece_bytes)
    ]

    assert [each for some, _ in found for each in some] == [
        part.delivery for part in parts if part.delivery
    ]
    assert b"".join(rest for _, rest in found) == b"".join(
        part.frames for part in parts if part.delivery is None
    )


def test_a_heartbeat_between_the_frames_of_a_delivery_stays_whole() -> None:
    part, heartbeat = deliver(7, b"body"), marshal(Heartbeat(), 0)
    method_bytes = len(announce(7))

    deliveries, rest = DeliveryScanner(OURS).scan(
        part.frames[:method_bytes] + heartbeat + part.frames[method_bytes:]
    )

    assert deliveries == [Delivery(7, b"body")]
    assert rest == heartbeat


def test_what_is_no_frame_is_left_to_the_library() -> None:
    broken = bytearray(deliver(1, b"body").frames)
    broken[len(announce(1)) - 1] = 0

    deliveries, rest = DeliveryScanner(OURS).scan(bytes(broken))

    assert deliveries == []
    assert rest == bytes(broken)


async def test_the_library_sees_a_sign_of_life_when_nothing_but_deliveries_comes() -> None:
    taken: list[Delivery] = []
    reader = TappedReader(loop=asyncio.get_running_loop())
    reader.tap(OURS, taken.extend)

    reader.feed_data(deliver(1, b"a").frames)
    reader.feed_data(deliver(2, b"b").frames)

    assert taken == [Delivery(1, b"a"), Delivery(2, b"b")]
    assert await reader.read(1000) == marshal(Heartbeat(), 0)


async def test_before_it_is_tapped_a_reader_hides_nothing() -> None:
    reader = TappedReader(loop=asyncio.get_running_loop())

    reader.feed_data(deliver(1, b"a").frames)

    assert await reader.read(1000) == deliver(1, b"a").frames


def test_a_factory_that_opened_nothing_has_no_reader() -> None:
    with pytest.raises(RuntimeError, match="no connection was opened"):
        TapFactory().opened()
