"""A peer's submit behind the textbook service's own endpoint: same framework, token, rate limit.

Before: ``http_rounds`` starts it with gunicorn and names the system.
After: wrk loads it; its rows are counted.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

import redis.asyncio
from fastapi import Depends, FastAPI, Request, Response, status
from redis.commands.core import AsyncScript

from tests.bench.engine.submitters import Submit, find_submitter
from tests.bench.textbook import service as textbook
from tests.bench.textbook.service import CurrentUser, SubmitTask, TaskAccepted, rate_limit


class Resources(TypedDict):
    """What lives as long as the process; in ``request.state``."""

    token_bucket: AsyncScript
    submit: Submit


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[Resources]:
    """Open the connections; the first task makes the queue, so that it can be counted."""
    folder = Path(textbook.__file__).parent
    script = (folder / "token_bucket.lua").read_text(encoding="utf-8")
    client = redis.asyncio.from_url(os.environ["REDIS_URL"])
    async with client, find_submitter(os.environ["BENCH_SYSTEM"])() as submit:
        await submit()
        yield Resources(token_bucket=client.register_script(script), submit=submit)


app = FastAPI(lifespan=lifespan)


@app.post("/api/v1/tasks", status_code=status.HTTP_201_CREATED, dependencies=[Depends(rate_limit)])
async def submit_task(
    _wish: SubmitTask, _user_id: CurrentUser, request: Request, response: Response
) -> TaskAccepted:
    """Keep the task, then tell the workers, the way the system does."""
    task_id = await request.state.submit()
    response.headers["Location"] = f"/api/v1/tasks/{task_id}"
    return TaskAccepted(task_id=task_id)


@app.get("/health")
async def health() -> dict[str, str]:
    """Say that requests are served."""
    return {"status": "ok"}
