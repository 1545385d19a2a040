"""What dashboards and alerts ask Prometheus, with their variables filled in as Grafana does.

Before: ``hack.monitoring`` has the dashboards and the alerts.
After: tests ask a Prometheus, or look up what is named.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hack.monitoring.alerts import ALERTS
from hack.monitoring.dashboards import DASHBOARDS

NAME = re.compile(r"\b(?:orchestrator|rabbitmq|process|container|kubelet)_[a-z0-9_]+\b")
_MATCHERS = re.compile(r"\{[^{}]*\}")
_GROUPING = re.compile(r"\b(?:by|on|ignoring|without) \(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One expression and where it stands."""

    where: str
    """As ``Stores / RabbitMQ / Consumers / {{queue}}``, or an alert's name."""
    expression: str


def of_dashboards() -> Iterator[Asked]:
    """Yield what each panel asks."""
    for dashboard in DASHBOARDS:
        page = dashboard.title.rpartition(" / ")[2]
        places = [(row.title, panel) for row in dashboard.rows for panel in row.panels]
        for row, panel in places:
            where = f"{page} / {row} / {panel.title}"
            yield from (
                Asked(f"{where} / {each.legend}", each.expression) for each in panel.queries
            )


def of_alerts() -> Iterator[Asked]:
    """Yield what each alert asks."""
    for alert in ALERTS:
        yield Asked(alert.name, alert.expression)


def fill(expression: str, *, namespace: str, orchestrator: str, interval: str) -> str:
    """Put values in the place of a dashboard's variables."""
    return (
        expression.replace("$namespace", namespace)
        .replace("$orchestrator", orchestrator)
        .replace("$__rate_interval", interval)
    )


def metrics_in(expression: str) -> set[str]:
    """Return the metrics that an expression names."""
    bare = _GROUPING.sub("", _MATCHERS.sub("", re.sub(r'"[^"]*"', "", expression)))
    return set(NAME.findall(bare))


def labels_in(expression: str) -> set[str]:
    """Return the labels that an expression matches or groups by."""
    matched = {
        name
        for braces in _MATCHERS.findall(re.sub(r'"[^"]*"', '""', expression))
        for name in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", braces)
    }
    grouped = {
        name.strip()
        for names in _GROUPING.findall(expression)
        for name in names.split(",")
        if name.strip()
    }
    return matched | grouped
