import json
from pathlib import Path

import pytest

from hack.images import cli
from hack.images.planning import Builder

ARGUMENT_OF_DOCKER = "--builder=docker"


@pytest.fixture(autouse=True)
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_IMAGES_DIR", str(tmp_path / "store"))
    monkeypatch.delenv(cli.BUILDER_VARIABLE, raising=False)


def test_listing_prints_a_reference_for_everything_that_runs_in_a_cluster(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status = cli.main(["list", "--json", "--builder=buildah"])

    listed = json.loads(capsys.readouterr().out)
    assert status == 0
    assert set(listed) == {
        *("api", "worker", "operator", "demo-worker"),
        *("postgres", "redis", "rabbitmq", "nginx", "mailpit", "versitygw"),
    }
    assert all(value.startswith("localhost/orchestrator/") for value in listed.values())


def test_with_docker_the_stores_are_the_published_images(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli.main(["list", "--json", ARGUMENT_OF_DOCKER, "postgres", "nginx"])

    assert json.loads(capsys.readouterr().out) == {"postgres": "postgres:17", "nginx": "nginx:1.28"}


def test_an_unknown_image_is_answered_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["list", "postgre", ARGUMENT_OF_DOCKER])

    assert status == 1
    assert capsys.readouterr().err.startswith("error: there is no image 'postgre'\n  what to do:")


def test_the_environment_may_name_the_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.BUILDER_VARIABLE, "docker")

    assert cli.choose_builder("") is Builder.DOCKER
    assert cli.choose_builder("buildah") is Builder.BUILDAH


def test_building_without_docker_and_without_root_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    status = cli.main(["build", "--builder=buildah"])

    assert status == 1
    assert "run this with sudo, or with --builder docker" in capsys.readouterr().err
