"""A file of the largest size goes in and out, and the process hardly grows."""

import hashlib
from collections.abc import Iterator

import httpx
import pytest

from api_contract import sign_up
from served_api import ServedApi

PIECE = bytes(range(256)) * 4_096
PIECES = 100
"""Of 1 MiB: the largest file by default."""
MAX_GROWTH_BYTES = 16 << 20
"""2 MiB were seen; holding the file would be 100."""


def pieces() -> Iterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


@pytest.mark.parametrize("is_announced", [True, False], ids=["with its length", "in chunks"])
def test_a_file_of_the_largest_size_passes_with_bounded_memory(
    running_api: ServedApi, *, is_announced: bool
) -> None:
    expected = hashlib.sha256()
    for piece in pieces():
        expected.update(piece)
    length = {"Content-Length": str(PIECES * len(PIECE))} if is_announced else {}
    with httpx.Client(base_url=running_api.url, timeout=60) as client:
        user = sign_up(client)
        running_api.forget_peak()
        before = running_api.resident_bytes()

        uploaded = client.post(
            "/api/v1/files",
            params={"file_name": "large.jpg"},
            content=pieces(),
            headers={**user.headers, "Content-Type": "image/jpeg", **length},
        )
        downloaded = hashlib.sha256()
        with client.stream("GET", uploaded.headers["Location"], headers=user.headers) as answer:
            for piece in answer.iter_raw():
                downloaded.update(piece)

        growth_bytes = running_api.peak_bytes() - before
        client.delete(uploaded.headers["Location"], headers=user.headers)
    assert uploaded.status_code == 201
    assert uploaded.json()["sha256"] == expected.hexdigest() == downloaded.hexdigest()
    assert growth_bytes < MAX_GROWTH_BYTES
