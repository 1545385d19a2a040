"""What is there is left alone, and Debian starts no service of what is installed."""

import io
import os
from pathlib import Path

import pytest

from hack.tooling import packages
from hack.tooling.errors import ToolError
from hack.tooling.packages import Program
from hack.tooling.steps import Progress


def a_program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    program = folder / "server"
    program.touch(mode=0o755)
    return program


def test_a_program_is_found_in_the_folder_of_any_version(tmp_path: Path) -> None:
    program = a_program(tmp_path / "17/bin")

    assert packages.find(f"{tmp_path}/*/bin/server") == str(program)


def test_a_file_that_cannot_be_run_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "server").touch(mode=0o644)

    assert packages.find(f"{tmp_path}/server") is None


def test_each_missing_package_is_named_once(tmp_path: Path) -> None:
    there = Program(str(a_program(tmp_path / "bin")), "present")
    missing = [Program(f"{tmp_path}/{name}", "absent") for name in ("one", "two")]

    assert packages.list_missing([there, *missing]) == ["absent"]


def test_without_root_the_command_to_run_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(packages, "find", lambda name: "apt-get" if name == "apt-get" else None)

    with pytest.raises(ToolError) as refusal:
        packages.install([Program("redis-server", "redis-server")], a_progress(tmp_path))

    assert "sudo apt-get install redis-server" in refusal.value.advice


def test_services_are_refused_during_an_installation_and_allowed_again(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"

    with packages.services_stay_down(policy):
        assert os.access(policy, os.X_OK)
        assert policy.read_text().endswith("exit 101\n")

    assert not policy.exists()


def test_a_policy_of_the_machine_stays(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")

    with packages.services_stay_down(policy):
        pass

    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_refusal_that_a_killed_run_left_goes_with_the_next(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    killed = packages.services_stay_down(policy)
    killed.__enter__()

    with packages.services_stay_down(policy):
        pass

    assert not policy.exists()


def a_progress(folder: Path) -> Progress:
    return Progress(folder / "logs", stream=io.StringIO())
