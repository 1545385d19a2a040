import pamqp.frame
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from orchestrator_core.amqp.bulk import marshal_all

BODIES = st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5)
TAGS = st.integers(min_value=1, max_value=2**63)


@given(BODIES, TAGS, st.integers(min_value=1, max_value=65_535))
def test_the_bytes_are_those_that_the_library_would_send(
    bodies: list[bytes], first: int, channel: int
) -> None:
    tags = range(first, first + len(bodies))

    sent = marshal_all(bodies, tags, channel_number=channel, routing_key="task.created")

    expected = b""
    for tag, body in zip(tags, bodies, strict=True):
        properties = Basic.Properties(
            content_type="application/json", delivery_mode=2, message_id=str(tag)
        )
        for frame in (
            Basic.Publish(exchange="", routing_key="task.created", mandatory=True),
            ContentHeader(body_size=len(body), properties=properties),
            ContentBody(body),
        ):
            expected += pamqp.frame.marshal(frame, channel)
    assert sent == expected
