"""The second of two runs says for whom it waits."""

import os
from pathlib import Path

import pytest

from hack.tooling import locking
from hack.tooling.errors import ToolError


def test_a_run_that_has_to_wait_says_what_the_other_one_is_doing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(locking, "PATIENCE_SECONDS", 0.0)

    with (
        locking.hold(tmp_path / "lock", "building images", say=said.append),
        pytest.raises(ToolError) as refusal,
        locking.hold(tmp_path / "lock", "removing images", say=said.append),
    ):
        pass

    holder = f"process {os.getpid()}, which is building images"
    assert holder in refusal.value.found


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locking.hold(tmp_path / "lock", "failing", say=print):
        1 / 0  # noqa: B018 - the error is what the test is about

    with locking.hold(tmp_path / "lock", "going on", say=print):
        pass
