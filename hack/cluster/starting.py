"""Keeping the node's processes running, and ending them.

Before: ``nodes`` decides which and when.
After: ``processes`` starts and ends them, one record and one log each.
"""

from collections.abc import Iterable
from pathlib import Path

from hack.cluster import processes
from hack.cluster.components import NAMES, Component
from hack.cluster.layouts import Layout
from hack.cluster.waiting import wait_until
from hack.tooling.errors import ToolError
from hack.tooling.steps import Step

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""An unprivileged user's PATH lacks the folders of iptables and modprobe."""

REPAIR = (
    "run `python3 hack/cluster up` again; if the disk was damaged, `down --reset` and then `up` "
    "make an empty cluster"
)

_HEALTH_SECONDS = 90.0
"""On two cores the API server takes about 5 s; with a build beside it, up to 20 s."""

_PATIENCE_SECONDS = 10.0
"""The API server ends open watches within a few seconds of SIGTERM."""


def record_of(layout: Layout, name: str) -> Path:
    """Name the record of a process."""
    return layout.processes / f"{name}.json"


def log_of(layout: Layout, name: str) -> Path:
    """Name the log of a process."""
    return layout.component_logs / f"{name}.log"


def find_pids(layout: Layout) -> set[int]:
    """List the node's own processes that run."""
    found = (processes.find_running(record_of(layout, name)) for name in NAMES)
    return {record.pid for record in found if record}


def ensure_running(component: Component, layout: Layout, step: Step) -> bool:
    """Start a process unless the very same runs already.

    Returns:
        True if it was started.
    """
    record = record_of(layout, component.name)
    wanted = processes.fingerprint(component.command, component.files)
    running = processes.find_running(record)
    if running and running.fingerprint == wanted:
        return False
    if running:
        step.write(f"{component.name} runs with other flags or files: restarting it")
        processes.end(record, patience_seconds=_PATIENCE_SECONDS)
    step.write(f"$ {' '.join(component.command)}")
    processes.start(
        component.command,
        record=record,
        log=log_of(layout, component.name),
        fingerprint=wanted,
        env={"PATH": PATH},
    )
    return True


def wait_healthy(component: Component, layout: Layout) -> None:
    """Wait until a process says that it is healthy.

    Raises:
        ToolError: it ended, or takes too long; its own log comes with it.
    """

    def check() -> None:
        if processes.find_running(record_of(layout, component.name)) is None:
            raise ToolError(f"{component.name} ended right after its start", advice=REPAIR)

    try:
        wait_until(
            component.is_healthy,
            what=f"{component.name} was not healthy",
            timeout_seconds=_HEALTH_SECONDS,
            advice=REPAIR,
            check=check,
        )
    except ToolError as error:
        error.log = log_of(layout, component.name)
        raise


def end(names: Iterable[str], layout: Layout, step: Step) -> None:
    """End processes, one after the other."""
    for name in names:
        record = record_of(layout, name)
        if processes.find_running(record):
            is_killed = processes.end(record, patience_seconds=_PATIENCE_SECONDS)
            step.write(f"{name} {'had to be killed' if is_killed else 'ended'}")
        processes.forget(record)
