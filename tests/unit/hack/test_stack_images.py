"""The operator is told of what the cluster has, and of nothing else."""

import json

import pytest

from hack.stack import images
from hack.stack.cluster import Provider
from hack.stack.images import IMAGES_VARIABLE
from hack.tooling.errors import ToolError

BUILT = {"api": "localhost/api:1", "worker": "localhost/worker:1", "operator": "localhost/op:1"}


def a_load(*, built: dict[str, str], published: dict[str, str]) -> str:
    archives = {name: f"/archives/{name}.tar" for name in built}
    return json.dumps({"images": built | published, "archives": archives})


def operands(values: list[str]) -> object:
    (value,) = [one for one in values if one.startswith("--set-json=defaultImages=")]
    return json.loads(value.partition("defaultImages=")[2])


def test_published_images_are_left_to_the_operators_defaults() -> None:
    answer = a_load(built=BUILT, published={"postgres": "postgres:17"})

    assert images.select_built(answer) == BUILT


def test_only_what_is_given_becomes_a_value_of_the_chart() -> None:
    values = images.build_values({"api": "example/api:1"})

    assert operands(values) == {"api": "example/api:1"}
    assert len(values) == 1


def test_without_images_the_chart_keeps_its_defaults() -> None:
    assert images.build_values({}) == []


def test_the_operators_image_is_a_value_of_its_own() -> None:
    assert images.build_values({"operator": "example/op:1"}) == ["--set-string=image=example/op:1"]


def test_the_worker_with_the_demo_types_takes_the_place_of_the_plain_one() -> None:
    values = images.build_values({"worker": "example/worker:1", "demo-worker": "example/demo:1"})

    assert operands(values) == {"worker": "example/demo:1"}


def test_named_images_are_used_without_building(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "ask_tool", lambda *_: pytest.fail("a tool was asked"))

    provided = images.provide_images({IMAGES_VARIABLE: json.dumps(BUILT)})

    assert provided == BUILT


@pytest.mark.parametrize("named", ["api=1", "[]", '{"api": 1}', '{"postgre": "postgres:17"}'])
def test_names_that_make_no_sense_get_a_sentence(named: str) -> None:
    with pytest.raises(ToolError) as refusal:
        images.parse_named(named)

    assert refusal.value.found.startswith(IMAGES_VARIABLE)
    assert "unset it" in refusal.value.advice


def test_on_a_cluster_of_somebody_else_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "ask_provider", lambda: Provider.EXISTING)

    with pytest.raises(ToolError) as refusal:
        images.provide_images({})

    assert "push them to a registry" in refusal.value.advice
    assert IMAGES_VARIABLE in refusal.value.advice
