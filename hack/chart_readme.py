"""Write the chart's table of values from ``values.yaml`` and its comments.

A comment is the block of ``#`` lines directly above a key. A key with a comment is one row,
whatever it holds; a mapping without one is a group, and each key in it a row.

Before: ``make generate``, and ``make verify`` with ``--check``.
After: people read ``charts/orchestrator-operator/README.md``; its prose stays as it is written.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hack.tooling.errors import ToolError, explain

CHART = Path(__file__).resolve().parents[1] / "charts/orchestrator-operator"
BEGIN = "<!-- values: written by `make generate` from values.yaml -->"
END = "<!-- end of values -->"
HEAD = "| Value | Default | Meaning |\n|---|---|---|\n"


@dataclass(frozen=True, slots=True)
class Value:
    """One value that may be set."""

    key: str
    """As ``helm --set`` takes it, e.g. ``crds.keep``."""
    default: Any
    meaning: str
    """One line; empty when nobody wrote a comment."""


def read_values(text: str) -> list[Value]:
    """Return every value of a ``values.yaml``, in its order."""
    defaults: Mapping[str, Any] = yaml.safe_load(text)
    return list(_read_mapping(yaml.compose(text), defaults, text.splitlines(), prefix=""))


def _read_mapping(
    node: yaml.Node | None, defaults: Mapping[str, Any], lines: Sequence[str], *, prefix: str
) -> Iterator[Value]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, child in node.value:
        default = defaults[key.value]
        meaning = _comment_above(lines, key.start_mark.line)
        name = f"{prefix}{key.value}"
        if default and isinstance(default, dict) and not meaning:
            yield from _read_mapping(child, default, lines, prefix=f"{name}.")
        else:
            yield Value(name, default, meaning)


def _comment_above(lines: Sequence[str], line: int) -> str:
    first = line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return " ".join(text.lstrip(" #").rstrip() for text in lines[first:line])


def build_table(values: Sequence[Value]) -> str:
    """Return the values as a table of Markdown.

    Raises:
        ToolError: values have no comment; names all of them.
    """
    silent = [value.key for value in values if not value.meaning]
    if silent:
        raise ToolError(
            f"values.yaml does not say what these mean: {', '.join(silent)}",
            advice="write a comment on the lines above each of them",
        )
    return HEAD + "".join(
        f"| `{value.key}` | `{_to_cell(json.dumps(value.default))}` | {_to_cell(value.meaning)} |\n"
        for value in values
    )


def _to_cell(text: str) -> str:
    return text.replace("|", r"\|")


def render_readme(readme: str, values: str) -> str:
    """Return the README with the table of these values between its markers.

    Raises:
        ToolError: the markers are not there, or a value has no comment.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ToolError(
            "the chart's README has no place for its values",
            advice=f"put these two lines where the table belongs:\n{BEGIN}\n{END}",
        )
    return f"{before}{BEGIN}\n{build_table(read_values(values))}{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table, or only look; 1 when it can't be written, or ``--check`` finds it stale."""
    parser = argparse.ArgumentParser(description="Write the chart's table of values.")
    parser.add_argument("--check", action="store_true", help="change nothing; say if it is stale")
    parser.add_argument("--chart", type=Path, default=CHART, help="the chart's folder")
    options = parser.parse_args(arguments)
    try:
        return _write(options.chart, is_check=options.check)
    except ToolError as error:
        print(explain(error), file=sys.stderr)
        return 1


def _write(chart: Path, *, is_check: bool) -> int:
    readme = chart / "README.md"
    found = readme.read_text(encoding="utf-8")
    wanted = render_readme(found, (chart / "values.yaml").read_text(encoding="utf-8"))
    if found == wanted:
        return 0
    if is_check:
        print(f"{readme} is not what values.yaml says: run `make generate`", file=sys.stderr)
        return 1
    readme.write_text(wanted, encoding="utf-8")
    print(f"wrote {readme}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
