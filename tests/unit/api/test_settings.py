"""The original's names and defaults, and what production refuses."""

from pathlib import Path

import pytest

from orchestrator_api.settings import read_process_settings
from orchestrator_core.errors import SettingsError

STRONG = {"JWT_SECRET": "x" * 32, "DB_PASSWORD": "a password of our own"}


def test_the_originals_defaults_stand() -> None:
    settings = read_process_settings({})

    assert settings.api.app_name == "event-driven-task"
    assert settings.api.app_env == "local"
    assert settings.api.port == 8080
    assert settings.api.jwt_secret.get_secret_value() == "supersecret"
    assert settings.api.access_token_ttl_seconds == 15 * 60
    assert settings.api.refresh_token_ttl_seconds == 7 * 24 * 3600
    assert settings.postgres.host == "postgres"
    assert settings.postgres.port == 5432
    assert settings.postgres.user == "postgres"
    assert settings.postgres.database == "task_db"
    assert settings.redis.host == "redis"
    assert settings.redis.port == 6379
    assert settings.amqp.url.get_secret_value() == "amqp://guest:guest@rabbitmq:5672/"


def test_the_originals_names_work() -> None:
    settings = read_process_settings({"APP_NAME": "mine", "APP_PORT": "8087", "DB_NAME": "other"})

    assert settings.api.app_name == "mine"
    assert settings.api.port == 8087
    assert settings.postgres.database == "other"


def test_secrets_may_come_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file, with a line end\n")

    settings = read_process_settings({"JWT_SECRET_FILE": str(secret)})

    assert settings.api.jwt_secret.get_secret_value() == "from a file, with a line end"


def test_the_previous_signing_secret_is_optional_and_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "previous"
    secret.write_text("the secret before this one\n")

    without = read_process_settings({})
    settings = read_process_settings({"JWT_PREVIOUS_SECRET_FILE": str(secret)})

    assert without.api.jwt_previous_secret is None
    assert settings.api.jwt_previous_secret is not None
    assert settings.api.jwt_previous_secret.get_secret_value() == "the secret before this one"


def test_production_starts_with_secrets_of_its_own() -> None:
    assert read_process_settings({"APP_ENV": "production", **STRONG}).api.app_env == "production"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"JWT_SECRET": None}, "JWT_SECRET is missing or the default"),
        ({"JWT_SECRET": "supersecret"}, "JWT_SECRET is missing or the default"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET is shorter than 32 bytes"),
        ({"JWT_PREVIOUS_SECRET": "supersecret"}, "JWT_PREVIOUS_SECRET is missing or the default"),
        ({"JWT_PREVIOUS_SECRET": "short"}, "JWT_PREVIOUS_SECRET is shorter than 32 bytes"),
        ({"DB_PASSWORD": None}, "DB_PASSWORD is missing or the default"),
        ({"DB_PASSWORD": "postgres"}, "DB_PASSWORD is missing or the default"),
        ({"DB_PASSWORD": ""}, "DB_PASSWORD is missing or the default"),
    ],
)
@pytest.mark.parametrize("app_env", ["production", "Production"])
def test_production_refuses_a_missing_default_or_weak_secret(
    changes: dict[str, str | None], reason: str, app_env: str
) -> None:
    given = {"APP_ENV": app_env, **STRONG, **changes}
    environment = {name: value for name, value in given.items() if value is not None}

    with pytest.raises(SettingsError, match=reason):
        read_process_settings(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APP_PORT", "70000"),
        ("APP_PORT", "http"),
        ("JWT_SECRET", ""),
        ("JWT_PREVIOUS_SECRET", ""),
        ("ORCHESTRATOR_API_PASSWORD_POLICY", "lax"),
        ("ORCHESTRATOR_API_ACCESS_TOKEN_TTL_SECONDS", "0"),
        ("ORCHESTRATOR_API_BCRYPT_ROUNDS", "3"),
        ("ORCHESTRATOR_API_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        read_process_settings({name: value})


def test_no_secret_stands_in_what_settings_print() -> None:
    names = ("JWT_SECRET", "JWT_PREVIOUS_SECRET", "DB_PASSWORD", "REDIS_PASSWORD")

    printed = repr(read_process_settings(dict.fromkeys(names, "canary")))

    assert "canary" not in printed
