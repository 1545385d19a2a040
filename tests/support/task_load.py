"""Users who submit, poll and refresh while something breaks, and write down what they are told.

Before: a platform serves.
After: the ledger holds each call; what was left open is resolved by sending it again.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from api_clients import PASSWORD
from ledger import Action, Entry, Ledger

USERS = 5
PAUSE_SECONDS = 0.06
"""Between a user's submissions: some 50 a second from all, a load but no siege."""
MAX_SUBMISSIONS = 150
"""Of one user; a trial that takes long must not fill the machine."""
AFTERWARDS = 5
"""Submissions of each user after all is well again."""
CALL_SECONDS = 10.0
"""Longer than any answer may take, to see how long those took that were late."""
RESOLVING_SECONDS = 60.0
WAITING_CODES = (409, 429, 503)


def a_mixed_task(chance: Random) -> dict[str, Any]:
    """Return one of the demonstration's tasks: most work, some fail before they do, some always."""
    [kind] = chance.choices(["sleep", "spin", "fail once", "fail"], weights=(80, 10, 7, 3))
    match kind:
        case "sleep":
            return a_submission("demo_sleep", seconds=round(chance.uniform(0.0, 0.2), 3))
        case "spin":
            return a_submission("demo_spin", seconds=0.01)
        case "fail once":
            return a_submission("demo_fail", times=1)
        case _:
            return {**a_submission("demo_fail", times=99), "max_attempts": 2}


def a_submission(task_type: str, **payload: object) -> dict[str, Any]:
    return {"task_type": task_type, "payload": payload}


@dataclass
class User:
    """One account with a client of its own."""

    ledger: Ledger
    urls: Sequence[str]
    chance: Random
    id: int = 0
    access_token: str = ""
    refresh_token: str = ""
    tasks: list[int] = field(default_factory=list)
    """Those that were not final when last looked at."""
    open: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Submissions by key of which it is open whether they were kept."""
    transport: httpx.BaseTransport | None = None
    """How to get there, if not by the address alone."""
    prepare: Callable[[], None] = lambda: None
    """What makes a way there before each call, in time that is not the platform's."""

    def __post_init__(self) -> None:
        self.client = httpx.Client(
            timeout=CALL_SECONDS, base_url=self.urls[0], transport=self.transport
        )

    def sign_in(self) -> None:
        credentials = {"username": f"user-{uuid.uuid4().hex[:12]}", "password": PASSWORD}
        self.id = self._authenticate("register", credentials)["user_id"]
        self._take(self._authenticate("login", credentials))

    def submit(self, submission: Mapping[str, Any]) -> Entry:
        key = uuid.uuid4().hex
        entry = self._send(Action.SUBMIT, key, submission)
        if entry.is_open:
            self.open[key] = submission
        return entry

    def resolve(self) -> None:
        """Send again what was left open, until each has its task."""
        deadline = time.monotonic() + RESOLVING_SECONDS
        for key, submission in self.open.items():
            while not (entry := self._send(Action.RESOLVE, key, submission)).is_accepted:
                waits = entry.status is None or entry.status in WAITING_CODES
                assert waits, entry
                assert time.monotonic() < deadline, entry
                time.sleep(0.1)
        self.open.clear()

    def poll(self, task_id: int) -> str | None:
        path = f"/api/v1/tasks/{task_id}"
        entry, answer = self._call(Action.POLL, "GET", path, task_id=task_id)
        status = answer.get("status") if entry.status == 200 else None
        if status in ("COMPLETED", "FAILED", "CANCELLED"):
            self.tasks.remove(task_id)
        return status

    def refresh(self) -> None:
        body = {"refresh_token": self.refresh_token}
        entry, answer = self._call(Action.REFRESH, "POST", "/auth/refresh", json=body)
        if entry.status == 200:
            self._take(answer)

    def use(self, url: str) -> None:
        self.client.base_url = httpx.URL(url)

    def _authenticate(self, act: str, credentials: Mapping[str, str]) -> dict[str, Any]:
        deadline = time.monotonic() + RESOLVING_SECONDS
        while (answer := self.client.post(f"/auth/{act}", json=credentials)).status_code == 429:
            assert time.monotonic() < deadline, "the limit of logins lets nobody in"
            time.sleep(0.1)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def _send(self, action: Action, key: str, submission: Mapping[str, Any]) -> Entry:
        headers = {"Idempotency-Key": key}
        entry, _ = self._call(
            action, "POST", "/api/v1/tasks", key=key, json=submission, headers=headers
        )
        if entry.is_accepted and entry.task_id is not None:
            self.tasks.append(entry.task_id)
        return entry

    def _call(  # noqa: PLR0913 - what a call and its entry consist of
        self,
        action: Action,
        method: str,
        path: str,
        *,
        key: str | None = None,
        task_id: int | None = None,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[Entry, dict[str, Any]]:
        self.prepare()
        began_at = time.monotonic()
        status, text, retry_after = None, None, None
        body: dict[str, Any] = {}
        try:
            answer = self.client.request(
                method,
                path,
                json=json,
                headers={"Authorization": f"Bearer {self.access_token}", **(headers or {})},
            )
        except httpx.TransportError as error:
            text = repr(error)
            self._go_elsewhere()
        else:
            status, retry_after = answer.status_code, answer.headers.get("retry-after")
            body = answer.json()
            text = None if answer.is_success else answer.text
        entry = Entry(
            action=action,
            user_id=self.id,
            began_at=began_at,
            seconds=time.monotonic() - began_at,
            status=status,
            key=key,
            task_id=body.get("task_id", task_id) if text is None else task_id,
            task_status=body.get("status") if text is None else None,
            retry_after=retry_after,
            text=text,
        )
        self.ledger.write(entry)
        return entry, body

    def _go_elsewhere(self) -> None:
        others = [url for url in self.urls if httpx.URL(url).port != self.client.base_url.port]
        if others:
            self.use(self.chance.choice(others))

    def _take(self, tokens: Mapping[str, Any]) -> None:
        self.access_token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]


class Load:
    """What the users do all at once, each in a thread, until told that all is well again."""

    def __init__(
        self, users: Sequence[User], make_task: Callable[[Random], Mapping[str, Any]]
    ) -> None:
        self.users = users
        self._make_task = make_task
        self._is_well = threading.Event()
        self._threads = [threading.Thread(target=self._act, args=[user]) for user in users]
        self._failures: list[BaseException] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Go on while the context does, and a little longer.

        Raises:
            ExceptionGroup: clients failed in a way that no answer explains.
        """
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._is_well.set()
            for thread in self._threads:
                thread.join()
        if self._failures:
            raise BaseExceptionGroup("clients failed", self._failures)

    def _act(self, user: User) -> None:
        try:
            for _ in range(MAX_SUBMISSIONS):
                if self._is_well.wait(PAUSE_SECONDS):
                    break
                self._turn(user)
            self._is_well.wait()
            for _ in range(AFTERWARDS):
                self._turn(user)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._failures.append(error)

    def _turn(self, user: User) -> None:
        user.submit(self._make_task(user.chance))
        if user.tasks:
            user.poll(user.chance.choice(user.tasks))
        if user.chance.random() < 0.05:
            user.refresh()
