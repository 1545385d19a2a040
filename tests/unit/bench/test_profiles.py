from tests.bench.profiles import build_profile_table, find_component


def test_a_sample_counts_for_the_innermost_component() -> None:
    stack = [
        "/lib/python3.11/json/encoder.py:encode",
        "/site-packages/structlog/processors.py:JSONRenderer.__call__",
        "/api/src/orchestrator_api/request_log.py:RequestLog.__call__",
    ]

    assert find_component(stack[1:]) == "logging"
    assert (
        find_component(["/lib/python3.11/asyncio/tasks.py:current_task", *stack[2:]]) == "logging"
    )
    assert find_component(["/lib/python3.11/asyncio/runners.py:run"]) == "event loop"


def test_the_table_shows_shares_the_largest_first() -> None:
    samples = [
        {"stack": ["/site-packages/jwt/api_jws.py:decode"], "count": 1},
        {"stack": ["/site-packages/uvicorn/server.py:serve"], "count": 3},
    ]

    table = build_profile_table(samples)

    assert table.splitlines()[:2] == ["framework             75.0%", "JWT                   25.0%"]
    assert "25.0% jwt/api_jws.py:decode" in table
