"""Processes of the local node are found again, and never mistaken for others."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hack.cluster import processes

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf')"
STUBBORN = (sys.executable, "-u", "-c", f"{DEAF}; time.sleep(60)")


@pytest.fixture
def record(tmp_path: Path):
    path = tmp_path / "processes" / "sleeper.json"
    yield path
    processes.end(path, patience_seconds=0)


def a_process(record: Path, command: tuple[str, ...] = SLEEP) -> Path:
    log = record.parent.parent / "sleeper.log"
    processes.start(command, record=record, log=log, fingerprint="abc")
    return log


def wait_for_line(log: Path, line: str) -> None:
    deadline = time.monotonic() + 10
    while line not in log.read_text():
        assert time.monotonic() < deadline, f"no {line!r} in {log}"
        time.sleep(0.01)


def test_a_started_process_is_found_with_what_it_was_started_with(record: Path) -> None:
    a_process(record)

    running = processes.find_running(record)

    assert running is not None
    assert running.fingerprint == "abc"
    assert os.getpgid(running.pid) == running.pid, "it must not die with this tool's terminal"


def test_a_process_that_was_killed_is_not_found(record: Path) -> None:
    a_process(record)
    running = processes.find_running(record)
    assert running is not None

    os.kill(running.pid, signal.SIGKILL)

    assert processes.wait_for_end(running, 5)
    assert processes.find_running(record) is None


def test_another_process_with_the_same_pid_is_neither_found_nor_ended(record: Path) -> None:
    stranger = subprocess.Popen(SLEEP)
    a_process(record)
    processes.end(record, patience_seconds=5)
    a_process(record)
    identity = record.with_suffix(".stat")
    fields = identity.read_text().split(" ")
    identity.write_text(" ".join([str(stranger.pid), *fields[1:]]))

    is_found = processes.find_running(record)
    processes.end(record, patience_seconds=0)

    assert is_found is None
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_record_from_before_a_reboot_names_nobody(record: Path) -> None:
    a_process(record)
    running = processes.find_running(record)
    assert running is not None
    described = json.loads(record.read_text())

    record.write_text(json.dumps({**described, "boot_id": "an earlier boot"}))

    assert processes.find_running(record) is None
    os.kill(running.pid, signal.SIGKILL)
    processes.wait_for_end(running, 5)


def test_a_process_that_ignores_the_request_to_end_is_killed(record: Path) -> None:
    log = a_process(record, STUBBORN)
    wait_for_line(log, "deaf")

    is_killed = processes.end(record, patience_seconds=0.2)

    assert is_killed
    assert processes.find_running(record) is None
    assert not record.exists()


def test_ending_what_does_not_run_does_nothing(record: Path) -> None:
    assert processes.end(record, patience_seconds=0) is False


def test_half_a_record_counts_as_none(record: Path) -> None:
    record.parent.mkdir(parents=True)
    record.write_text('{"boot_id": "x"')

    assert processes.read_record(record) is None


def test_a_program_that_is_missing_leaves_its_reason_in_the_log(record: Path) -> None:
    log = a_process(record, ("/nowhere/etcd",))

    deadline = time.monotonic() + 10
    while processes.find_running(record) is not None:
        assert time.monotonic() < deadline, "a program that is not there runs"
        time.sleep(0.01)
    assert "/nowhere/etcd" in log.read_text()


def test_the_start_time_is_read_past_a_name_with_parentheses() -> None:
    stat = "7 (a) b (c) S " + " ".join(str(number) for number in range(4, 53))

    assert processes.parse_start_ticks(stat) == 22


def test_a_zombie_has_no_start_time() -> None:
    assert processes.parse_start_ticks("7 (gone) Z " + "0 " * 49) is None


def test_the_fingerprint_changes_with_a_file_that_is_read_at_the_start(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("a")
    before = processes.fingerprint(("etcd",), (config,))

    config.write_text("b")

    assert processes.fingerprint(("etcd",), (config,)) != before
    assert processes.fingerprint(("etcd", "--flag"), (config,)) != before


def test_a_long_log_makes_room_and_the_one_before_is_kept(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT_BYTES", 10)
    log = record.parent.parent / "sleeper.log"
    log.write_text("more than ten bytes")

    a_process(record)

    assert log.with_suffix(".log.1").read_text() == "more than ten bytes"
    assert log.read_text() == ""
