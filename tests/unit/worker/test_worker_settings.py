"""What the worker accepts from its environment."""

import pytest

from orchestrator_core.errors import SettingsError
from orchestrator_core.settings import read_settings
from orchestrator_worker.settings import WorkerSettings


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = read_settings(WorkerSettings, {})

    assert (settings.concurrency, settings.task_timeout_seconds) == (4, 900)
    assert (settings.health_port, settings.lease_seconds) == (8081, 30.0)
    assert settings.pod_name


@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_a_wrong_value_names_its_variable(value: str) -> None:
    with pytest.raises(SettingsError, match="ORCHESTRATOR_WORKER_CONCURRENCY"):
        read_settings(WorkerSettings, {"ORCHESTRATOR_WORKER_CONCURRENCY": value})


def test_log_level_and_patience_with_a_blocked_loop_can_be_set() -> None:
    settings = read_settings(
        WorkerSettings,
        {"ORCHESTRATOR_WORKER_LOG_LEVEL": "DEBUG", "ORCHESTRATOR_WORKER_STALL_SECONDS": "2"},
    )

    assert (settings.log_level, settings.stall_seconds) == ("DEBUG", 2.0)


def test_an_unknown_log_level_is_refused() -> None:
    with pytest.raises(SettingsError, match="ORCHESTRATOR_WORKER_LOG_LEVEL"):
        read_settings(WorkerSettings, {"ORCHESTRATOR_WORKER_LOG_LEVEL": "LOUD"})


def test_networks_that_must_not_be_asked_are_written_as_a_list() -> None:
    name = "ORCHESTRATOR_WORKER_SOURCE_URL_DENIED_NETWORKS"
    settings = read_settings(WorkerSettings, {name: "192.0.2.0/24, 2001:db8::/32"})

    assert [str(each) for each in settings.source_url_denied_networks] == [
        "192.0.2.0/24",
        "2001:db8::/32",
    ]
    with pytest.raises(SettingsError, match=name):
        read_settings(WorkerSettings, {name: "everything"})
