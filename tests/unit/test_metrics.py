"""What is measured has few series, whoever submits whatever: no label holds a user or a task."""

from measured import labels_of, registries
from orchestrator_operator.metrics import SCALING

LABELS = {
    "app": "three processes",
    "change": "created, changed, grew, deleted",
    "decision": "allowed, refused",
    "kind": "of what the operator makes",
    "method": "those of HTTP that are served, and one for the rest",
    "name": "one for each Orchestrator",
    "namespace": "one for each Orchestrator",
    "outcome": "a literal type, or a table",
    "reason": "a literal type",
    "route": "templates of paths, and one for the rest",
    "scope": "user, address",
    "source": "redis, memory",
    "state": "busy, idle",
    "status": "of HTTP",
    "store": "postgres, rabbitmq, redis",
    "task_type": "installed types",
    "verdict": "an enumeration",
    "version": "of one package",
}
"""Every label that a metric may have, and why it has few values."""
OF_PYTHON = {"generation", "implementation", "major", "minor", "patchlevel"}
"""Of the client library's own collectors: the interpreter and its garbage collector."""


def test_every_label_is_one_of_those_that_have_few_values() -> None:
    found = {
        pair
        for registry in registries().values()
        for pair in labels_of(registry)
        if pair[1] not in OF_PYTHON
    }

    assert {pair for pair in found if pair[1] not in LABELS} == set()
    # The autoscalers' own two come from a collector, which names them with its first sample.
    assert LABELS.keys() - {label for _, label in found} == {"name", "namespace"}


def test_every_metric_of_ours_is_called_after_its_process_and_says_what_it_is() -> None:
    shared = {"orchestrator_build_info", "orchestrator_store_up"}
    for process, registry in registries().items():
        for family in registry.collect():
            if family.name.startswith(("python_", "process_")):
                continue
            begins = (f"orchestrator_{process}_", "orchestrator_autoscaler_")
            is_shared = family.name in shared or family.name.startswith("orchestrator_postgres_")
            assert is_shared or family.name.startswith(begins), family.name
            assert family.documentation.endswith("."), family.name


def test_every_series_of_an_autoscaler_has_words() -> None:
    assert all(told.endswith(".") for told, _ in SCALING.values())
