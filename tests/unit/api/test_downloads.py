"""A result as a download that no browser will ever run."""

import hashlib

import pytest

from orchestrator_api.tasks.downloads import build_download
from orchestrator_core.tasks import StoredResult


def a_result(file_name: str = "image_7.jpg", content_type: str = "image/jpeg") -> StoredResult:
    content = b"picture"
    return StoredResult(
        content=content,
        content_type=content_type,
        file_name=file_name,
        sha256=hashlib.sha256(content).digest(),
    )


def test_a_download_carries_the_file_its_type_and_its_name() -> None:
    answer = build_download(a_result(), if_none_match=None)

    assert answer.status_code == 200
    assert answer.body == b"picture"
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-length"] == "7"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["etag"] == f'"{hashlib.sha256(b"picture").hexdigest()}"'
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"image_7.jpg\"; filename*=UTF-8''image_7.jpg"
    )


@pytest.mark.parametrize(
    ("file_name", "plain", "encoded"),
    [
        ('a"; filename="x.exe', "a_filename_x.exe", "a%22%3B%20filename%3D%22x.exe"),
        ("a\r\nSet-Cookie: x=1", "a_Set-Cookie_x_1", "a%0D%0ASet-Cookie%3A%20x%3D1"),
        ("größe.png", "gr_e.png", "gr%C3%B6%C3%9Fe.png"),
        ("../../etc/passwd", "etc_passwd", "..%2F..%2Fetc%2Fpasswd"),
        ("🐘", "result", "%F0%9F%90%98"),
    ],
)
def test_no_file_name_can_break_out_of_its_header(file_name: str, plain: str, encoded: str) -> None:
    answer = build_download(a_result(file_name), if_none_match=None)

    assert answer.headers["content-disposition"] == (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
    )


@pytest.mark.parametrize("content_type", ["", "text", "text/html\r\nX: y", "a/b/c", "text/html;x"])
def test_an_unsound_content_type_becomes_plain_bytes(content_type: str) -> None:
    answer = build_download(a_result(content_type=content_type), if_none_match=None)

    assert answer.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("shape", ["{etag}", "W/{etag}", '"other", {etag}', "*"])
def test_a_client_that_has_it_already_gets_304_without_the_file(shape: str) -> None:
    etag = build_download(a_result(), if_none_match=None).headers["etag"]

    answer = build_download(a_result(), if_none_match=shape.format(etag=etag))

    assert (answer.status_code, answer.body) == (304, b"")
    assert answer.headers["etag"] == etag


def test_a_client_with_another_version_gets_the_file() -> None:
    assert build_download(a_result(), if_none_match='"other"').status_code == 200
