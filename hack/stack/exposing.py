"""Where a program on this machine reaches the platform: the API and nginx on 127.0.0.1.

The sample's NodePort Services answer on the loopback of a local node and of a
kind cluster that maps them; elsewhere ``kubectl port-forward`` is the way.

Before: ``installing`` applied ``hack/samples/nodeports.yaml``.
After: ``make -s api-url`` and ``make -s edge-url`` print the addresses.
"""

import contextlib
import time

import httpx

from hack.stack.cluster import Cluster
from hack.stack.installing import NAME, NAMESPACE
from hack.tooling.errors import ToolError

ANSWER_SECONDS = 20.0


def service_url(cluster: Cluster, part: str) -> str:
    """Return the address of ``api`` or ``edge`` on the loopback.

    Raises:
        ToolError: ``make up`` has not made it yet.
    """
    service = cluster.get("service", f"{part}-nodeport", f"--namespace={NAMESPACE}")
    if service is None:
        raise ToolError(f"there is no {part} yet", advice="run `make up`")
    return f"http://127.0.0.1:{service['spec']['ports'][0]['nodePort']}"


def await_answer(url: str) -> None:
    """Wait until the address answers.

    Raises:
        ToolError: it does not.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", timeout=2.0).is_success:
                return
        time.sleep(0.2)
    raise ToolError(
        f"the platform is ready, but {url} does not answer",
        advice="if this cluster does not bring node ports to the loopback, use `kubectl"
        f" -n {NAMESPACE} port-forward service/{NAME}-api 8080:80`; the rest of `make up` only"
        " shows tasks",
    )
