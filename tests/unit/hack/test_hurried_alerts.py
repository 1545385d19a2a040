"""The alerts in a hurry are the same alerts."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.monitoring.alerts import to_rules
from hurried_alerts import LASTING, WINDOWS, hurry
from promtool import promtool


def only(expression: str) -> dict[str, Any]:
    return {"groups": [{"name": "any", "rules": [{"alert": "Any", "expr": expression}]}]}


def hurried(expression: str) -> str:
    [group] = hurry(only(expression))["groups"]
    [rule] = group["rules"]
    return str(rule["expr"])


def without_durations(rules: dict[str, Any]) -> list[dict[str, Any]]:
    [group] = rules["groups"]
    return [
        {**rule, "for": "", "expr": re.sub(r"\[\d+[ms](:\d+s)?\]", "[]", rule["expr"])}
        for rule in group["rules"]
    ]


def test_only_durations_differ() -> None:
    rules = to_rules()

    assert without_durations(hurry(rules)) == without_durations(rules)
    assert {rule["for"] for rule in hurry(rules)["groups"][0]["rules"]} == {LASTING}


def test_every_window_is_there_for_an_alert() -> None:
    rules = yaml.safe_dump(to_rules(), width=1000)

    assert {window for window in WINDOWS if window not in rules} == set()


def test_prometheus_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(hurry(to_rules())), encoding="utf-8")

    promtool("check", "rules", path)


def test_what_looks_like_a_window_in_a_string_stays() -> None:
    expression = 'rate(seen{queue=~"task[.]created [7m]"}[5m]) > 0.5'

    assert hurried(expression) == expression.replace("[5m]", WINDOWS["[5m]"])


@pytest.mark.parametrize(
    "expression", ["rate(seen[7m])", "max_over_time(seen[1h:5m])", "seen offset 5m"]
)
def test_a_duration_that_nobody_thought_of_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="WINDOWS"):
        hurry(only(expression))
