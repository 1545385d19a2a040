"""What the process needs of its file system: with a read-only root, next to nothing."""

import tempfile

import pytest

from orchestrator_api import gunicorn_config


def test_the_heartbeat_file_lives_in_memory_and_no_temporary_folder_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_is_writable() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none_is_writable)

    assert gunicorn_config.find_writable_folder() == "/dev/shm"  # noqa: S108 - the promise itself


def test_one_worker_and_no_control_socket() -> None:
    assert gunicorn_config.workers == 1
    assert gunicorn_config.control_socket_disable
