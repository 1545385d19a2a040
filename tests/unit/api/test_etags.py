"""Whether a client has it already."""

import pytest

from orchestrator_api.etags import is_current


@pytest.mark.parametrize(
    "if_none_match", ['"7-2"', 'W/"7-2"', '"7-1", "7-2"', '"x","7-2"', "*", ' "7-2" ']
)
def test_a_named_tag_is_current(if_none_match: str) -> None:
    assert is_current(if_none_match, '"7-2"')


@pytest.mark.parametrize("if_none_match", [None, "", '"7-1"', "7-2", '"17-2"', 'W/"7-20"', ","])
def test_any_other_is_not(if_none_match: str | None) -> None:
    assert not is_current(if_none_match, '"7-2"')
