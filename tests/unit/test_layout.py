"""The shape of the repository."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBERS = ["api", "core", "operator", "worker"]


@pytest.mark.parametrize("folder", [*MEMBERS, "migrations"])
def test_top_level_folders_are_not_python_packages(folder: str) -> None:
    # operator/__init__.py would shadow the standard library for every `python -m` at the root.
    assert list((ROOT / folder).glob("*.py")) == []


@pytest.mark.parametrize("folder", MEMBERS)
def test_a_member_holds_one_typed_package_and_no_tests(folder: str) -> None:
    packages = [p.name for p in (ROOT / folder / "src").iterdir() if not p.name.startswith("_")]

    assert packages == [f"orchestrator_{folder}"]
    assert (ROOT / folder / "src" / packages[0] / "py.typed").exists()
    assert list((ROOT / folder).rglob("test_*.py")) == []


def test_no_module_is_a_drawer_for_leftovers() -> None:
    names = {path.stem for member in MEMBERS for path in (ROOT / member / "src").rglob("*.py")}

    assert names.isdisjoint({"utils", "util", "common", "helpers", "base", "misc"})


@pytest.mark.parametrize(
    "path",
    sorted(p for m in MEMBERS for p in (ROOT / m / "src").rglob("*.py")),
    ids=lambda path: path.stem,
)
def test_a_module_stays_readable(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    budget = 150 if path.name in ("app.py", "reconciling.py") else 400

    assert len(lines) <= budget, f"{path.name} has {len(lines)} lines: split it by noun or activity"


@pytest.mark.parametrize(
    "path",
    sorted(
        p
        for m in MEMBERS
        for p in (ROOT / m / "src").rglob("*.py")
        if p.name not in ("__init__.py", "__main__.py")
    ),
    ids=lambda path: path.stem,
)
def test_a_module_says_where_its_data_comes_from_and_goes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert "Before:" in text, "say who hands this module its data"
    assert "After:" in text, "say who takes it on"


def test_every_migration_has_its_way_back() -> None:
    ups = {p.name.removesuffix(".up.sql") for p in (ROOT / "migrations").glob("*.up.sql")}
    downs = {p.name.removesuffix(".down.sql") for p in (ROOT / "migrations").glob("*.down.sql")}

    assert ups == downs
    assert sorted(name[:4] for name in ups) == [f"{n:04}" for n in range(1, len(ups) + 1)]
