"""ARCHITECTURE.md's table, walked row by row."""

import json

from platform_under_test import Api, Platform, wait_until


def test_a_task_walks_its_journey(platform: Platform, api: Api) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    # 1 received, 2 understood: what does not fit is refused with the field's name, and is not kept
    refused = api.http.post(
        "/api/v1/tasks",
        json={"task_type": "IMAGE_RESIZE", "payload": {"width": -1}},
        headers=api.headers,
    )
    assert refused.status_code == 422
    assert "width" in refused.text
    assert api.statuses() == {}

    # 3 kept, 4 answered
    answer = api.http.post(
        "/api/v1/tasks",
        json={"task_type": "IMAGE_RESIZE", "payload": {"width": 64}},
        headers={**api.headers, "traceparent": traceparent},
    )
    assert answer.status_code == 201
    task_id = answer.json()["task_id"]
    assert answer.json() == {
        "task_id": task_id,
        "status": "PENDING",
        "message": "Task created successfully",
    }
    assert answer.headers["location"] == f"/api/v1/tasks/{task_id}"

    # 5 published to 9 settled: every step left its event, with nothing in between
    task = api.await_final(task_id)
    assert platform.query(
        f"SELECT seq, epoch, status, kind FROM task_events WHERE task_id = {task_id} ORDER BY seq",  # noqa: S608 - an id that the API gave
    ) == [
        ["1", "0", "PENDING", "ACCEPTED"],
        ["2", "1", "PROCESSING", "CLAIMED"],
        ["3", "1", "COMPLETED", "COMPLETED"],
    ]
    left = f"SELECT count(*) AS n FROM live_tasks WHERE task_id = {task_id}"  # noqa: S608 - as above
    assert platform.query(left) == [["0"]]

    # 6 delivered: the message was acked at the claim, so none is left anywhere
    def is_queue_empty() -> bool:
        listed = platform.kubectl(
            "exec",
            f"{platform.name}-rabbitmq-0",
            "--",
            "rabbitmqctl",
            "--quiet",
            "--formatter=json",
            "list_queues",
            "name",
            "messages",
        )
        depth = {queue["name"]: queue["messages"] for queue in json.loads(listed)}
        return depth == {"task.created": 0, "task.dead": 0}

    wait_until(is_queue_empty, seconds=15, what="the queues to be empty", every=1.0)

    # 10 told
    assert (task["status"], task["attempts"]) == ("COMPLETED", 1)
    assert task["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert task["created_at"] <= task["started_at"] <= task["finished_at"]
    result = api.http.get(f"/api/v1/tasks/{task_id}/result", headers=api.headers)
    assert result.status_code == 200
    assert result.content.startswith(b"\xff\xd8")
