"""Grafana's JSON of a dashboard: schema 39, as Grafana 10.4 and later read it.

The data source is a variable and nothing has to be filled in, so a file works whether it is
imported by hand or found by a sidecar.

Before: ``dashboards`` holds them.
After: ``writing`` writes them to files.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from hack.monitoring.panels import GRID_COLUMNS, Dashboard, Kind, Panel, Query, Row

SCHEMA_VERSION = 39
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
TAG = "orchestrator"
API_PODS = 'orchestrator_build_info{app="api"}'
"""There as long as the platform is: an API never scales to zero."""


def to_json(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        # What is changed in Grafana would be lost with the next upgrade of the chart.
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "title": "Orchestrator",
                "type": "dashboards",
                "tags": [TAG],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": list(_variables())},
        "panels": list(_panels(dashboard.rows)),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }
    instances = f'{API_PODS[:-1]}, namespace="$namespace"}}'
    for name, label, metric, of in (
        ("namespace", "Namespace", API_PODS, "namespace"),
        ("orchestrator", "Orchestrator", instances, "app_kubernetes_io_instance"),
    ):
        query = f"label_values({metric}, {of})"
        yield {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": SOURCE,
            "definition": query,
            "query": {"query": query, "refId": name},
            # Again whenever the time range changes, so that new ones appear.
            "refresh": 2,
            "sort": 1,
        }


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for row in rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": GRID_COLUMNS, "h": 1},
        }
        number, top = number + 1, top + 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > GRID_COLUMNS:
                left, top, height = 0, top + height, 0
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            number, left, height = number + 1, left + panel.width, max(height, panel.height)
        top += height


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": str(panel.kind),
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "targets": [
            _target(query, ref, is_now=panel.kind is Kind.NUMBER)
            for query, ref in zip(panel.queries, "ABCDEFGH", strict=False)
        ],
        "fieldConfig": {
            "defaults": _field(panel),
            "overrides": [_dashed(query) for query in panel.queries if query.is_bound],
        },
        "options": _options(panel),
    }


def _target(query: Query, ref: str, *, is_now: bool) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasource": SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "instant": is_now,
        "range": not is_now,
    }


def _field(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": panel.base_color, "value": None}]
    steps += [{"color": level.color, "value": level.value} for level in panel.levels]
    field: dict[str, Any] = {
        "unit": str(panel.unit),
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.most is not None:
        field["max"] = panel.most
    if panel.kind is Kind.NUMBER:
        return {**field, "color": {"mode": "thresholds"}}
    return {
        **field,
        "color": {"mode": "palette-classic"},
        "custom": {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.is_stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
        },
    }


def _dashed(query: Query) -> dict[str, Any]:
    style = {"fill": "dash", "dash": [8, 8]}
    return {
        "matcher": {"id": "byName", "options": query.legend},
        "properties": [
            {"id": "custom.lineStyle", "value": style},
            {"id": "custom.fillOpacity", "value": 0},
            {"id": "color", "value": {"mode": "fixed", "fixedColor": "text"}},
        ],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind is Kind.NUMBER:
        return {
            "colorMode": "value",
            "graphMode": "none",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
