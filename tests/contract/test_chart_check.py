"""What ``helm test`` runs finds each thing that an installation can lack, and says so."""

import http.client
import runpy
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

PROGRAM = Path(__file__).parents[2] / "charts/orchestrator-operator/files/check_installation.py"
ALL = "/apis/taskorchestrator.dev/v1alpha1/orchestrators?limit=1"
ONE = "/apis/taskorchestrator.dev/v1alpha1/namespaces/team-a/orchestrators?limit=1"


@pytest.fixture(scope="module")
def check() -> SimpleNamespace:
    # Not imported: that would leave bytecode in the chart.
    return SimpleNamespace(**runpy.run_path(str(PROGRAM)))


@contextmanager
def a_server(
    status: int, body: str = "{}"
) -> Iterator[tuple[http.client.HTTPConnection, list[str]]]:
    """Answer everything alike; yields a connection to it, and what was asked for by whom."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization', '')}".strip())
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5), asked
        finally:
            server.shutdown()
            thread.join()


def test_an_operator_that_is_well_is_believed(check: SimpleNamespace) -> None:
    with a_server(HTTPStatus.OK) as (connection, asked):
        assert list(check.find_operator_fault(connection)) == []

    assert asked == ["/healthz"]


def test_an_operator_that_complains_is_quoted(check: SimpleNamespace) -> None:
    with a_server(HTTPStatus.INTERNAL_SERVER_ERROR, "a pass has run for 200 s") as (connection, _):
        [complaint] = check.find_operator_fault(connection)

    assert complaint == "the operator is not well: 500 a pass has run for 200 s"


def test_an_operator_that_is_not_there_is_missed(check: SimpleNamespace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    [complaint] = check.find_operator_fault(http.client.HTTPConnection("127.0.0.1", port))

    assert complaint.startswith(f"no operator answers at 127.0.0.1:{port}: ")


@pytest.mark.parametrize(("namespace", "path"), [("", ALL), ("team-a", ONE)])
def test_where_the_account_may_list_nothing_is_wrong(
    check: SimpleNamespace, namespace: str, path: str
) -> None:
    with a_server(HTTPStatus.OK) as (connection, asked):
        assert list(check.find_resource_fault(connection, "secret", namespace)) == []

    assert asked == [f"{path} Bearer secret"]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, "the API server knows no Orchestrators: the CustomResourceDefinition is missing"),
        (403, "the operator's account may not list the Orchestrators of namespace team-a: why"),
        (401, "the Orchestrators of namespace team-a can't be listed: 401 why"),
    ],
)
def test_what_the_api_server_refuses_is_told(
    check: SimpleNamespace, status: int, sentence: str
) -> None:
    with a_server(status, "why") as (connection, _):
        assert list(check.find_resource_fault(connection, "secret", "team-a")) == [sentence]
