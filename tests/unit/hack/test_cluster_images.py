"""Archives say what they hold, and an image that is there is not imported again."""

import json
import tarfile
from pathlib import Path

import pytest

from hack.cluster import archives, images
from hack.cluster.archives import ArchivedImage
from hack.tooling.errors import ToolError

CONFIG = "sha256:" + "c" * 64
MANIFEST = "sha256:" + "d" * 64


def a_program(tmp_path: Path) -> Path:
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    return program


def test_a_program_becomes_an_image_that_runs_it(tmp_path: Path) -> None:
    archive = tmp_path / "pause.tar"

    archives.write_program_image(a_program(tmp_path), name="local/pause:1", archive=archive)

    (image,) = archives.read_images(archive)
    assert image.names == ("local/pause:1",)
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "image", filter="data")
    name = image.config_digest.removeprefix("sha256:") + ".json"
    config = json.loads((tmp_path / "image" / name).read_text())
    with tarfile.open(tmp_path / "image" / "layer.tar") as layer:
        mode = layer.getmember("pause").mode
    assert config["config"]["Entrypoint"] == ["/pause"]
    assert mode == 0o755


def test_the_same_program_gives_the_same_image(tmp_path: Path) -> None:
    first, second = tmp_path / "a.tar", tmp_path / "b.tar"

    for archive in (first, second):
        archives.write_program_image(a_program(tmp_path), name="local/pause:1", archive=archive)

    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("content", [b"", b"plain text", None])
def test_what_is_no_archive_gets_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    archive = tmp_path / "image.tar"
    if content is not None:
        archive.write_bytes(content)

    with pytest.raises(ToolError) as refusal:
        archives.read_images(archive)

    assert str(archive) in refusal.value.found
    assert "docker save" in refusal.value.advice


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("postgres:17", "docker.io/library/postgres:17"),
        ("orchestrator/api:1", "docker.io/orchestrator/api:1"),
        ("localhost/orchestrator/api:1", "localhost/orchestrator/api:1"),
        ("registry.example:5000/api:1", "registry.example:5000/api:1"),
        ("quay.io/team/api:1", "quay.io/team/api:1"),
    ],
)
def test_names_are_completed_as_the_container_runtime_does(name: str, full: str) -> None:
    assert images.normalize(name) == full


def test_an_image_is_there_when_name_and_content_are() -> None:
    wanted = (ArchivedImage(CONFIG, ("postgres:17",)),)
    present = {"docker.io/library/postgres:17": MANIFEST, CONFIG: MANIFEST}

    assert images.are_loaded(wanted, present)


def test_an_image_whose_name_stands_for_other_content_is_not_there() -> None:
    wanted = (ArchivedImage(CONFIG, ("postgres:17",)),)
    present = {"docker.io/library/postgres:17": "sha256:older", CONFIG: MANIFEST}

    assert not images.are_loaded(wanted, present)


def test_an_image_without_a_name_is_always_loaded() -> None:
    assert not images.are_loaded((ArchivedImage(CONFIG, ()),), {CONFIG: MANIFEST})
