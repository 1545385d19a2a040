"""A program is built once for what it is built from."""

import io
from pathlib import Path

import pytest

from hack.cluster import builds
from hack.cluster.builds import Build
from hack.cluster.layouts import SOURCES, Layout
from hack.tooling.errors import ToolError
from hack.tooling.steps import Progress

HELLO = Build("hello", usual_seconds=1)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    (folder / "hello").mkdir(parents=True)
    (folder / "hello" / "main.go").write_text("package main")
    return folder


@pytest.fixture(autouse=True)
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a compiler on the PATH that writes down its calls and fails when it is told to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = tmp_path / "calls"
    calls.touch()
    program = folder / "go"
    program.write_text(
        "#!/bin/sh\n"
        'if [ "$1" = env ]; then echo go1.26.8; exit; fi\n'
        f'echo "$@" >> {calls}\n'
        f"if [ -e {tmp_path}/broken ]; then echo 'undefined: x'; exit 1; fi\n"
        'while [ "$1" != -o ]; do shift; done; : > "$2"; chmod +x "$2"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return calls


def a_layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "state")


def build(layout: Layout, sources: Path) -> Path:
    progress = Progress(layout.logs, stream=io.StringIO())
    return builds.build_program(HELLO, layout, progress, sources=sources)


def test_the_second_build_of_the_same_sources_compiles_nothing(
    tmp_path: Path, sources: Path, go: Path
) -> None:
    layout = a_layout(tmp_path)
    first = build(layout, sources)

    second = build(layout, sources)

    assert second == first
    assert len(go.read_text().splitlines()) == 1


def test_a_changed_source_is_built_beside_the_old_program(tmp_path: Path, sources: Path) -> None:
    layout = a_layout(tmp_path)
    first = build(layout, sources)

    (sources / "hello" / "main.go").write_text("package main // changed")
    second = build(layout, sources)

    assert second != first
    assert first.exists()


def test_only_the_last_two_builds_are_kept(tmp_path: Path, sources: Path) -> None:
    layout = a_layout(tmp_path)

    for number in range(4):
        (sources / "hello" / "main.go").write_text(f"package main // {number}")
        build(layout, sources)

    assert len([path for path in layout.store.iterdir() if path.is_dir()]) == 2


def test_a_failed_build_shows_the_compilers_words_and_leaves_no_program(
    tmp_path: Path, sources: Path
) -> None:
    layout = a_layout(tmp_path)
    (tmp_path / "broken").touch()

    with pytest.raises(ToolError) as failure:
        build(layout, sources)

    assert failure.value.log is not None
    assert "undefined: x" in failure.value.log.read_text()
    assert builds.find_built(HELLO, layout, sources) is None


def test_a_build_that_was_interrupted_is_made_again(tmp_path: Path, sources: Path) -> None:
    layout = a_layout(tmp_path)
    partial = layout.store / f"hello-{builds.hash_content(HELLO, sources)}.partial"
    partial.mkdir(parents=True)
    (partial / "hello").write_text("half a program")

    program = build(layout, sources)

    assert program.read_text() == ""
    assert not partial.exists()


def test_flags_are_part_of_the_content(sources: Path) -> None:
    tagged = Build("hello", tags="postgres")

    assert builds.hash_content(HELLO, sources) != builds.hash_content(tagged, sources)


def test_every_program_has_pinned_sources() -> None:
    known = (*builds.NODE_BUILDS, builds.KUBECTL, builds.HELM, builds.MIGRATE, builds.KIND)

    for program in known:
        folder = SOURCES / program.name
        assert (folder / "go.mod").exists(), program.name
        assert program is builds.PAUSE or (folder / "go.sum").exists(), program.name


@pytest.mark.parametrize(
    ("version", "is_recent"),
    [("go1.26.8", True), ("go1.21", True), ("go1.19.8", False), ("devel", False), ("", False)],
)
def test_go_is_recent_enough_from_1_21_on(version: str, *, is_recent: bool) -> None:
    assert builds.is_go_recent(version) is is_recent
