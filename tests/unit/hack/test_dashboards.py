"""Each dashboard can be read, by Grafana and by people, and asks for what is measured."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboard_queries import Asked, fill, labels_in, metrics_in, of_alerts, of_dashboards
from hack.monitoring.dashboards import DASHBOARDS
from hack.monitoring.panels import GRID_COLUMNS
from hack.monitoring.writing import CHART, find_stale, main, render
from measured import labels_of, registries
from orchestrator_operator.metrics import SCALING
from promtool import promtool

FILES = sorted((CHART / "files/dashboards").glob("*.json"))
SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
OF_RABBITMQ = {
    "rabbitmq_connections",
    "rabbitmq_detailed_queue_consumers",
    "rabbitmq_detailed_queue_messages",
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_detailed_queue_messages_unacked",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
    "rabbitmq_global_messages_confirmed_total",
    "rabbitmq_global_messages_delivered_total",
    "rabbitmq_global_messages_received_total",
    "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_resident_memory_limit_bytes",
}
"""Of its plugin; the end-to-end test asks a real one for each."""
OF_THE_KUBELET = {
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "kubelet_volume_stats_used_bytes",
}
OF_THE_TARGET = {
    "app_kubernetes_io_component",
    "app_kubernetes_io_instance",
    "app_kubernetes_io_name",
    "namespace",
    "pod",
}
"""Labels that PodMonitors give."""
OF_OTHERS = {"queue", "persistentvolumeclaim"}
NOT_SHOWN = {
    "orchestrator_build_info": "the dashboards' variables and an alert ask for it",
    "orchestrator_api_submission_batch_size_bucket": "the mean says enough",
    "orchestrator_worker_claim_batch_size_bucket": "the mean says enough",
    "orchestrator_worker_settlement_batch_size_bucket": "the mean says enough",
}
"""What is measured and in no panel, and why."""


def ours() -> set[str]:
    """Return every name of ours under which a process has samples."""
    families = [family for registry in registries().values() for family in registry.collect()]
    return {
        f"{family.name}{suffix}" for family in families for suffix in SAMPLES.get(family.type, ())
    } | {f"orchestrator_autoscaler_{name}" for name in SCALING}


def panels_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["panels"]
    return found


def shown_panels() -> Iterator[Any]:
    for path in FILES:
        for panel in panels_of(path):
            if panel["type"] != "row":
                yield pytest.param(panel, id=f"{path.stem}-{panel['title']}")


def test_the_committed_files_are_what_is_written() -> None:
    assert find_stale(CHART) == [], "run `make generate`"
    assert {path.name for path in FILES} == {f"{each.uid}.json" for each in DASHBOARDS}


def test_a_check_names_what_is_changed_missing_or_too_much_and_leaves_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--chart", str(tmp_path)]
    assert main(arguments) == 0
    first, second, *_ = [tmp_path / path for path in render()]
    first.write_text("{}")
    second.unlink()
    more = first.with_name("of-yesterday.json")
    more.write_text("{}")

    assert main([*arguments, "--check"]) == 1

    told = capsys.readouterr().err
    assert all(str(path) in told for path in (first, second, more))
    assert first.read_text() == "{}"
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    assert not more.exists()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_needs_nothing_to_be_filled_in(path: Path) -> None:
    dashboard = json.loads(path.read_text(encoding="utf-8"))

    assert "__inputs" not in dashboard
    assert "__requires" not in dashboard
    assert "id" not in dashboard
    assert dashboard["uid"] == path.stem
    assert len(dashboard["uid"]) <= 40
    assert dashboard["editable"] is False
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "orchestrator"]
    assert variables["datasource"]["query"] == "prometheus"


def test_each_has_a_title_and_an_address_of_its_own() -> None:
    places = [each.where for each in of_dashboards()]
    assert len(set(places)) == len(places)
    assert len({each.uid for each in DASHBOARDS}) == len(DASHBOARDS) == 5
    assert len({each.title for each in DASHBOARDS}) == 5


@pytest.mark.parametrize("panel", [*shown_panels()])
def test_a_panel_says_what_it_shows_in_which_unit_from_the_chosen_source(
    panel: dict[str, Any],
) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 20
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    legends = [target["legendFormat"] for target in panel["targets"]]
    assert len(set(legends)) == len(legends)
    assert all(legends)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_panel_covers_another_and_all_are_on_the_page(path: Path) -> None:
    places = [panel["gridPos"] for panel in panels_of(path)]

    for one, other in itertools.combinations(places, 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_below, (one, other)
    assert all(0 <= each["x"] <= GRID_COLUMNS - each["w"] for each in places)
    numbers = [panel["id"] for panel in panels_of(path)]
    assert len(set(numbers)) == len(numbers)


def test_every_expression_is_one_that_prometheus_can_read(tmp_path: Path) -> None:
    asked = [*of_dashboards(), *of_alerts()]
    rules = [
        {
            "record": f"query:number_{number}",
            "expr": fill(each.expression, namespace="team", orchestrator="demo", interval="1m"),
        }
        for number, each in enumerate(asked)
    ]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))

    told = promtool("check", "rules", path)

    assert f"{len(asked)} rules found" in told


@pytest.mark.parametrize("asked", [*of_dashboards(), *of_alerts()], ids=lambda each: each.where)
def test_what_is_asked_for_is_measured(asked: Asked) -> None:
    named = metrics_in(asked.expression)

    assert named
    assert named - ours() - OF_RABBITMQ - OF_THE_KUBELET == set()


@pytest.mark.parametrize("asked", [*of_dashboards()], ids=lambda each: each.where)
def test_a_rate_follows_the_zoom_and_a_series_is_one_platforms(asked: Asked) -> None:
    if "rate(" in asked.expression:
        assert "[$__rate_interval]" in asked.expression
    of_the_operator = (
        "orchestrator_operator_" in asked.expression or "-operator" in asked.expression
    )
    assert of_the_operator or 'namespace="$namespace"' in asked.expression


def test_what_others_measure_is_asked_for() -> None:
    named = set().union(*(metrics_in(each.expression) for each in of_dashboards()))

    assert named >= OF_RABBITMQ | OF_THE_KUBELET


def test_everything_that_we_measure_is_in_a_panel() -> None:
    shown = set().union(*(metrics_in(each.expression) for each in of_dashboards()))
    mine = {name for name in ours() if name.startswith("orchestrator_")}

    left = mine - shown - NOT_SHOWN.keys()
    # Of a histogram two of three are enough.
    unread = {name for name in left if not name.endswith(("_sum", "_count"))}

    assert unread == set()
    assert NOT_SHOWN.keys() <= mine - shown


@pytest.mark.parametrize("asked", [*of_dashboards(), *of_alerts()], ids=lambda each: each.where)
def test_labels_that_are_asked_for_are_there(asked: Asked) -> None:
    measured = {label for registry in registries().values() for _, label in labels_of(registry)} | {
        "name",
        "le",
    }

    assert labels_in(asked.expression) - measured - OF_THE_TARGET - OF_OTHERS == set()
