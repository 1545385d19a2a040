"""Long polls: an answer that waits until there is something new to say.

Before: ``tasks.endpoints`` has a task and a client that would rather wait.
After: the endpoint reads the task again, or says that nothing has changed.
"""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from orchestrator_api.accounts.tokens import REFUSAL
from orchestrator_api.bounds import Allowance
from orchestrator_api.errors import UnauthenticatedError
from orchestrator_api.events.feed import EventFeed
from orchestrator_api.events.permits import Permit
from orchestrator_api.places import Places
from orchestrator_api.racing import await_disconnect, race
from orchestrator_core.accounts import Identity
from orchestrator_core.events import TaskEvent
from orchestrator_core.tasks import Task

MAX_WAIT_SECONDS = 60
ANSWER_SECONDS = 4.0
"""To read the task and answer, once the waiting is over; as every other request has."""


async def await_change(
    request: Request, identity: Identity, task: Task, *, seconds: float, until_final: bool
) -> bool:
    """Wait until ``task`` has changed.

    Args:
        request: of the client that waits; it is let go when the client goes away.
        identity: who asks.
        task: as it was last read.
        seconds: how long, at most.
        until_final: only its end counts as a change.

    Returns:
        Whether it has an event that ``task`` does not show; maybe not the one waited for.
        Progress is none.

    Raises:
        RateLimitedError: the user watches too much already.
        OverloadedError: this process is watched too much already.
        UnauthenticatedError: the login has ended meanwhile.
        ClientDisconnect: nobody waits any more.
    """
    if task.status.is_final or seconds <= 0:
        return False
    places: Places = request.state.places
    permit = Permit.of(request, identity)
    allowance: Allowance = request.state.allowance
    allowance.take_seconds(seconds + ANSWER_SECONDS)
    # Waiting for the client to go away means to receive whatever it sends.
    allowance.drop_body()
    with places.taking(identity.user_id):
        is_changed = await _await_event(request, task, seconds=seconds, until_final=until_final)
    # The token was good when the request came; a login that has ended since is another matter.
    if permit.revocations.is_revoked(identity.session_id):
        raise UnauthenticatedError(REFUSAL)
    return is_changed


async def _await_event(request: Request, task: Task, *, seconds: float, until_final: bool) -> bool:
    feed: EventFeed = request.state.feed
    watching = await race(
        _watch(feed, task, seconds=seconds, until_final=until_final),
        await_disconnect(request.receive),
    )
    if watching.cancelled():
        raise ClientDisconnect
    return watching.result()


async def _watch(feed: EventFeed, task: Task, *, seconds: float, until_final: bool) -> bool:
    clock = asyncio.get_running_loop().time
    deadline, is_changed = clock() + seconds, False
    with feed.watching_task(task.id, after=task.last_event) as watcher:
        while news := await watcher.take(within_seconds=max(0.0, deadline - clock())):
            is_changed = True
            if not until_final or (isinstance(news, TaskEvent) and news.status.is_final):
                break
    return is_changed
