"""Ask whether the installed operator works, with nothing but the standard library.

Before: the chart's test pod runs this in the operator's image, as the operator's account.
After: Helm reads the exit status, people the sentences.
"""
# ruff: noqa: INP001 - a program of the chart's, not a package

import http.client
import os
import ssl
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
API = "/apis/taskorchestrator.dev/v1alpha1"
CALL_SECONDS = 5.0
PATIENCE_SECONDS = 30.0
"""The operator may have been installed a moment ago; it starts within seconds."""


def main(arguments: Sequence[str]) -> int:
    """Look until nothing is wrong or patience ends.

    Args:
        arguments: ``host:port`` of the operator's health, then the namespaces that it watches;
            none means all of them.

    Returns:
        The exit status: 0 it works, 1 it does not, and why was said.
    """
    operator, *namespaces = arguments
    deadline = time.monotonic() + PATIENCE_SECONDS
    while complaints := list(look(operator, namespaces)):
        if time.monotonic() > deadline:
            sys.stderr.writelines(f"{complaint}\n" for complaint in complaints)
            return 1
        time.sleep(1.0)
    sys.stdout.write("the operator answers, and may list the Orchestrators that it is to run\n")
    return 0


def look(operator: str, namespaces: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for all that is wrong now."""
    yield from find_operator_fault(http.client.HTTPConnection(operator, timeout=CALL_SECONDS))
    for namespace in namespaces or [""]:
        yield from find_resource_fault(connect_to_api(), read_token(), namespace)


def find_operator_fault(connection: http.client.HTTPConnection) -> Iterator[str]:
    """Yield a sentence if the operator does not say that it is well."""
    try:
        status, body = get(connection, "/healthz", {})
    except (OSError, http.client.HTTPException) as error:
        yield f"no operator answers at {connection.host}:{connection.port}: {error!r}"
        return
    if status != http.HTTPStatus.OK:
        yield f"the operator is not well: {status} {body}"


def find_resource_fault(
    connection: http.client.HTTPConnection, token: str, namespace: str
) -> Iterator[str]:
    """Yield a sentence if the account can't list the Orchestrators of a namespace, or of all."""
    where = f"namespace {namespace}" if namespace else "all namespaces"
    path = f"{API}/namespaces/{namespace}/orchestrators" if namespace else f"{API}/orchestrators"
    try:
        status, body = get(connection, f"{path}?limit=1", {"Authorization": f"Bearer {token}"})
    except (OSError, http.client.HTTPException) as error:
        yield f"the API server does not answer: {error!r}"
        return
    match status:
        case http.HTTPStatus.OK:
            return
        case http.HTTPStatus.NOT_FOUND:
            yield "the API server knows no Orchestrators: the CustomResourceDefinition is missing"
        case http.HTTPStatus.FORBIDDEN:
            yield f"the operator's account may not list the Orchestrators of {where}: {body}"
        case _:
            yield f"the Orchestrators of {where} can't be listed: {status} {body}"


def get(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str]
) -> tuple[int, str]:
    """Return the answer's status and the beginning of its body; close the connection."""
    with closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(500).decode(errors="replace").strip()


def connect_to_api() -> http.client.HTTPSConnection:
    """Return a connection to the API server, as any pod finds it."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    # Python 3.13 refuses authorities without key usage, which many clusters have; so does the
    # operator's own client get along with them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return http.client.HTTPSConnection(
        os.environ["KUBERNETES_SERVICE_HOST"],
        int(os.environ["KUBERNETES_SERVICE_PORT"]),
        timeout=CALL_SECONDS,
        context=context,
    )


def read_token() -> str:
    """Return the token of the pod's account."""
    return (ACCOUNT / "token").read_text(encoding="utf-8").strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
