"""Which passwords each policy takes."""

import time

import pytest

from orchestrator_api.accounts.password_policies import PasswordPolicy, build_policy

APP_NAME = "event-driven-task"


@pytest.fixture
def basic() -> PasswordPolicy:
    return build_policy("basic", min_length=8, app_name=APP_NAME)


@pytest.fixture(scope="module")
def strict() -> PasswordPolicy:
    return build_policy("strict", min_length=8, app_name=APP_NAME)


@pytest.mark.parametrize("password", ["password123", "12345678", "        ", "johndoe1", "🐘" * 8])
def test_the_basic_policy_asks_for_length_alone(basic: PasswordPolicy, password: str) -> None:
    assert basic(password, "johndoe") is None


def test_the_basic_policy_counts_characters_and_not_bytes(basic: PasswordPolicy) -> None:
    assert basic("🐘" * 7, "johndoe") == "must have at least 8 characters"


@pytest.mark.parametrize(
    "password",
    [
        "a river of green glass",
        "correct horse battery staple",
        "Грустный слон у реки",
        "x7!qP0-vv3?Lm2zR",
        "bbbbbbbbbbbbbbbbbbbbbbbbb but not only b",
        " " + "leading and trailing spaces" + " ",
    ],
)
def test_the_strict_policy_takes_any_kinds_of_characters(
    strict: PasswordPolicy, password: str
) -> None:
    assert strict(password, "johndoe") is None


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("fourteen chars", "at least 15 characters"),
        ("password123", "at least 15 characters"),
        ("my name is JohnDoe!", "must not contain the username"),
        ("ｊｏｈｎｄｏｅ in wide letters", "must not contain the username"),
        ("the Event-Driven-Task of mine", "must not contain the service's name"),
        ("123456789987654321", "most common passwords"),
        ("QWERTY123456789", "most common passwords"),
        ("PasswordPassword", "most common passwords"),
        ("monkeymonkeymonkey", "most common passwords"),
        ("zzzzzzzzzzzzzzzzz", "over and over"),
        ("x9!x9!x9!x9!x9!x9!", "over and over"),
    ],
)
def test_the_strict_policy_says_what_is_wrong(
    strict: PasswordPolicy, password: str, fault: str
) -> None:
    assert fault in str(strict(password, "johndoe"))


def test_a_longer_minimum_holds_for_both_policies() -> None:
    policies = [
        build_policy("basic", min_length=20, app_name=APP_NAME),
        build_policy("strict", min_length=20, app_name=APP_NAME),
    ]

    faults = {policy("nineteen characters", "johndoe") for policy in policies}

    assert faults == {"must have at least 20 characters"}


def test_no_password_makes_the_policy_slow(strict: PasswordPolicy) -> None:
    longest = ["a" * 1_023 + "b", "ab" * 512, "\ufdfa" * 1_024]

    began = time.process_time()
    for password in longest:
        strict(password, "johndoe")

    assert time.process_time() - began < 0.5
