"""The submit endpoint as a good engineer writes it from the libraries' own documentation.

FastAPI with a pydantic body and dependencies, PyJWT, a Lua token bucket through redis-py, an
asyncpg pool with one INSERT per request, an aio-pika publish that waits for its confirm. Pools and
connections live as long as the process; nothing is slow on purpose. It is what our API is
compared with, so it must stay fair: it keeps no history, no access log and no deadlines, which
only makes it faster.

Before: ``contenders`` starts it with gunicorn, one worker on uvloop and httptools.
After: wrk loads it; its rows are counted.
"""

import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypedDict

import aio_pika
import asyncpg
import jwt
import redis.asyncio
from fastapi import Depends, FastAPI, HTTPException, Request, Response, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from redis.commands.core import AsyncScript

TASK_QUEUE = "task.created"
INSERT_TASK = """
INSERT INTO tasks (user_id, task_type, payload, max_attempts, timeout_seconds, trace_context,
                   priority, run_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING id
"""


class TaskType(StrEnum):
    """What can be run."""

    IMAGE_RESIZE = "IMAGE_RESIZE"
    VIDEO_PROCESS = "VIDEO_PROCESS"
    DATA_EXPORT = "DATA_EXPORT"


class SubmitTask(BaseModel):
    """A new task."""

    model_config = ConfigDict(extra="forbid")

    task_type: TaskType
    payload: dict[str, Any] = {}
    max_attempts: int = Field(default=5, ge=1, le=5)
    timeout_seconds: int = Field(default=60, ge=1, le=60)
    priority: int = Field(default=1, ge=0, le=2)
    run_at: datetime | None = None


class TaskAccepted(BaseModel):
    """The task is kept."""

    task_id: int
    status: str = "PENDING"
    message: str = "Task created successfully"


class Resources(TypedDict):
    """What lives as long as the process; in ``request.state``."""

    pool: "asyncpg.Pool[asyncpg.Record]"
    token_bucket: AsyncScript
    exchange: aio_pika.abc.AbstractExchange


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[Resources]:
    """Open the pools and connections."""
    script = (Path(__file__).parent / "token_bucket.lua").read_text(encoding="utf-8")
    client = redis.asyncio.from_url(os.environ["REDIS_URL"])
    connection = await aio_pika.connect_robust(os.environ["RABBITMQ_URL"])
    async with (
        client,
        connection,
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=20) as pool,
    ):
        channel = await connection.channel(publisher_confirms=True)
        await channel.declare_queue(TASK_QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        yield Resources(
            pool=pool,
            token_bucket=client.register_script(script),
            exchange=channel.default_exchange,
        )


app = FastAPI(lifespan=lifespan)
JWT_SECRET = os.environ["JWT_SECRET"]
BUCKET_CAPACITY = int(os.environ["BUCKET_CAPACITY"])
BUCKET_REFILL_PER_SECOND = int(os.environ["BUCKET_REFILL_PER_SECOND"])


async def current_user(
    credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())],
) -> int:
    """Return the caller's id."""
    try:
        claims = jwt.decode(
            credentials.credentials,
            JWT_SECRET,
            algorithms=["HS256"],
            audience="tasks",
            issuer="textbook",
            options={"require": ["exp", "sub"]},
        )
        return int(claims["sub"])
    except (jwt.PyJWTError, ValueError) as error:
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED,
            "Invalid or expired token",
            headers={"WWW-Authenticate": "Bearer"},
        ) from error


CurrentUser = Annotated[int, Depends(current_user)]


async def rate_limit(user_id: CurrentUser, request: Request) -> None:
    """Take one token from the caller's bucket."""
    allowed, _, wait_ms = await request.state.token_bucket(
        keys=[f"limit:{user_id}"], args=[BUCKET_CAPACITY, BUCKET_REFILL_PER_SECOND]
    )
    if not allowed:
        raise HTTPException(
            status.HTTP_429_TOO_MANY_REQUESTS,
            "Rate limit exceeded",
            headers={"Retry-After": str(wait_ms // 1000 + 1)},
        )


@app.post("/api/v1/tasks", status_code=status.HTTP_201_CREATED, dependencies=[Depends(rate_limit)])
async def submit_task(
    wish: SubmitTask, user_id: CurrentUser, request: Request, response: Response
) -> TaskAccepted:
    """Keep the task, then tell the workers."""
    trace_context = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
    task_id = await request.state.pool.fetchval(
        INSERT_TASK,
        user_id,
        wish.task_type.value,
        json.dumps(wish.payload),
        wish.max_attempts,
        wish.timeout_seconds,
        trace_context,
        wish.priority,
        wish.run_at,
    )
    message = aio_pika.Message(
        json.dumps({"task_id": task_id}).encode(),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await request.state.exchange.publish(message, routing_key=TASK_QUEUE)
    response.headers["Location"] = f"/api/v1/tasks/{task_id}"
    return TaskAccepted(task_id=task_id)


@app.get("/health")
async def health() -> dict[str, str]:
    """Say that requests are served."""
    return {"status": "ok"}
