"""What the test kit promises to authors of task types."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator_core.attempts import ProgressReport, ResultFile, ResultOnDisk
from orchestrator_core.errors import UnknownTaskTypeError
from orchestrator_core.files import FileId, Upload
from orchestrator_core.handler_testing import Supplies, run_handler, run_handler_async
from orchestrator_core.handlers import GiveUpError, HandlerGroup, Payload, TaskContext
from orchestrator_core.tasks import ErrorCode

handlers = HandlerGroup()


class Greeting(Payload):
    name: str = "world"


def greeting(payload: Greeting, context: TaskContext) -> ResultFile:
    context.report(0.5, "thinking of words")
    if payload.name == "nobody":
        raise GiveUpError("there is nobody to greet")
    writer = context.result("greeting.txt", "text/plain")
    writer.write(f"Hello {payload.name}, {context.attempt}".encode())
    return writer.finish()


@handlers.register("greet", payload=Greeting)
def greet(payload: Greeting, context: TaskContext) -> ResultFile:
    return greeting(payload, context)


@handlers.register("greet_async", payload=Greeting)
async def greet_async(payload: Greeting, context: TaskContext) -> ResultFile:
    return greeting(payload, context)


@handlers.register("no_file", payload=Greeting)
def no_file(_: Greeting, __: TaskContext) -> ResultFile:
    return "Hello"  # type: ignore[return-value]


@pytest.mark.parametrize("task_type", ["greet", "greet_async"])
def test_plain_and_async_handlers_are_run_alike(task_type: str) -> None:
    result = run_handler(handlers, task_type, {"name": "Ada"}, attempt=2)

    assert result == ResultFile(
        content=b"Hello Ada, 2", content_type="text/plain", file_name="greeting.txt"
    )


@pytest.mark.parametrize("task_type", ["greet", "greet_async"])
async def test_async_tests_await_both_kinds(task_type: str) -> None:
    result = await run_handler_async(handlers, task_type, {})

    assert result.content == b"Hello world, 1"


def test_a_single_handler_can_be_run() -> None:
    handler = next(iter(handlers))

    assert run_handler(handler, "greet", {}).file_name == "greeting.txt"


def test_what_the_handler_raises_arrives_with_what_it_reported_before() -> None:
    reports: list[ProgressReport] = []

    with pytest.raises(GiveUpError, match="nobody to greet"):
        run_handler(handlers, "greet", {"name": "nobody"}, reports=reports)

    assert reports == [ProgressReport(0.5, "thinking of words")]


@pytest.mark.parametrize("payload", [{"name": 7}, {"nmae": "Ada"}])
def test_a_payload_that_the_worker_would_refuse_is_refused(payload: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        run_handler(handlers, "greet", payload)


def test_a_payload_that_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        run_handler(handlers, "greet", {"name": b"Ada"})


def test_an_unknown_type_names_those_that_are_known() -> None:
    with pytest.raises(UnknownTaskTypeError, match="known are copy, greet, greet_async, no_file"):
        run_handler(handlers, "gret", {})


def test_a_result_that_is_no_file_is_told() -> None:
    with pytest.raises(TypeError, match="returned str; expected a ResultFile"):
        run_handler(handlers, "no_file", {})


async def test_the_wrong_one_in_an_async_test_names_the_right_one() -> None:
    with pytest.raises(RuntimeError, match="await run_handler_async"):
        run_handler(handlers, "greet_async", {})


class Copying(Payload):
    file_id: int


def name_original(payload: Copying) -> Mapping[str, Upload]:
    return {"original": Upload(FileId(payload.file_id))}


async def leave_word(_: Copying, context: TaskContext) -> None:
    (context.folder / "word").write_text(repr(context.owners_data), encoding="utf-8")


@handlers.register("copy", payload=Copying, inputs=name_original, gather=leave_word)
def copy(_: Copying, context: TaskContext) -> ResultOnDisk:
    original = context.inputs["original"]
    path = context.folder / "copy"
    path.write_bytes(original.path.read_bytes() + (context.folder / "word").read_bytes())
    return ResultOnDisk(path=path, content_type=original.content_type, file_name=original.file_name)


def test_a_handler_gets_its_owners_files_and_what_it_gathers(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"pixels, ")

    result = run_handler(handlers, "copy", {"file_id": 7}, supplies=Supplies(files={7: photo}))

    assert result == ResultFile(
        content=b"pixels, None", content_type="image/png", file_name="photo.png"
    )


def test_a_file_that_the_owner_does_not_have_is_refused_as_by_the_worker() -> None:
    with pytest.raises(GiveUpError, match="there is no Upload") as raised:
        run_handler(handlers, "copy", {"file_id": 8})

    assert raised.value.code is ErrorCode.INPUT_NOT_FOUND


def test_a_plain_handler_can_not_reach_its_owners_data() -> None:
    group = HandlerGroup()

    @group.register("nosy", payload=Greeting)
    def nosy(_: Greeting, context: TaskContext) -> ResultFile:
        assert context.owner
        raise AssertionError

    with pytest.raises(RuntimeError, match="gather="):
        run_handler(group, "nosy", {})


def test_a_type_without_supplies_has_no_folder() -> None:
    group = HandlerGroup()

    @group.register("homeless", payload=Greeting)
    def homeless(_: Greeting, context: TaskContext) -> ResultFile:
        assert context.folder
        raise AssertionError

    with pytest.raises(RuntimeError, match="inputs= or gather="):
        run_handler(group, "homeless", {})
