"""An attempt finds what it works on, or ends with a sentence; nothing of it stays."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator_core.attempts import (
    Failed,
    ProgressReport,
    ResultFile,
    ResultOnDisk,
    RetryAfter,
    Succeeded,
)
from orchestrator_core.errors import StoreUnavailableError
from orchestrator_core.files import FileId, InputFile, Link, Upload
from orchestrator_core.handlers import HandlerGroup, Payload, TaskContext
from orchestrator_core.tasks import ErrorCode
from orchestrator_core.testing import a_claim, a_result
from orchestrator_worker.executing import Executor, Limits
from orchestrator_worker.fetching import Fetcher, FetchRules
from orchestrator_worker.folders import Folders
from orchestrator_worker.processes import Lanes
from orchestrator_worker.progress import Progress
from orchestrator_worker.storing import carry_result
from orchestrator_worker.supplying import Supplier
from supplied import a_supplier, entries

FILE = 7
CONTENT = b"from far away"

Run = Callable[["Reading", TaskContext], Awaitable[ResultFile | ResultOnDisk]]


class Reading(Payload):
    file_id: int | None = None
    url: str | None = None


def name_inputs(payload: Reading) -> Mapping[str, Upload | Link]:
    if payload.url is not None:
        return {"note": Link(payload.url)}
    return {} if payload.file_id is None else {"note": Upload(FileId(payload.file_id))}


async def read_note(_: Reading, context: TaskContext) -> ResultFile:
    note = context.inputs["note"]
    facts = f"{note.size_bytes} {note.content_type} {note.file_name} ".encode()
    return a_result(facts + note.path.read_bytes())


@pytest.fixture
async def folders(tmp_path: Path) -> AsyncIterator[Folders]:
    opened = Folders(tmp_path)
    yield opened
    await opened.close()
    assert entries(tmp_path) == [], "a folder was left behind"


def an_executor(supplier: Supplier, run: Run = read_note, **register: Any) -> Executor:
    group = HandlerGroup()
    group.register("read", payload=Reading, **{"inputs": name_inputs, **register})(run)
    return Executor(
        {handler.task_type: handler for handler in group},
        Lanes(0, chance=Random(1)),
        supplier,
        carry_result,
        limits=Limits(task_timeout_seconds=60, max_result_bytes=100),
        chance=Random(1),
    )


async def outcome_of(executor: Executor, payload: str = '{"file_id": 7}', **claim: Any) -> object:
    given = a_claim(task_type="read", payload=payload, **claim)
    return await executor.execute(given, progress=Progress())


async def test_a_handler_finds_its_owners_file(folders: Folders) -> None:
    executor = an_executor(a_supplier({FILE: CONTENT}, folders=folders))

    assert await outcome_of(executor) == Succeeded(
        a_result(b"13 text/plain note.txt from far away")
    )


@pytest.mark.parametrize(
    "claim", [{"payload": '{"file_id": 8}'}, {"user_id": 2}], ids=["none such", "of another user"]
)
async def test_a_file_that_the_owner_does_not_have_ends_the_task(
    folders: Folders, claim: dict[str, Any]
) -> None:
    outcome = await outcome_of(an_executor(a_supplier({FILE: CONTENT}, folders=folders)), **claim)

    assert isinstance(outcome, Failed)
    assert outcome.code is ErrorCode.INPUT_NOT_FOUND
    assert outcome.message.startswith("you have no file")


class Web(Fetcher):
    """Knows one page."""

    def __init__(self) -> None:
        super().__init__(FetchRules(max_bytes=100))

    async def fetch(self, url: str, path: Path) -> InputFile:
        await asyncio.to_thread(path.write_text, url)
        return InputFile(path=path, size_bytes=9, content_type="text/plain", file_name="page")


async def test_a_handler_finds_what_a_link_answers(folders: Folders) -> None:
    executor = an_executor(a_supplier(folders=folders, fetcher=Web()))

    outcome = await outcome_of(executor, payload='{"url": "http://x/"}')

    assert outcome == Succeeded(a_result(b"9 text/plain page http://x/"))


async def test_links_are_off_unless_somebody_allows_them(folders: Folders) -> None:
    outcome = await outcome_of(
        an_executor(a_supplier(folders=folders)), payload='{"url": "http://x/"}'
    )

    assert outcome == Failed(
        ErrorCode.NOT_CONFIGURED,
        "inputs by URL are switched off here: upload the file and send its id",
    )


async def test_a_store_that_is_away_is_no_fault_of_the_task(folders: Folders) -> None:
    error = StoreUnavailableError("postgres", "find file 7: ConnectionRefusedError")

    outcome = await outcome_of(an_executor(a_supplier(folders=folders, error=error)))

    assert isinstance(outcome, RetryAfter)
    assert (outcome.code, outcome.message) == (None, "postgres did not answer")


async def test_a_payload_that_does_not_fit_is_refused_before_anything_is_fetched(
    folders: Folders,
) -> None:
    outcome = await outcome_of(
        an_executor(a_supplier(folders=folders, error=AssertionError("asked"))),
        payload='{"file_id": "x"}',
    )

    assert isinstance(outcome, Failed)
    assert outcome.code is ErrorCode.INVALID_PAYLOAD


async def test_what_a_type_gathers_is_in_its_folder(folders: Folders) -> None:
    async def gather(_: Reading, context: TaskContext) -> None:
        owner: Any = context.owner
        (context.folder / "owner").write_text(str(owner.user_id), encoding="utf-8")

    async def read_owner(_: Reading, context: TaskContext) -> ResultFile:
        return a_result((context.folder / "owner").read_bytes())

    executor = an_executor(a_supplier(folders=folders), read_owner, gather=gather)

    assert await outcome_of(executor, payload="{}") == Succeeded(a_result(b"1"))


async def test_what_gathering_reports_is_progress_of_the_attempt(folders: Folders) -> None:
    async def gather(_: Reading, context: TaskContext) -> None:
        context.report(0.25, "reading")

    async def succeed(_: Reading, __: TaskContext) -> ResultFile:
        return a_result()

    progress = Progress()
    executor = an_executor(a_supplier(folders=folders), succeed, gather=gather)
    await executor.execute(a_claim(task_type="read", payload="{}"), progress=progress)

    assert progress.latest() == ProgressReport(0.25, "reading")


async def test_gathering_that_breaks_is_tried_again(folders: Folders) -> None:
    async def gather(_: Reading, __: TaskContext) -> None:
        raise LookupError("no such table")

    outcome = await outcome_of(
        an_executor(a_supplier(folders=folders), gather=gather), payload="{}"
    )

    assert isinstance(outcome, RetryAfter)
    assert (outcome.code, outcome.message) == (
        ErrorCode.HANDLER_ERROR,
        "LookupError: no such table",
    )


async def test_supplies_count_against_the_attempts_time(folders: Folders) -> None:
    async def gather(_: Reading, __: TaskContext) -> None:
        await asyncio.Event().wait()

    outcome = await outcome_of(
        an_executor(a_supplier(folders=folders), gather=gather), payload="{}", timeout_seconds=0.01
    )

    assert isinstance(outcome, RetryAfter)
    assert outcome.code is ErrorCode.TIMEOUT


async def test_an_interrupted_attempt_is_supplied_no_longer(folders: Folders) -> None:
    has_begun = asyncio.Event()

    async def gather(_: Reading, __: TaskContext) -> None:
        has_begun.set()
        await asyncio.Event().wait()

    interrupted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    attempt = asyncio.create_task(
        an_executor(a_supplier(folders=folders), gather=gather).execute(
            a_claim(task_type="read", payload="{}"),
            progress=Progress(),
            interrupted=interrupted,
        )
    )
    await has_begun.wait()
    interrupted.set_result(None)

    assert await attempt is None


async def test_a_result_on_disk_is_read_before_its_folder_goes(folders: Folders) -> None:
    async def write(_: Reading, context: TaskContext) -> ResultOnDisk:
        path = context.folder / "out"
        path.write_bytes(b"large")
        return ResultOnDisk(path=path, content_type="text/plain", file_name="file.txt")

    executor = an_executor(a_supplier(folders=folders), write)

    assert await outcome_of(executor, payload="{}") == Succeeded(a_result(b"large"))


async def test_a_result_on_disk_that_is_too_large_is_refused_unread(folders: Folders) -> None:
    async def write(_: Reading, context: TaskContext) -> ResultOnDisk:
        path = context.folder / "out"
        with path.open("wb") as out:
            out.truncate(context.max_result_bytes + 1)
        return ResultOnDisk(path=path, content_type="text/plain", file_name="file.txt")

    outcome = await outcome_of(an_executor(a_supplier(folders=folders), write), payload="{}")

    assert isinstance(outcome, Failed)
    assert outcome.code is ErrorCode.RESULT_TOO_LARGE
    assert "ask for a smaller result" in outcome.message


async def test_a_result_that_is_not_on_the_disk_is_the_handlers_fault(folders: Folders) -> None:
    async def forget(_: Reading, context: TaskContext) -> ResultOnDisk:
        return ResultOnDisk(
            path=context.folder / "out", content_type="text/plain", file_name="file.txt"
        )

    outcome = await outcome_of(an_executor(a_supplier(folders=folders), forget), payload="{}")

    assert outcome == Failed(
        ErrorCode.HANDLER_ERROR, "the result is not there: No such file or directory"
    )


async def test_no_more_than_two_attempts_are_supplied_at_a_time(folders: Folders) -> None:
    under_way, most = 0, 0

    async def gather(_: Reading, __: TaskContext) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    async def succeed(_: Reading, __: TaskContext) -> ResultFile:
        return a_result()

    executor = an_executor(a_supplier(folders=folders), succeed, gather=gather)
    await asyncio.gather(*(outcome_of(executor, payload="{}") for _ in range(5)))

    assert most == 2
