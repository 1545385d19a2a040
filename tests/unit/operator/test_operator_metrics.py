"""What the operator counts, and what it shows of its autoscalers."""

from dataclasses import replace
from datetime import UTC, datetime

from prometheus_client import generate_latest

from orchestrator_core.load import Load
from orchestrator_operator.autoscaling import ACTIVE, WITHIN_BOUNDS, ScalingTarget
from orchestrator_operator.looping import FAILED, ResourceKey
from orchestrator_operator.metrics import Metrics
from orchestrator_operator.scaling import ScalingState
from orchestrator_operator.worker_pods import ObservedWorkers, WorkerPod

KEY = ResourceKey("team", "demo")
LABELS = '{name="demo",namespace="team"}'
LOAD = Load(
    ready_tasks=41,
    in_flight_tasks=12,
    scheduled_tasks=7,
    oldest_ready_age_seconds=3.5,
    arrivals_total=1000,
    completions_total=900,
    busy_seconds_total=1800.0,
    stuck_tasks=2,
)
READY = datetime(2026, 1, 1, tzinfo=UTC)
WORKERS = ObservedWorkers(
    replicas=9,
    is_rolling_out=False,
    pods=(
        WorkerPod(name="a", created_at=READY, ready_at=READY),
        WorkerPod(name="b", created_at=READY, ready_at=None, is_failing=True),
    ),
)
STATE = ScalingState(
    active=ACTIVE,
    limited=WITHIN_BOUNDS,
    is_faulty=False,
    queued_tasks=41,
    desired_replicas=9,
    law_replicas=11,
    reason="3→9: 41 ready",
    last_scale_time=None,
    last_decision=None,
    load=LOAD,
    workers=WORKERS,
    target=ScalingTarget(max_replicas=20, connection_limit_replicas=12, slots_per_pod=8),
)


def lines_of(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


def test_an_autoscaler_shows_what_it_sees_and_wants() -> None:
    lines = lines_of(Metrics(lambda: {KEY: STATE}))

    for name, value in {
        "active": 1.0,
        "limited": 0.0,
        "desired_replicas": 9.0,
        "law_replicas": 11.0,
        "ready_tasks": 41.0,
        "in_flight_tasks": 12.0,
        "oldest_ready_age_seconds": 3.5,
        "stuck_tasks": 2.0,
        "replicas": 9.0,
        "ready_replicas": 1.0,
        "failing_replicas": 1.0,
        "min_replicas": 0.0,
        "max_replicas": 12.0,
        "slots_per_replica": 8.0,
        "target_latency_seconds": 10.0,
    }.items():
        assert f"orchestrator_autoscaler_{name}{LABELS} {value}" in lines
    assert "orchestrator_operator_scaled_resources 1.0" in lines


def test_what_is_not_known_and_who_is_gone_have_no_series() -> None:
    states = {KEY: replace(STATE, load=None, law_replicas=None)}
    metrics = Metrics(lambda: states)

    assert not [
        line for line in lines_of(metrics) if line.startswith("orchestrator_autoscaler_ready_tasks")
    ]
    assert f"orchestrator_autoscaler_desired_replicas{LABELS} 9.0" in lines_of(metrics)

    states.clear()
    assert not [line for line in lines_of(metrics) if line.startswith("orchestrator_autoscaler_")]


def test_passes_and_what_they_changed_are_counted() -> None:
    metrics = Metrics(dict)
    metrics.count_pass("done", 0.2)
    metrics.count_pass(FAILED, 7.0)
    metrics.count_changes(["created Deployment demo-api", "created Deployment demo-worker"])
    metrics.count_changes(["grew PersistentVolumeClaim data-demo-postgres-0"])

    lines = lines_of(metrics)

    assert 'orchestrator_operator_passes_total{verdict="failed"} 1.0' in lines
    assert 'orchestrator_operator_passes_total{verdict="retry"} 0.0' in lines
    assert 'orchestrator_operator_pass_duration_seconds_bucket{le="0.25"} 1.0' in lines
    changes = "orchestrator_operator_changes_total"
    assert f'{changes}{{change="created",kind="Deployment"}} 2.0' in lines
    assert f'{changes}{{change="grew",kind="PersistentVolumeClaim"}} 1.0' in lines
