"""What the API counts."""

from prometheus_client import generate_latest

from orchestrator_api.metrics import Metrics


def lines_of(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


def test_what_has_not_happened_yet_is_there_too_so_that_a_rate_over_it_is_never_empty() -> None:
    metrics = Metrics()
    metrics.limits.count("user", "redis", is_allowed=True)

    lines = lines_of(metrics)

    name = "orchestrator_api_rate_limit_decisions_total"
    assert f'{name}{{decision="allowed",scope="user",source="redis"}} 1.0' in lines
    assert f'{name}{{decision="refused",scope="address",source="memory"}} 0.0' in lines
    assert "orchestrator_api_rate_limit_degraded 0.0" in lines


def test_requests_are_counted_by_route_and_status_and_timed_by_route() -> None:
    metrics = Metrics()
    for status, seconds in ((201, 0.004), (201, 0.2), (503, 4.0), (None, 0.1)):
        metrics.requests.count("POST", "/api/v1/tasks", status, seconds)

    lines = lines_of(metrics)

    count = 'orchestrator_api_requests_total{method="POST",route="/api/v1/tasks",status='
    assert {f'{count}"201"}} 2.0', f'{count}"503"}} 1.0', f'{count}"499"}} 1.0'} <= set(lines)
    duration = "orchestrator_api_request_duration_seconds"
    labels = 'method="POST",route="/api/v1/tasks"'
    assert f'{duration}_bucket{{le="0.005",{labels}}} 1.0' in lines
    assert f"{duration}_count{{{labels}}} 4.0" in lines


def test_a_method_that_somebody_made_up_makes_no_series_of_its_own() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.requests.count(f"M{number}", "unknown", 405, 0.001)

    name = "orchestrator_api_requests_total"
    mine = [line for line in lines_of(metrics) if line.startswith(name)]
    assert mine == [f'{name}{{method="other",route="unknown",status="405"}} 50.0']


def test_submissions_are_counted_by_type_and_by_how_many_went_together() -> None:
    metrics = Metrics()
    metrics.tasks.count_submitted(["IMAGE_RESIZE", "DATA_EXPORT", "IMAGE_RESIZE"])
    metrics.tasks.count_submitted([])

    lines = lines_of(metrics)

    assert 'orchestrator_api_tasks_submitted_total{task_type="IMAGE_RESIZE"} 2.0' in lines
    assert 'orchestrator_api_submission_batch_size_bucket{le="2.0"} 1.0' in lines
    assert "orchestrator_api_submission_batch_size_sum 3.0" in lines
