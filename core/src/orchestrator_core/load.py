"""What the autoscaler reads: how much work there is and who is doing it.

Workers and the API leave these numbers in Postgres as they go; nobody computes
them twice. Counters only grow, so a reader takes differences and is free to
miss a reading.

Before: ``postgres.load_store`` reads them in one statement.
After: the operator's ``autoscaling`` turns them into a number of workers.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One reading of a pool's load, all of the same database instant."""

    ready_tasks: int
    """Due and held by nobody: never claimed, a retry whose time has come, or a lost lease."""
    in_flight_tasks: int
    """Under a live lease."""
    scheduled_tasks: int
    """Held by nobody and not due yet: delayed by their client, or between two attempts."""
    oldest_ready_age_seconds: float
    """How long the oldest ready task has been due; 0 when none is ready."""
    arrivals_total: int
    """Tasks ever accepted, scheduled ones too. Skips a number now and then, as for each task that
    is submitted again under its idempotency key; never goes back."""
    completions_total: int
    """Attempts ever ended by a worker, whatever the verdict."""
    busy_seconds_total: float
    """Slot-seconds that those attempts took."""
    stuck_tasks: int = 0
    """Whose doorbell should have rung a minute ago and has not: no sweep moves them. Always 0
    while sweeps run and RabbitMQ answers, but for minutes after more tasks became due at once
    than sweeps can ring for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPresence:
    """A worker process that has reported lately, or holds a live lease."""

    worker_id: UUID
    """New for each process start."""
    pod_name: str
    slots: int
    """How many attempts it can run at once; 0 from a version that did not report it."""
    busy_slots: int
    """Live leases that this process holds. Of a cordoned one at least what it reports itself:
    messages that it is just claiming for are slots too."""
    is_cordoned: bool
    """Asked to take nothing new; it stops within about a second."""
    is_resting: bool
    """It has heard of the cordon and takes nothing: what it runs is all that it will run."""
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """What a worker process says of itself each second."""

    completions: int
    """Attempts ended since the process started, whatever the verdict."""
    busy_seconds: float
    """Slot-seconds that those took."""
    slots: int
    busy_slots: int
    """Taken slots, by attempts or by messages that are being claimed for."""
    is_resting: bool
    """It takes nothing new, because of a cordon."""
