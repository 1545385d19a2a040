from pathlib import Path

import pytest

from orchestrator_core.errors import SettingsError
from orchestrator_core.settings import (
    AmqpSettings,
    PostgresSettings,
    RedisSettings,
    read_settings,
)


def test_the_original_services_defaults_hold() -> None:
    postgres, redis, amqp = (
        read_settings(PostgresSettings, {}),
        read_settings(RedisSettings, {}),
        read_settings(AmqpSettings, {}),
    )

    assert (postgres.host, postgres.port, postgres.user, postgres.database) == (
        "postgres",
        5432,
        "postgres",
        "task_db",
    )
    assert postgres.password.get_secret_value() == "postgres"
    assert (redis.host, redis.port) == ("redis", 6379)
    assert amqp.url.get_secret_value() == "amqp://guest:guest@rabbitmq:5672/"


def test_a_secret_comes_from_the_file_that_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")

    settings = read_settings(PostgresSettings, {"DB_PASSWORD_FILE": str(secret)})

    assert settings.password.get_secret_value() == "s3cret"


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nothing"

    with pytest.raises(SettingsError, match=f"DB_PASSWORD_FILE names {path}"):
        read_settings(PostgresSettings, {"DB_PASSWORD_FILE": str(path)})


def test_a_value_and_its_file_cannot_both_be_set(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("one")

    with pytest.raises(SettingsError, match="both set"):
        read_settings(PostgresSettings, {"DB_PASSWORD": "two", "DB_PASSWORD_FILE": str(secret)})


def test_a_wrong_value_is_explained_and_never_repeated() -> None:
    with pytest.raises(SettingsError, match="DB_PORT") as caught:
        read_settings(PostgresSettings, {"DB_PORT": "hunter2"})

    assert "hunter2" not in str(caught.value)


def test_a_stray_file_variable_of_another_program_is_ignored() -> None:
    read_settings(PostgresSettings, {"SSL_CERT_FILE": "/nowhere"})


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = read_settings(PostgresSettings, {"DB_PASSWORD": "hunter2"})

    assert "hunter2" not in repr(settings)
