"""How limits are written in the environment, and what is refused before anything starts."""

from pathlib import Path

import pytest

from orchestrator_api.limits.policies import Policies
from orchestrator_api.settings import read_process_settings
from orchestrator_core.errors import SettingsError
from orchestrator_core.rate_limits import RateLimit


def test_without_a_word_limits_are_moderate_and_no_edge_is_trusted() -> None:
    settings = read_process_settings({}).api

    assert Policies(settings.rate_limits).of_addresses.limit == RateLimit(20, 10)
    assert settings.replicas == 1
    assert settings.edge_key is None
    assert settings.metrics_port == 9090


def test_limits_are_one_json_object() -> None:
    text = '{"users": {"preset": "Strict"}, "by_username": {"etl": {"preset": "Generous"}}}'

    settings = read_process_settings({"ORCHESTRATOR_API_RATE_LIMITS": text}).api

    policies = Policies(settings.rate_limits)
    assert policies.find_for_user("ada").limit == RateLimit(3, 0.1)
    assert policies.find_for_user("etl").limit == RateLimit(100, 50)


def test_the_edges_key_may_come_from_a_file(tmp_path: Path) -> None:
    key = tmp_path / "token"
    key.write_text("0123456789abcdef\n")

    settings = read_process_settings({"ORCHESTRATOR_API_EDGE_KEY_FILE": str(key)}).api

    assert settings.edge_key is not None
    assert settings.edge_key.get_secret_value() == "0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORCHESTRATOR_API_RATE_LIMITS", "Moderate"),
        ("ORCHESTRATOR_API_RATE_LIMITS", "[]"),
        ("ORCHESTRATOR_API_RATE_LIMITS", '{"users": {"preset": "Wide open"}}'),
        ("ORCHESTRATOR_API_RATE_LIMITS", '{"user": {"preset": "Strict"}}'),
        ("ORCHESTRATOR_API_REPLICAS", "0"),
        ("ORCHESTRATOR_API_EDGE_KEY", ""),
        ("ORCHESTRATOR_API_EDGE_KEY", "too short"),
        ("ORCHESTRATOR_API_METRICS_PORT", "-1"),
    ],
)
def test_what_can_not_be_right_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_process_settings({name: value})
