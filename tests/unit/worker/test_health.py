"""The kubelet gets an answer, and nonsense gets one too."""

import asyncio
import socket

import pytest

from orchestrator_worker.health import answer_to, serving_health

CHECKS = {"/livez": lambda: None, "/readyz": lambda: "draining"}


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /readyz HTTP/1.1\r\n\r\n", 503),
        (b"GET /other HTTP/1.1\r\n\r\n", 404),
        (b"POST /livez HTTP/1.1\r\n\r\n", 404),
        (b"\xff\xfe\r\n\r\n", 404),
        (b"", 404),
    ],
)
def test_each_request_has_its_status(head: bytes, status: int) -> None:
    assert status_of(answer_to(head, CHECKS)) == status


def test_what_is_wrong_is_said_in_a_sentence() -> None:
    assert answer_to(b"GET /readyz HTTP/1.1\r\n\r\n", CHECKS).endswith(b"\r\n\r\ndraining\n")


async def test_a_request_without_end_harms_nobody() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])

    async with serving_health(port, CHECKS):
        _, endless = await asyncio.open_connection("127.0.0.1", port)
        endless.write(b"x" * 100_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\n\r\n")
        answer = await reader.read()
        for each in (endless, writer):
            each.close()

    assert status_of(answer) == 200
