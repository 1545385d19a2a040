"""No name can be a path, break out of a header or pretend to be another."""

import re

import pytest
from pydantic_core import PydanticCustomError

from orchestrator_api.files.names import NAME_PATTERN, require_plain_name, to_disposition


@pytest.mark.parametrize(
    "name",
    [
        "photo.jpg",
        "größe.png",
        'a "quoted"; name.txt',
        "...",
        ".hidden",
        "a" * 255,
        "🐘" * 255,
        "می\u200cخواهم.txt",
        "a: b*c?.txt",
        " ",
    ],
)
def test_a_plain_name_is_taken_as_it_is(name: str) -> None:
    assert require_plain_name(name) == name
    assert re.search(NAME_PATTERN, name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "C:\\fakepath\\photo.jpg",
        "a\r\nSet-Cookie: x=1",
        "a\nb",
        "photo.jpg\n",
        "a\x00.jpg",
        "a\x1b[31m",
        "a\x7f",
        "a\x85b",
        "a\u2028b",
        "photo\u202egpj.exe",
        "photo\u2066gpj.exe",
        "a\u200fb",
        "a\ud800b",
        "a" * 256,
        "a" * 300,
    ],
)
def test_another_name_is_refused_with_what_was_expected(name: str) -> None:
    with pytest.raises(PydanticCustomError, match="expected the name of a file: 1 to 255"):
        require_plain_name(name)


@pytest.mark.parametrize(
    ("file_name", "plain", "encoded"),
    [
        ("image_7.jpg", "image_7.jpg", "image_7.jpg"),
        ('a"; filename="x.exe', "a_filename_x.exe", "a%22%3B%20filename%3D%22x.exe"),
        ("a\r\nSet-Cookie: x=1", "a_Set-Cookie_x_1", "a%0D%0ASet-Cookie%3A%20x%3D1"),
        ("größe.png", "gr_e.png", "gr%C3%B6%C3%9Fe.png"),
        ("../../etc/passwd", "etc_passwd", "..%2F..%2Fetc%2Fpasswd"),
        ("🐘", "result", "%F0%9F%90%98"),
        ("a\ud800", "a", "a%3F"),
        ("a" * 255, "a" * 255, "a" * 255),
        ("🐘" * 255 + ".png", "png", "%F0%9F%90%98" * 60 + ".png"),
        ("🐘" * 255, "result", "%F0%9F%90%98" * 64),
        ("a." + "🐘" * 255, "a", "a." + "%F0%9F%90%98" * 62),
    ],
)
def test_no_name_can_break_out_of_its_header_or_fill_it(
    file_name: str, plain: str, encoded: str
) -> None:
    assert to_disposition(file_name) == (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"
    )
