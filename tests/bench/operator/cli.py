"""``make bench-operator``: what many resources cost the operator and the API server.

The installed operator and a real API server; a quota lets no pod start, so what is measured is
reconciling alone.

Before: ``KUBECONFIG`` names a cluster that the operator's chart is installed on.
After: a report in ``tests/bench/results``; exit status 1 when something is written at rest, or when
the traffic of a resource at rest grows with their number.
"""

import argparse
import json
import re
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.engine.saying import say, warn

RESULTS = Path("tests/bench/results/operator.md")
COUNTS = (10, 50)
REST_SECONDS = 60.0
SETTLING_SECONDS = 120.0
"""Kubernetes' own controllers write for a while, and each look of theirs is seen."""
FIRST_PASS_SECONDS = 300.0
MOST_GROWTH = 1.5
"""Requests of one resource among many, as a multiple of one among few."""
OPERATOR = "app.kubernetes.io/name=orchestrator-operator"
READ_SELF = (  # kB of memory and seconds of processor time of the first process
    "import os; status=open('/proc/1/status').read();"
    " stat=open('/proc/1/stat').read().rsplit(')',1)[1].split();"
    " print(status.split('VmRSS:')[1].split()[0],"
    " (int(stat[11])+int(stat[12]))/os.sysconf('SC_CLK_TCK'))"
)
HEAD = """# The operator with many resources

Resources with an empty spec in one namespace, whose quota lets no pod start: what is
measured is reconciling. First pass: from `kubectl apply` of all to the last status. At rest: 60 s in
which nobody changes anything. Requests are those of service accounts outside of kube-system, of
which the operator is the only one that asks. `make bench-operator` makes this anew.

| resources | objects | first pass of all, s | of one, ms | operator's processor time for it, ms | its memory, MB | at rest: requests a minute of each | writes | processor, ms a second |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""  # noqa: E501 - a table's head


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What has been used so far."""

    at: float
    requests: int
    applies: int
    cpu_seconds: float
    memory_megabytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number of resources."""

    resources: int
    objects: int
    first_pass_seconds: float
    first_pass_cpu_seconds: float
    memory_megabytes: float
    rest_requests_per_minute: float
    """Of each resource."""
    rest_applies: int
    rest_cpu_share: float

    def to_row(self) -> str:
        """Return the line of the report."""
        each = 1000 / self.resources
        cells = [
            str(self.resources),
            str(self.objects),
            f"{self.first_pass_seconds:.1f}",
            f"{self.first_pass_seconds * each:.0f}",
            f"{self.first_pass_cpu_seconds * each:.0f}",
            f"{self.memory_megabytes:.0f}",
            f"{self.rest_requests_per_minute:.1f}",
            str(self.rest_applies),
            f"{self.rest_cpu_share * 1000:.0f}",
        ]
        return f"| {' | '.join(cells)} |\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, report, judge; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.operator", description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="how many resources")
    options = parser.parse_args(arguments)
    measured = []
    for count in options.counts:
        say(f"{count} resources, {SETTLING_SECONDS + REST_SECONDS:.0f} s and what they take")
        measured.append(measure(count))
    report = HEAD + "".join(each.to_row() for each in measured)
    say(report)
    RESULTS.write_text(report, encoding="utf-8")
    faults = find_faults(measured)
    for fault in faults:
        warn(f"bench-operator: {fault}")
    return 1 if faults else 0


def find_faults(measured: Sequence[Measured]) -> list[str]:
    """Return what an operator must not do."""
    few, many = measured[0], measured[-1]
    faults = [
        f"{each.resources} resources: {each.rest_applies} objects were written at rest"
        for each in measured
        if each.rest_applies > 0
    ]
    if many.rest_requests_per_minute > MOST_GROWTH * few.rest_requests_per_minute:
        faults.append(
            f"a resource among {many.resources} takes {many.rest_requests_per_minute:.1f} requests"
            f" a minute at rest, among {few.resources} {few.rest_requests_per_minute:.1f}"
        )
    return faults


def measure(count: int) -> Measured:
    """Make so many resources, watch, and take them away."""
    with quota_without_pods() as namespace:
        before = read_usage()
        apply_all(namespace, count)
        seconds = time.monotonic() - before.at
        after = read_usage()
        time.sleep(SETTLING_SECONDS)
        resting = read_usage()
        time.sleep(REST_SECONDS)
        rested = read_usage()
        objects = count_objects(namespace)
    minutes = (rested.at - resting.at) / 60
    return Measured(
        resources=count,
        objects=objects,
        first_pass_seconds=seconds,
        first_pass_cpu_seconds=after.cpu_seconds - before.cpu_seconds,
        memory_megabytes=rested.memory_megabytes,
        rest_requests_per_minute=(rested.requests - resting.requests) / minutes / count,
        rest_applies=rested.applies - resting.applies,
        rest_cpu_share=(rested.cpu_seconds - resting.cpu_seconds) / (minutes * 60),
    )


@contextmanager
def quota_without_pods() -> Iterator[str]:
    """Make a namespace in which no pod can be; delete it in the end."""
    name = f"bench-operator-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    try:
        kubectl("-n", name, "create", "quota", "none", "--hard=pods=0")
        yield name
    finally:
        kubectl("delete", "namespace", name, "--timeout=300s")


def apply_all(namespace: str, count: int) -> None:
    """Make the resources and wait until the operator has said something of each.

    Raises:
        TimeoutError: it has not within five minutes.
    """
    items = [
        {
            "apiVersion": "taskorchestrator.dev/v1alpha1",
            "kind": "Orchestrator",
            "metadata": {"name": f"many-{number}", "namespace": namespace},
            "spec": {},
        }
        for number in range(count)
    ]
    manifest = {"apiVersion": "v1", "kind": "List", "items": items}
    kubectl("apply", "--server-side", "-f", "-", given=json.dumps(manifest))
    deadline = time.monotonic() + FIRST_PASS_SECONDS
    while True:
        found = json.loads(kubectl("-n", namespace, "get", "orch", "-o", "json"))["items"]
        # The first write of a pass says little; components are known once it has acted.
        if sum(bool(each.get("status", {}).get("components")) for each in found) == count:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not every one of {count} resources had a pass")
        time.sleep(0.5)


def read_usage() -> Usage:
    """Read what the API server and the operator's process count."""
    metrics = kubectl("get", "--raw", "/metrics")
    pod = kubectl("get", "pods", "-A", "-l", OPERATOR, "-o", "json")
    [operator] = json.loads(pod)["items"]
    where = (operator["metadata"]["name"], "-n", operator["metadata"]["namespace"])
    memory, cpu = kubectl("exec", *where, "--", "python", "-c", READ_SELF).split()
    return Usage(
        at=time.monotonic(),
        requests=sum_of(
            metrics, r"apiserver_flowcontrol_dispatched_requests_total\{[^}]*\"service-accounts\""
        ),
        applies=sum_of(metrics, r"apiserver_request_total\{[^}]*verb=\"APPLY\""),
        cpu_seconds=float(cpu),
        memory_megabytes=int(memory) / 1024,
    )


def sum_of(metrics: str, series: str) -> int:
    """Return what all series that begin like this count together."""
    return sum(
        int(float(value))
        for value in re.findall(rf"^{series}[^}}]*\}} (\S+)$", metrics, re.MULTILINE)
    )


def count_objects(namespace: str) -> int:
    """Return how many objects the operator has made."""
    kinds = (
        "configmaps,deployments,jobs,networkpolicies,poddisruptionbudgets,secrets,services,"
        "statefulsets"
    )
    managed = "app.kubernetes.io/managed-by=orchestrator-operator"
    return len(kubectl("-n", namespace, "get", kinds, "-l", managed, "-o", "name").splitlines())


def kubectl(*arguments: str, given: str | None = None) -> str:
    """Run kubectl and return its output."""
    done = subprocess.run(
        ["kubectl", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=400,
        check=True,
    )
    return done.stdout
