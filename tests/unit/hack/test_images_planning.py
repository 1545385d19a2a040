from pathlib import Path

import pytest

from hack.images.catalogue import IMAGES, Image
from hack.images.planning import Builder, PlannedImage, plan, select
from hack.images.snapshots import copy_context, take_snapshot
from hack.tooling.errors import ToolError

ROOT = Path(__file__).parents[3]

BASE = Image("base", "base/Dockerfile", ("base",), context="base", packages="base/packages")
APP = Image("app", "app/Dockerfile", ("app/src", "lock.txt"), bases={"BASE": "base"})
OTHER = Image("other", "other/Dockerfile", ("other",), official="other:1", is_deployed=False)
CATALOGUE = (BASE, APP, OTHER)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    files = {
        "base/Dockerfile": "FROM scratch",
        "base/packages": "dash",
        "app/Dockerfile": "FROM base",
        "app/src/main.py": "print()",
        "app/notes.txt": "no input of any image",
        "lock.txt": "a==1",
        "other/Dockerfile": "FROM scratch",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def references(root: Path, builder: Builder = Builder.BUILDAH) -> dict[str, str]:
    return {one.image.name: one.reference for one in plan(builder, root, CATALOGUE)}


def test_the_same_files_give_the_same_references_wherever_the_checkout_lies(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copied = take_snapshot(CATALOGUE, checkout, tmp_path_factory.mktemp("elsewhere") / "copy")

    assert references(copied) == references(checkout)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("app/src/main.py", {"app"}),
        ("lock.txt", {"app"}),
        ("app/Dockerfile", {"app"}),
        ("base/packages", {"base", "app"}),
        ("base/Dockerfile", {"base", "app"}),
        ("app/notes.txt", set()),
    ],
)
def test_a_changed_file_changes_the_images_made_from_it_and_those_upon_them(
    checkout: Path, changed: str, expected: set[str]
) -> None:
    before = references(checkout)

    (checkout / changed).write_text("changed")

    after = references(checkout)
    assert {name for name in after if after[name] != before[name]} == expected


def test_an_executable_bit_counts_as_a_change(checkout: Path) -> None:
    before = references(checkout)

    (checkout / "app/src/main.py").chmod(0o755)

    assert references(checkout)["app"] != before["app"]


def test_what_tools_leave_behind_is_no_change(checkout: Path) -> None:
    before = references(checkout)

    for name in ("app/src/__pycache__/main.cpython-313.pyc", "app/src/app.egg-info/PKG-INFO"):
        path = checkout / name
        path.parent.mkdir(parents=True)
        path.write_text("left behind")

    assert references(checkout) == before


def test_an_image_receives_the_references_of_its_bases_and_of_its_packages(
    checkout: Path,
) -> None:
    planned = {one.image.name: one for one in plan(Builder.BUILDAH, checkout, CATALOGUE)}

    assert planned["app"].arguments == {"BASE": planned["base"].reference}
    assert planned["base"].arguments == {"ROOT": planned["base"].root_reference}
    assert planned["base"].root_reference.startswith("localhost/orchestrator/base-root:")


def test_docker_takes_published_images_instead_of_stand_ins(checkout: Path) -> None:
    planned = {one.image.name: one for one in plan(Builder.DOCKER, checkout, CATALOGUE)}

    assert (planned["other"].reference, planned["other"].is_built) == ("other:1", False)


@pytest.mark.parametrize("name", ["api", "worker", "operator"])
def test_docker_builds_upon_the_published_bases_that_the_dockerfile_names_itself(name: str) -> None:
    planned = {one.image.name: one for one in plan(Builder.DOCKER, ROOT)}

    dockerfile = (ROOT / name / "Dockerfile").read_text()
    arguments = planned[name].arguments
    assert arguments["BASE"] == "python:3.13-slim"
    assert [f"ARG {key}={value}" in dockerfile for key, value in arguments.items()] == [
        True for _ in arguments
    ]


def test_a_missing_input_is_an_error_that_names_it(checkout: Path) -> None:
    (checkout / "lock.txt").unlink()

    with pytest.raises(ToolError, match=r"lock\.txt, which is missing"):
        plan(Builder.BUILDAH, checkout, CATALOGUE)


def test_without_names_the_images_that_run_in_a_cluster_are_chosen(checkout: Path) -> None:
    planned = plan(Builder.BUILDAH, checkout, CATALOGUE)

    assert names(select(planned, [])) == ["base", "app"]
    assert names(select(planned, ["other", "app"])) == ["app", "other"]


def test_an_unknown_name_is_answered_with_the_known_ones(checkout: Path) -> None:
    planned = plan(Builder.BUILDAH, checkout, CATALOGUE)

    with pytest.raises(ToolError, match="no image 'ap'") as error:
        select(planned, ["ap"])
    assert error.value.advice == "name one of base, app, other"


def test_an_edit_after_the_snapshot_is_not_in_the_images_context(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("store")
    snapshot = take_snapshot(CATALOGUE, checkout, folder / "snapshot")

    (checkout / "app/src/main.py").write_text("edited meanwhile")
    dockerfile = copy_context(APP, snapshot, folder / "context")

    assert dockerfile == folder / "context/app/Dockerfile"
    assert (folder / "context/app/src/main.py").read_text() == "print()"


def test_a_context_holds_the_images_inputs_and_nothing_else(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    context = tmp_path_factory.mktemp("context")

    copy_context(APP, checkout, context)

    found = {str(path.relative_to(context)) for path in context.rglob("*") if path.is_file()}
    assert found == {"app/Dockerfile", "app/src/main.py", "lock.txt"}


def test_every_image_of_the_catalogue_can_be_planned_and_follows_its_bases() -> None:
    planned = plan(Builder.BUILDAH, ROOT)

    assert names(planned) == [image.name for image in IMAGES]
    assert len({one.reference for one in planned}) == len(IMAGES)


def names(planned: list[PlannedImage]) -> list[str]:
    return [one.image.name for one in planned]
