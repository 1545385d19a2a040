"""What a resource allows its callers reaches the API as settings."""

import json
from typing import Any

from operator_testing.contexts import a_context
from orchestrator_operator.manifests.api import build_api


def environment_of(api: dict[str, Any]) -> dict[str, str]:
    pod = build_api(a_context({"api": api}))["spec"]["template"]["spec"]
    return {item["name"]: item["value"] for item in pod["containers"][0]["env"]}


def limits_of(rate_limit: dict[str, Any]) -> Any:
    return json.loads(environment_of({"rateLimit": rate_limit})["ORCHESTRATOR_API_RATE_LIMITS"])


def test_without_a_word_everybody_has_the_preset_moderate() -> None:
    assert limits_of({}) == {
        "users": {"preset": "Moderate"},
        "auth": {"preset": "Moderate"},
        "by_username": {},
    }


def test_own_numbers_and_users_of_their_own_are_passed_on() -> None:
    limits = limits_of(
        {
            "capacity": 50,
            "refillPerMinute": 600,
            "auth": {"preset": "Strict"},
            "users": [
                {"username": "etl", "preset": "Generous"},
                {"username": "guest", "capacity": 1, "refillPerMinute": 6},
            ],
        }
    )

    assert limits == {
        "users": {"capacity": 50, "refill_per_minute": 600},
        "auth": {"preset": "Strict"},
        "by_username": {
            "etl": {"preset": "Generous"},
            "guest": {"capacity": 1, "refill_per_minute": 6},
        },
    }


def test_the_limits_of_files_are_bytes_and_seconds() -> None:
    environment = environment_of({"files": {"maxSize": "20Mi", "quota": "1Gi", "ttl": "24h"}})

    assert environment["ORCHESTRATOR_API_FILE_LIMIT_BYTES"] == str(20 << 20)
    assert environment["ORCHESTRATOR_API_FILE_QUOTA_BYTES"] == str(1 << 30)
    assert environment["ORCHESTRATOR_API_FILE_TTL_SECONDS"] == str(24 * 3600)


def test_the_api_knows_among_how_many_it_shares_a_limit() -> None:
    assert environment_of({"replicas": 3})["ORCHESTRATOR_API_REPLICAS"] == "3"
