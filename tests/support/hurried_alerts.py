"""The alerts in a hurry: the same rules, which look back and wait for seconds instead of minutes.

Before: ``hack.monitoring.alerts`` makes the rules.
After: a Prometheus that reads each second plays them to faults that last for seconds.
"""

import re
from collections.abc import Mapping
from typing import Any

LASTING = "2s"
"""Two evaluations: an alert that waits for nothing would not be pending first."""
WINDOWS: Mapping[str, str] = {
    "[5m:30s]": "[5s:1s]",
    # What is answered late comes in bursts, as far apart as a call of a silent store takes.
    "[5m]": "[10s]",
    "[10m]": "[10s]",
    # Whoever tries again is made to wait for a second between two tries.
    "[15m]": "[20s]",
}
"""A window of a rule → the one that it has in a hurry."""
_STRING_OR_DURATION = re.compile(r'"[^"]*"|\[[^\]]*\]|\b\d+(?:ms|[smhdwy])\w*')


def hurry(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file of rules with other durations, and otherwise as it was.

    Raises:
        ValueError: there is a duration that ``WINDOWS`` does not know.
    """
    groups = [
        {**group, "rules": [_hurry_rule(rule) for rule in group["rules"]]}
        for group in rules["groups"]
    ]
    return {**rules, "groups": groups}


def _hurry_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    def replace(found: re.Match[str]) -> str:
        text = found.group()
        if text.startswith('"'):
            return text
        if text not in WINDOWS:
            raise ValueError(f"{rule['alert']} has {text}: say in WINDOWS what it is in a hurry")
        return WINDOWS[text]

    return {**rule, "expr": _STRING_OR_DURATION.sub(replace, rule["expr"]), "for": LASTING}
