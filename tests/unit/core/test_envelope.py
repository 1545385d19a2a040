import pytest

from orchestrator_core.envelope import TaskEnvelope
from orchestrator_core.errors import NotAnEnvelopeError
from orchestrator_core.tasks import TaskId


def test_version_1_is_pinned_to_the_byte() -> None:
    assert TaskEnvelope(TaskId(17)).to_bytes() == b'{"v":1,"task_id":17}'


def test_what_was_encoded_is_decoded() -> None:
    envelope = TaskEnvelope(TaskId(2**62))

    assert TaskEnvelope.from_bytes(envelope.to_bytes()) == envelope


def test_a_later_field_of_version_1_is_no_obstacle() -> None:
    assert TaskEnvelope.from_bytes(b'{"v":1,"task_id":3,"more":[]}') == TaskEnvelope(TaskId(3))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"17",
        b"null",
        b"[]",
        b"{}",
        b'{"v":2,"task_id":17}',
        b'{"v":1}',
        b'{"v":1,"task_id":"17"}',
        b'{"v":1,"task_id":true}',
        b'{"v":1,"task_id":0}',
        b'{"v":1,"task_id":-4}',
        b'{"v":1,"task_id":1.5}',
        b"[" * 100_000,
    ],
)
def test_anything_else_is_no_envelope(body: bytes) -> None:
    with pytest.raises(NotAnEnvelopeError):
        TaskEnvelope.from_bytes(body)
