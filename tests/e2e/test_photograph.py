"""A real photograph goes in through REST and the right pixels come out."""

import base64
import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from packaged import packaged
from platform_under_test import Api


def read_photograph() -> bytes:
    # A cat, 451 × 300, from scikit-image's wheel.
    return packaged("skimage", "data/chelsea.png").read_bytes()


def test_a_photograph_comes_back_resized(api: Api) -> None:
    photograph = read_photograph()

    task_id = api.submit(
        "IMAGE_RESIZE",
        image=base64.b64encode(photograph).decode(),
        width=200,
        height=200,
        fit="exact",
        format="PNG",
    )
    task = api.await_final(task_id)
    result = api.http.get(f"/api/v1/tasks/{task_id}/result", headers=api.headers)

    assert (task["status"], task["result_file"]) == ("COMPLETED", f"result/image_{task_id}.png")
    assert result.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(result.content)) as resized, Image.open(io.BytesIO(photograph)) as p:
        assert (resized.format, resized.size) == ("PNG", (200, 200))
        # Averages of 10 × 10 blocks are what any decent resampling keeps.
        seen = block_means(resized.convert("RGB").resize((200, 200)))
        expected = block_means(p.convert("RGB").resize((200, 200), Image.Resampling.BOX))
    assert np.abs(seen - expected).max() < 12
    assert np.abs(seen - expected).mean() < 1.5


def block_means(image: Image.Image) -> npt.NDArray[np.float64]:
    pixels = np.asarray(image, dtype=np.float64)
    means: npt.NDArray[np.float64] = np.mean(pixels.reshape(10, 20, 10, 20, 3), axis=(1, 3))
    return means


def test_the_result_of_another_user_cannot_be_read(api: Api, new_user: Callable[[], Api]) -> None:
    task_id = api.submit("IMAGE_RESIZE")
    api.await_final(task_id)

    stranger = new_user()
    task = api.http.get(f"/api/v1/tasks/{task_id}", headers=stranger.headers)
    result = api.http.get(f"/api/v1/tasks/{task_id}/result", headers=stranger.headers)

    assert (task.status_code, result.status_code) == (403, 403)


def test_a_picture_that_is_none_fails_with_a_reason(api: Api) -> None:
    task_id = api.submit("IMAGE_RESIZE", image=base64.b64encode(b"not a picture").decode())

    task = api.await_final(task_id)

    assert (task["status"], task["error_code"]) == ("FAILED", "INVALID_INPUT")
    assert "picture" in task["error_message"] or "image" in task["error_message"]
    assert task["attempts"] == 1
