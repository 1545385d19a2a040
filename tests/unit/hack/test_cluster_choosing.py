"""Which cluster a command is about."""

import io
from pathlib import Path

import pytest

from hack.cluster import choosing
from hack.cluster.layouts import Layout
from hack.cluster.nodes import LocalNode
from hack.tooling.errors import ToolError
from hack.tooling.steps import Progress


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    root = tmp_path / "state"
    root.mkdir()
    return Layout(root)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a docker on the PATH that succeeds at the commands it is told to."""

    def make(*succeeding: str) -> None:
        program = tmp_path / "docker"
        cases = "".join(f"  '{command}'*) exit 0;;\n" for command in succeeding)
        program.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}esac\nexit 1\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return make


def progress(layout: Layout) -> Progress:
    return Progress(layout.logs, stream=io.StringIO())


def choose(layout: Layout, environ: dict[str, str], requested: str | None = None) -> str:
    return choosing.choose_provider(requested, layout, environ, progress(layout)).name


def test_the_cluster_of_kubeconfig_comes_first(layout: Layout, docker) -> None:
    docker("info", "image inspect")

    assert choose(layout, {"KUBECONFIG": "/somewhere/config"}) == "existing"


def test_our_own_kubeconfig_does_not_make_our_cluster_a_strangers(layout: Layout) -> None:
    choosing.remember(LocalNode(layout), layout)

    assert choose(layout, {"KUBECONFIG": str(layout.kubeconfig)}) == "local"


def test_kind_is_chosen_where_docker_runs_and_has_the_image(layout: Layout, docker) -> None:
    docker("info", "image inspect")

    assert choose(layout, {}) == "kind"


def test_kind_is_chosen_where_its_image_can_be_fetched(layout: Layout, docker) -> None:
    docker("info", "pull")

    assert choose(layout, {}) == "kind"


def test_the_local_node_is_chosen_where_no_registry_gives_the_image(layout: Layout, docker) -> None:
    docker("info")

    assert choose(layout, {}) == "local"


def test_the_local_node_is_chosen_without_a_docker_daemon(layout: Layout, docker) -> None:
    docker()

    assert choose(layout, {}) == "local"


def test_a_request_is_followed(layout: Layout, docker) -> None:
    docker("info", "image inspect")

    assert choose(layout, {}, "local") == "local"


def test_the_choice_stays_when_docker_appears_later(layout: Layout, docker) -> None:
    choosing.remember(LocalNode(layout), layout)
    docker("info", "image inspect")

    assert choose(layout, {}) == "local"


def test_a_second_kind_of_cluster_is_refused_while_the_first_is_there(layout: Layout) -> None:
    choosing.remember(LocalNode(layout), layout)

    with pytest.raises(ToolError) as refusal:
        choose(layout, {}, "kind")

    assert "down --reset" in refusal.value.advice


def test_without_a_cluster_other_commands_say_how_to_get_one(layout: Layout) -> None:
    with pytest.raises(ToolError) as refusal:
        choosing.find_provider(None, layout, {}, progress(layout))

    assert "up" in refusal.value.advice


def test_a_forgotten_choice_is_made_anew(layout: Layout, docker) -> None:
    choosing.remember(LocalNode(layout), layout)
    docker("info", "image inspect")

    choosing.forget(layout)

    assert choose(layout, {}) == "kind"
