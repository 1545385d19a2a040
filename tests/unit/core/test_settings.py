from pathlib import Path

import pytest

from orchestrator_core.errors import SettingsError
from orchestrator_core.settings import (
    AmqpSettings,
    PostgresSettings,
    RedisSettings,
    S3Settings,
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


def test_a_file_that_is_no_text_is_named_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"secret\xff")

    with pytest.raises(SettingsError) as refusal:
        read_settings(PostgresSettings, {"DB_PASSWORD_FILE": str(path)})

    assert str(refusal.value) == f"DB_PASSWORD_FILE names {path}, which is not UTF-8 text"


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


def test_results_lie_in_postgres_unless_a_bucket_is_named() -> None:
    assert read_settings(S3Settings, {}).bucket is None


@pytest.mark.parametrize(
    "endpoint",
    [
        "s3.example.com",
        "ftp://s3.example.com",
        "https://key@s3.example.com",
        "https://a/b",
        "https://a b",
    ],
)
def test_an_endpoint_that_is_none_is_refused_by_its_name(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="RESULTS_S3_ENDPOINT"):
        read_settings(S3Settings, {"RESULTS_S3_ENDPOINT": endpoint})


def test_half_of_a_buckets_credentials_is_refused() -> None:
    with pytest.raises(SettingsError, match="belong together"):
        read_settings(S3Settings, {"RESULTS_S3_ACCESS_KEY_ID": "only half"})


def test_a_buckets_credentials_come_from_files_as_well(tmp_path: Path) -> None:
    for name in ("id", "key"):
        (tmp_path / name).write_text(f"the {name}\n")

    settings = read_settings(
        S3Settings,
        {
            "RESULTS_S3_ENDPOINT": "https://s3.example.com:9000/",
            "RESULTS_S3_ACCESS_KEY_ID_FILE": str(tmp_path / "id"),
            "RESULTS_S3_SECRET_ACCESS_KEY_FILE": str(tmp_path / "key"),
        },
    )

    assert settings.access_key_id is not None
    assert settings.secret_access_key is not None
    assert settings.access_key_id.get_secret_value() == "the id"
    assert settings.secret_access_key.get_secret_value() == "the key"
