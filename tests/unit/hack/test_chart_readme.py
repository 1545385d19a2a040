"""The chart's table of values is what ``values.yaml`` says, and no value is without a word."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.chart_readme import (
    BEGIN,
    CHART,
    END,
    Value,
    build_table,
    main,
    read_values,
    render_readme,
)
from hack.tooling.errors import ToolError

VALUES = (CHART / "values.yaml").read_text(encoding="utf-8")
OF_HELM_ITSELF = {"global"}
"""What Helm hands to every chart inside another one."""


def a_chart(folder: Path, *, values: str, table: str = "old\n") -> Path:
    folder.joinpath("values.yaml").write_text(values, encoding="utf-8")
    readme = f"before\n{BEGIN}\n{table}{END}\nafter\n"
    folder.joinpath("README.md").write_text(readme, encoding="utf-8")
    return folder


def schema_keys(schema: Mapping[str, Any], defaults: Any, prefix: str = "") -> Iterator[str]:
    """Yield what may be set; a mapping that is empty or of any shape is one value."""
    for name, part in schema["properties"].items():
        default = defaults.get(name)
        if default and "properties" in part:
            yield from schema_keys(part, default, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def test_the_readme_of_the_chart_is_up_to_date() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")

    assert readme == render_readme(readme, VALUES), "run `make generate`"


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    known = set(schema_keys(schema, yaml.safe_load(VALUES)))

    assert known - OF_HELM_ITSELF == {value.key for value in read_values(VALUES)}


def test_a_key_with_a_comment_is_a_row_and_one_without_is_a_group() -> None:
    text = """
# About the file.

# An image,
# in full.
image: ""
crds:
  # Which one.
  version: 1
# Both together.
resources: {limits: {memory: 1Mi}}
"""

    assert read_values(text) == [
        Value("image", "", "An image, in full."),
        Value("crds.version", 1, "Which one."),
        Value("resources", {"limits": {"memory": "1Mi"}}, "Both together."),
    ]


def test_values_without_a_comment_are_all_named() -> None:
    values = read_values("# Said.\na: 1\n\n# Of something else.\n\nb: 2\nc:\n  d: {}\n")

    with pytest.raises(ToolError, match=r"does not say what these mean: b, c\.d$"):
        build_table(values)


def test_a_bar_does_not_end_its_cell() -> None:
    assert build_table([Value("a", "x|y", "one | other")]).endswith(
        '| `a` | `"x\\|y"` | one \\| other |\n'
    )


def test_only_what_stands_between_the_markers_is_written(tmp_path: Path) -> None:
    chart = a_chart(tmp_path, values="# A number.\na: 1\n")

    status = main(["--chart", str(chart)])

    assert status == 0
    before, table, after = (
        (chart / "README.md").read_text().partition("| `a` | `1` | A number. |\n")
    )
    assert table
    assert before.startswith(f"before\n{BEGIN}\n| Value |")
    assert after == f"{END}\nafter\n"
    assert main(["--chart", str(chart), "--check"]) == 0


def test_a_check_tells_of_an_old_table_and_leaves_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chart = a_chart(tmp_path, values="# A number.\na: 1\n")

    status = main(["--chart", str(chart), "--check"])

    assert status == 1
    assert "run `make generate`" in capsys.readouterr().err
    assert "old\n" in (chart / "README.md").read_text()


def test_a_readme_without_a_place_for_them_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chart = a_chart(tmp_path, values="# A number.\na: 1\n")
    (chart / "README.md").write_text("no markers\n")

    status = main(["--chart", str(chart)])

    assert status == 1
    assert BEGIN in capsys.readouterr().err
    assert (chart / "README.md").read_text() == "no markers\n"
