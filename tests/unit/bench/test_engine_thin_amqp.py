import pamqp.commands as amqp
import pamqp.frame

from tests.bench.engine.thin_amqp import scan

DELIVERY = pamqp.frame.marshal(
    amqp.Basic.Deliver("consumer", 1, exchange="", routing_key="queue"), 1
)
OTHER = pamqp.frame.marshal(amqp.Basic.QosOk(), 1)


def test_deliveries_are_counted_among_other_frames() -> None:
    assert scan(OTHER + DELIVERY + OTHER + DELIVERY, 5) == (b"", 7)


def test_a_frame_that_has_not_arrived_in_full_waits() -> None:
    assert scan(DELIVERY + DELIVERY[:-1], 0) == (DELIVERY[:-1], 1)
    assert scan(DELIVERY[:3], 0) == (DELIVERY[:3], 0)
