"""What each command does, step by step.

Before: ``cli`` read which one is wanted.
After: ``cluster``, ``images``, ``installing``, ``exposing`` and ``demonstrating`` do the work.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence

import httpx

from hack.stack import demonstrating, exposing, installing
from hack.stack.cluster import (
    ROOT,
    Cluster,
    Provider,
    ask_provider,
    find_cluster,
    start_cluster,
    stop_cluster,
)
from hack.stack.images import provide_images
from hack.stack.patience import Patient
from hack.tooling.errors import ToolError, explain

_KEPT = (
    "the platform was not uninstalled; it comes back with the cluster, unless "
    "`python3 hack/cluster down --reset` removes all that the cluster keeps"
)


def prepare() -> tuple[Cluster, Mapping[str, str]]:
    """Get a cluster, bring the images to it and install the operator; return both."""
    start = time.monotonic()
    cluster = start_cluster()
    images = provide_images()
    print("installing the operator's chart", flush=True)
    installing.install_operator(cluster, images)
    print(f"the operator runs ({time.monotonic() - start:.0f} s so far)", flush=True)
    return cluster, images


def up() -> None:
    """Bring everything up, show it at work and say what to try next."""
    cluster, images = prepare()
    print(f"applying {installing.SAMPLE.relative_to(ROOT)}", flush=True)
    installing.apply_sample(cluster, images)
    print(f"ready after {installing.await_ready(cluster):.0f} s", flush=True)
    api_url = exposing.service_url(cluster, "api")
    exposing.await_answer(api_url)
    # The demonstration's user has the limit that every user has.
    patient = Patient(httpx.HTTPTransport())
    with httpx.Client(transport=patient, base_url=api_url, timeout=10.0) as api:
        login = demonstrating.sign_up(api)
        demonstrating.show(api, cluster, mails_url=exposing.service_url(cluster, "mail"))
    if patient.waited_seconds:
        print(f"the API's limit for a user made it wait {patient.waited_seconds:.0f} s", flush=True)
    print(_what_next(cluster, api_url, exposing.service_url(cluster, "edge"), login))


def down() -> None:
    """Remove the platform, then end the cluster if it is ours, even if the first part failed.

    Raises:
        ToolError: the platform stays on a cluster that goes on running.
    """
    provider = ask_provider()
    failure = None if provider is Provider.NONE else _uninstall()
    if failure and provider is not Provider.EXISTING:
        # It may be down already, or too broken to answer; its end must not wait for that.
        print(f"{explain(failure)}\n{_KEPT}", file=sys.stderr)
    stop_cluster()
    if failure and provider is Provider.EXISTING:
        raise failure


def run_with_cluster(program: Sequence[str]) -> None:
    """Become a program that has the cluster's kubeconfig, kubectl and helm.

    Raises:
        ToolError: there is no such program.
    """
    environment = {**os.environ, **find_cluster().environment}
    try:
        os.execvpe(program[0], list(program), environment)  # noqa: S606 - the person's own command
    except OSError as error:
        raise ToolError(f"cannot run {program[0]}: {error.strerror}") from error


def _uninstall() -> ToolError | None:
    try:
        installing.remove(find_cluster())
    except ToolError as error:
        return error
    return None


def _what_next(cluster: Cluster, api_url: str, edge_url: str, login: demonstrating.Login) -> str:
    mails_url = exposing.service_url(cluster, "mail")
    kubectl = "kubectl" if shutil.which("kubectl") else cluster.kubectl_path
    return f"""
The platform is up.
  API          {api_url}   (through nginx, with its limits: {edge_url})
  login        {login.username} / {login.password}
  mails        {mails_url}/api/v1/messages   (what send_email sent; none leaves the cluster)
  kubeconfig   export KUBECONFIG={cluster.kubeconfig}

Try next:
  {kubectl} -n {installing.NAMESPACE} get orch {installing.NAME} --watch
  curl -s {api_url}/auth/login -H 'Content-Type: application/json' \\
    -d '{{"username": "{login.username}", "password": "{login.password}"}}'
  make down    # takes everything away again
"""
