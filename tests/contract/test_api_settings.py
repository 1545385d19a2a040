"""The API reads every setting that the operator gives it, and means the same by it."""

from typing import Any

import pytest

from operator_testing.contexts import a_context
from orchestrator_api.limits.policies import PRESETS
from orchestrator_api.settings import ApiSettings, read_process_settings
from orchestrator_core.rate_limits import RateLimit
from orchestrator_operator.allowances import RateLimitPreset
from orchestrator_operator.manifests.api import build_api

OWN = {
    "rateLimit": {
        "capacity": 1_000_000,
        "refillPerMinute": 60_000_000,
        "auth": {"preset": "Strict"},
        "users": [{"username": "etl", "preset": "Generous"}],
    },
    "files": {"maxSize": "1Gi", "quota": "1Ti", "ttl": "8760h"},
}


def environment_for(api: dict[str, Any]) -> dict[str, str]:
    """Return the API container's variables, with a value in place of each mounted file."""
    pod = build_api(a_context({"api": api}))["spec"]["template"]["spec"]
    values = {item["name"]: item["value"] for item in pod["containers"][0]["env"]}
    secret = "a secret of at least thirty-two bytes"
    given = {name.removesuffix("_FILE"): secret for name in values if name.endswith("_FILE")}
    plain = {name: value for name, value in values.items() if not name.endswith("_FILE")}
    return {**plain, **given, "RABBITMQ_URL": "amqp://user:word@host:5672/"}


@pytest.mark.parametrize("api", [{}, OWN])
def test_the_api_takes_what_the_operator_gives_it(api: dict[str, Any]) -> None:
    read_process_settings(environment_for(api))


def test_no_variable_of_the_operators_is_unknown_to_the_api() -> None:
    known = {field.alias for field in ApiSettings.model_fields.values()}

    given = {name for name in environment_for({}) if name.startswith("ORCHESTRATOR_API_")}

    assert given <= known


def test_the_limits_of_a_resource_are_those_of_the_api() -> None:
    rules = read_process_settings(environment_for(OWN)).api.rate_limits

    assert rules.users.to_rate_limit() == RateLimit(1_000_000, 1_000_000)
    assert rules.auth.to_rate_limit() == RateLimit(3, 0.1)
    assert rules.by_username["etl"].to_rate_limit() == RateLimit(100, 50)


def test_both_know_the_same_presets() -> None:
    assert {preset.value for preset in RateLimitPreset} == {preset.value for preset in PRESETS}
