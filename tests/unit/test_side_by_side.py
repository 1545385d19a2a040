"""Tests of one cluster take turns."""

import threading
from pathlib import Path

from side_by_side import a_turn, folder_of, is_alone

SECONDS = 10.0


def test_who_is_alone_waits_for_others_and_goes_before_those_that_come_later(
    tmp_path: Path,
) -> None:
    order: list[str] = []
    done = {name: threading.Event() for name in ("alone", "later")}

    def come(name: str, *, alone: bool) -> None:
        with a_turn(alone=alone, folder=tmp_path):
            order.append(f"{name}, {is_alone()}")
            done[name].set()

    others = [
        threading.Thread(target=come, args=(name,), kwargs={"alone": alone}, daemon=True)
        for name, alone in (("alone", True), ("later", False))
    ]
    with a_turn(alone=False, folder=tmp_path), a_turn(alone=False, folder=tmp_path):
        others[0].start()
        assert not done["alone"].wait(0.2)
        others[1].start()
        assert not done["later"].wait(0.2)
        order.append(f"first, {is_alone()}")
    for each in others:
        each.join(SECONDS)

    assert order == ["first, False", "alone, True", "later, False"]
    assert not is_alone()


def test_the_tests_of_a_folder_stay_together() -> None:
    assert folder_of("tests/e2e/operator/test_a.py::test_b[c/d]") == "tests/e2e/operator"
    assert folder_of("tests/e2e/test_a.py::test_b") == "tests/e2e"
