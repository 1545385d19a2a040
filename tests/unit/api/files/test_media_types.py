"""Types of files: one spelling, and which are taken."""

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator_api.files.media_types import MediaTypePattern, is_taken, normalise_media_type


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("image/png", "image/png"),
        (" Image/PNG ", "image/png"),
        ("text/csv; charset=UTF-8", "text/csv; charset=utf-8"),
        ('text/csv;header=present;charset="utf-8"', "text/csv; charset=utf-8"),
        ("text/csv; header=present", "text/csv"),
        ("multipart/form-data; boundary=x", "multipart/form-data"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("image/svg+xml", "image/svg+xml"),
    ],
)
def test_a_media_type_has_one_spelling(given: str, expected: str) -> None:
    assert normalise_media_type(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        *("", "image", "image/", "/png", "a/b/c", "*/*", "image/*", "text /html", "bild/größe"),
        *("text/html\r\nX: y", "text/html;x\r\nX: y", f"a/{'b' * 200}"),
    ],
)
def test_what_is_no_media_type_has_none(given: str) -> None:
    assert normalise_media_type(given) is None


@pytest.mark.parametrize(
    ("media_type", "patterns", "expected"),
    [
        ("image/png", ["image/*"], True),
        ("image/png", ["image/png"], True),
        ("image/png", ["image/jpeg", "text/*"], False),
        ("text/csv; charset=utf-8", ["text/csv"], True),
        ("imagery/png", ["image/*"], False),
        ("anything/goes", ["*/*"], True),
    ],
)
def test_a_type_is_taken_when_a_pattern_fits(
    *, media_type: str, patterns: list[str], expected: bool
) -> None:
    assert is_taken(media_type, patterns) is expected


@pytest.mark.parametrize("pattern", ["image", "*", "*/png", "Image/png", "image/*x", "a/b;c=d"])
def test_a_pattern_that_can_fit_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(MediaTypePattern).validate_python(pattern)
