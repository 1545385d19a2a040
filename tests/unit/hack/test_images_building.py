import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from hack.images.building import Workshop
from hack.images.catalogue import Image
from hack.images.engines import Recipe
from hack.images.planning import Builder, PlannedImage, plan
from hack.images.store import KEPT_VERSIONS, Store
from hack.tooling.errors import ToolError
from hack.tooling.steps import Progress, Step

BASE = Image("base", "base/Dockerfile", ("base",), context="base", is_deployed=False)
APP = Image("app", "app/Dockerfile", ("app",), context="app", bases={"BASE": "base"})
CATALOGUE = (BASE, APP)


class FakeEngine:
    """Keeps what it was asked for; an image is a file that says what its Dockerfile said."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        self.built: list[str] = []
        self.recipes: list[Recipe] = []
        self.is_broken = False

    def list_images(self) -> set[str]:
        return set(self.images)

    def build(self, recipe: Recipe, step: Step) -> None:
        step.write(f"building {recipe.reference}")
        self.recipes.append(recipe)
        self.built.append(recipe.reference.rpartition("/")[2].partition(":")[0])
        self.images[recipe.reference] = recipe.dockerfile.read_text()

    def save(self, reference: str, archive: Path, step: Step) -> None:
        step.write(f"saving {reference}")
        archive.write_text(self.images[reference])
        if self.is_broken:
            raise ToolError("no room on the disk")

    def forget(self, reference: str) -> None:
        self.images.pop(reference, None)

    def tidy(self) -> None:
        pass

    def remove_all(self) -> None:
        self.images.clear()


class Bench:
    """A checkout, a store and a fake engine."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self.store = Store(folder / "store")
        self.engine = FakeEngine()
        for name in ("base", "app"):
            (self.checkout / name).mkdir(parents=True)
            self.write(name, "first")

    def write(self, name: str, content: str) -> None:
        (self.checkout / name / "Dockerfile").write_text(content)

    def provide(self, *, names: Sequence[str] = ("app",)) -> list[PlannedImage]:
        planned = plan(Builder.BUILDAH, self.checkout, CATALOGUE)
        progress = Progress(self.store.logs, stream=io.StringIO())
        workshop = Workshop(
            planned,
            builder=Builder.BUILDAH,
            store=self.store,
            snapshot=self.checkout,
            progress=progress,
            engine=self.engine,
        )
        chosen = [one for one in planned if one.image.name in names]
        workshop.provide(chosen)
        return chosen


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_first_run_builds_the_base_then_the_image_and_keeps_the_images_archive(
    bench: Bench,
) -> None:
    (app,) = bench.provide()

    assert bench.engine.built == ["base", "app"]
    assert bench.store.archive(app.reference).read_text() == "first"
    assert list((bench.store.root / "archives").iterdir()) == [bench.store.root / "archives/app"]


def test_a_second_run_builds_nothing(bench: Bench) -> None:
    bench.provide()
    bench.engine.built.clear()

    bench.provide()

    assert bench.engine.built == []


def test_a_changed_image_is_built_upon_the_base_that_is_there(bench: Bench) -> None:
    bench.provide()
    bench.engine.built.clear()
    bench.write("app", "second")

    (app,) = bench.provide()

    assert bench.engine.built == ["app"]
    assert bench.store.archive(app.reference).read_text() == "second"


def test_an_image_whose_archive_is_there_needs_neither_engine_nor_base(bench: Bench) -> None:
    bench.provide()
    bench.engine.images.clear()
    bench.engine.built.clear()

    bench.provide()

    assert bench.engine.built == []


def test_an_interrupted_save_is_not_taken_for_an_archive(bench: Bench) -> None:
    bench.engine.is_broken = True
    with pytest.raises(ToolError, match="no room"):
        bench.provide()
    bench.engine.is_broken = False

    (app,) = bench.provide()

    assert bench.store.archive(app.reference).read_text() == "first"


def test_only_the_newest_versions_of_an_image_are_kept(bench: Bench) -> None:
    made = []
    for number in range(KEPT_VERSIONS + 2):
        bench.write("app", f"version {number}")
        (app,) = bench.provide()
        # Times that tell the versions apart, as minutes between two edits would.
        os.utime(bench.store.archive(app.reference), (number, number))
        made.append(app.reference)

    left = [reference for reference in made if bench.store.archive(reference).exists()]
    assert left == made[-KEPT_VERSIONS:]
    assert set(made) & set(bench.engine.images) == set(left)


def test_only_images_upon_others_reach_a_package_index(bench: Bench) -> None:
    bench.provide()

    assert [recipe.uses_index for recipe in bench.engine.recipes] == [False, True]
    assert bench.engine.recipes[1].arguments == {"BASE": bench.engine.recipes[0].reference}
