"""Give an attempt what it works on before it runs: ``Claim`` to ``Workplace``.

Files of the task's owner are copied into a folder of the attempt, and the type's
``gather`` leaves there what only a store knows. So the child process that reads what
a stranger sent speaks to no store, and a handler finds files where it expects them.

Before: ``executing`` has the claim of a type with ``inputs`` or ``gather``.
After: its handler runs in the workplace, which goes when the attempt has ended.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from orchestrator_core.files import InputFile, Link, Upload, UploadStore
from orchestrator_core.handlers import GiveUpError, Handler, TaskContext, Workplace
from orchestrator_core.owners import OwnersData
from orchestrator_core.tasks import ErrorCode, UserId
from orchestrator_worker.fetching import Fetcher
from orchestrator_worker.folders import Folders

SUPPLIES_AT_ONCE = 2
"""Each takes a connection for most of its time; others wait, on their attempt's time."""

FETCHES_AT_ONCE = 4
"""Of links; each may take two minutes, and none of them a connection to Postgres."""

OwnersDataOf = Callable[[UserId], OwnersData]
"""Returns what a user has."""


class Supplier:
    """Fetches inputs and gathers, a bounded number of them at a time."""

    def __init__(
        self,
        folders: Folders,
        uploads: UploadStore,
        owners_data_of: OwnersDataOf,
        fetcher: Fetcher | None,
    ) -> None:
        """Take the parts; without a fetcher, links are switched off."""
        self._folders = folders
        self._uploads = uploads
        self._owners_data_of = owners_data_of
        self._fetcher = fetcher
        self._turns = asyncio.Semaphore(SUPPLIES_AT_ONCE)
        self._fetches = asyncio.Semaphore(FETCHES_AT_ONCE)

    def owners_data(self, user_id: UserId) -> OwnersData:
        """Return what the user has."""
        return self._owners_data_of(user_id)

    @asynccontextmanager
    async def supplied(
        self, handler: Handler, payload: BaseModel, context: TaskContext, user_id: UserId
    ) -> AsyncIterator[Workplace]:
        """Return the attempt's workplace, for as long as it runs.

        Args:
            handler: has ``inputs`` or ``gather``.
            payload: of the task, checked.
            context: of the attempt, without a workplace; ``gather`` reports through it.
            user_id: the task's owner.

        Raises:
            GiveUpError: the owner has no such file, or a link can't be followed.
            RetryLaterError: a link's server is away.
            StoreUnavailableError: Postgres is away.
            Exception: whatever the type's own functions raise.
        """
        async with self._folders.folder() as folder:
            inputs = await self._bring(handler, payload, folder, user_id)
            workplace = Workplace(folder=folder, inputs=inputs)
            if handler.gather is not None:
                data = self._owners_data_of(user_id)
                async with self._turns:
                    await handler.gather(
                        payload, replace(context, workplace=workplace, owners_data=data)
                    )
            yield workplace

    async def _bring(
        self, handler: Handler, payload: BaseModel, folder: Path, user_id: UserId
    ) -> Mapping[str, InputFile]:
        return {
            name: await self._bring_one(source, folder / f"input-{number}", user_id)
            for number, (name, source) in enumerate(handler.name_inputs(payload).items())
        }

    async def _bring_one(self, source: Upload | Link, path: Path, user_id: UserId) -> InputFile:
        if isinstance(source, Upload):
            async with self._turns:
                return await self._copy(source, user_id, path)
        if self._fetcher is None:
            raise GiveUpError(
                "inputs by URL are switched off here: upload the file and send its id",
                code=ErrorCode.NOT_CONFIGURED,
            )
        async with self._fetches:
            return await self._fetcher.fetch(source.url, path)

    async def _copy(self, upload: Upload, user_id: UserId, path: Path) -> InputFile:
        file = await self._uploads.find(upload.file_id)
        if file is None or file.user_id != user_id:
            raise GiveUpError(
                f"you have no file {upload.file_id}: it has expired or was deleted, or the id is"
                " wrong; upload it (again) and send a new task",
                code=ErrorCode.INPUT_NOT_FOUND,
            )
        with path.open("xb") as copy:
            async for piece in self._uploads.read_whole(file):
                copy.write(piece)
        return InputFile(
            path=path,
            size_bytes=file.size_bytes,
            content_type=file.content_type,
            file_name=file.file_name,
        )
