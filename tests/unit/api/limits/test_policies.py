"""Which limit holds for whom."""

import json

import pytest
from pydantic import ValidationError

from orchestrator_api.limits.policies import LimitRule, LimitRules, Policies, Preset
from orchestrator_core.rate_limits import RateLimit


def policies(**rules: object) -> Policies:
    return Policies(LimitRules.model_validate_json(json.dumps(rules)))


@pytest.mark.parametrize(
    ("preset", "capacity", "refill_per_second"),
    [("Strict", 3, 0.1), ("Conservative", 10, 5), ("Moderate", 20, 10), ("Generous", 100, 50)],
)
def test_the_presets_mean_what_the_contract_says(
    preset: str, capacity: int, refill_per_second: float
) -> None:
    limit = LimitRule(preset=Preset(preset)).to_rate_limit()

    assert limit == RateLimit(capacity, refill_per_second)


def test_everybody_is_limited_moderately_by_default() -> None:
    moderate = RateLimit(20, 10)

    chosen = policies()

    assert chosen.of_addresses.limit == moderate
    assert chosen.find_for_user("ada").limit == moderate


def test_own_numbers_and_a_user_of_his_own_hold_and_names_have_no_case() -> None:
    chosen = policies(
        users={"capacity": 50, "refill_per_minute": 600},
        auth={"preset": "Strict"},
        by_username={"Etl": {"preset": "Generous"}},
    )

    assert chosen.find_for_user("ada").limit == RateLimit(50, 10)
    assert chosen.find_for_user("etl").limit == RateLimit(100, 50)
    assert chosen.of_addresses.limit == RateLimit(3, 0.1)


def test_a_policy_is_told_as_the_draft_wants_it() -> None:
    chosen = policies(by_username={"slow": {"capacity": 1, "refill_per_minute": 7}})

    assert chosen.find_for_user("ada").header == (b"ratelimit-policy", b'"user";q=20;w=2')
    assert chosen.of_addresses.header == (b"ratelimit-policy", b'"address";q=20;w=2')
    assert chosen.find_for_user("slow").header == (b"ratelimit-policy", b'"user";q=1;w=9')


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"preset": "Wide open"},
        {"preset": "Strict", "capacity": 3},
        {"capacity": 3},
        {"refill_per_minute": 3},
        {"capacity": 0, "refill_per_minute": 60},
        {"capacity": 3, "refill_per_minute": 0},
        {"capacity": 3, "refill_per_minute": 60_000_001},
        {"capacity": 3, "refill_per_minute": 60, "burst": 4},
    ],
)
def test_a_rule_that_is_no_limit_is_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        policies(users=rule)


def test_rounding_never_allows_more_than_was_asked_for() -> None:
    limit = RateLimit(capacity=1, refill_per_second=7)

    assert 1_000_000 / limit.interval_us <= 7
