"""The process against connections that bring too much, too slowly, or no HTTP at all.

Each is answered or let go, nobody else waits for it, and memory stays as it was.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import httpx
import pytest

from api_contract import JSON, Call, Operation, Owner, a_call, an_owner
from raw_http import Exchange, chunked, exchange, head
from served_api import ServedApi

HUNDRED_MB = 100 << 20
PIECE = b" " * (1 << 20)
MAX_GROWTH_BYTES = 110 << 20
"""All bodies together may take 64 MiB; the rest is room for copies of one and for chance."""


@pytest.fixture
def owner(client: httpx.Client, operations: list[Operation]) -> Owner:
    return an_owner(client, operations, mark="hostile0")


def hundred_megabytes() -> Iterator[bytes]:
    return repeat(PIECE, HUNDRED_MB // len(PIECE))


def flood(api: ServedApi, call: Call, owner: Owner, *, is_chunked: bool) -> Exchange:
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {HUNDRED_MB}"
    headers = {"Content-Type": JSON, **call.headers, **owner.user.headers}
    first = head(
        call.operation.method, call.url, length, *(f"{n}: {v}" for n, v in headers.items())
    )
    body: Iterable[bytes] = hundred_megabytes()
    return exchange(api.port, [first, *(chunked(body) if is_chunked else body)])


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_hundred_megabytes_to_each_operation_take_no_memory(
    running_api: ServedApi, operations: list[Operation], owner: Owner, *, is_chunked: bool
) -> None:
    calls = [
        a_call(each, owner.names)
        for each in operations
        if each.id not in ("log_out", "delete_file")
    ]
    before = running_api.resident_bytes()
    running_api.forget_peak()

    with ThreadPoolExecutor(8) as threads:
        exchanges = list(
            threads.map(lambda call: flood(running_api, call, owner, is_chunked=is_chunked), calls)
        )

    for call, came_back in zip(calls, exchanges, strict=True):
        if call.operation.takes_json:
            # Refused for its size alone; with others in memory it may also be told to come back.
            assert came_back.status in (413, 503), call.operation.label
            assert came_back.sent_bytes < HUNDRED_MB // 2
        assert came_back.status not in (0, 500), call.operation.label
        assert came_back.seconds < 10
    assert running_api.peak_bytes() - before < MAX_GROWTH_BYTES


def test_a_head_without_end_is_refused_and_takes_no_memory(running_api: ServedApi) -> None:
    endless = {
        "one header": [b"GET / HTTP/1.1\r\nHost: api\r\nX-Long: ", *hundred_megabytes()],
        "many headers": [
            b"GET / HTTP/1.1\r\nHost: api\r\n",
            *repeat(b"X-Y: 1\r\n" * 10_000, 1_000),
        ],
        "the path": [b"GET /", *repeat(b"x" * 100_000, 1_000)],
        "empty lines": list(repeat(b"\r\n" * 50_000, 1_000)),
        "trailers": [
            head(
                "POST",
                "/auth/login",
                "Content-Type: application/json",
                "Transfer-Encoding: chunked",
            ),
            b"2\r\n{}\r\n0\r\n",
            *repeat(b"X-Y: 1\r\n" * 10_000, 1_000),
        ],
    }
    before = running_api.resident_bytes()
    running_api.forget_peak()

    for case, pieces in endless.items():
        came_back = exchange(running_api.port, pieces)

        assert came_back.status in (0, 400, 408, 422, 431), case
        assert came_back.sent_bytes < HUNDRED_MB // 2, case
    assert running_api.peak_bytes() - before < MAX_GROWTH_BYTES


def test_what_is_no_http_is_a_problem_too(running_api: ServedApi) -> None:
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ):
        came_back = exchange(running_api.port, [nonsense])

        assert came_back.status == 400, nonsense
        assert b"content-type: application/problem+json" in came_back.answer


def test_who_sends_slowly_is_let_go_and_nobody_waits_for_him(
    running_api: ServedApi, client: httpx.Client, owner: Owner
) -> None:
    length = "Content-Length: 1000"
    slow: dict[str, bytes] = {
        "a silent client": b"",
        "a slow head": head("GET", "/health"),
        "a slow body": head("POST", "/auth/login", f"Content-Type: {JSON}", length),
        "a slow body behind a token": head(
            "POST",
            "/api/v1/tasks",
            f"Content-Type: {JSON}",
            length,
            *(f"{n}: {v}" for n, v in owner.user.headers.items()),
        ),
    }

    def trickle(case: str) -> Exchange:
        if "body" in case:
            return exchange(running_api.port, [slow[case], *repeat(b" ", 900)], pause_seconds=0.1)
        return exchange(
            running_api.port, (bytes([each]) for each in slow[case][:20]), pause_seconds=0.5
        )

    with ThreadPoolExecutor(32) as threads:
        under_way = {case: [threads.submit(trickle, case) for _ in range(8)] for case in slow}
        others = [client.get("/livez") for _ in range(20)]
        ended = {case: [each.result() for each in futures] for case, futures in under_way.items()}

    assert {each.status_code for each in others} == {200}
    assert max(each.elapsed.total_seconds() for each in others) < 1
    statuses = {case: {each.status for each in exchanges} for case, exchanges in ended.items()}
    assert statuses == {
        "a silent client": {0},
        "a slow head": {408},
        "a slow body": {408},
        "a slow body behind a token": {408},
    }
    assert max(each.seconds for exchanges in ended.values() for each in exchanges) < 8


def test_nothing_of_all_this_was_unexpected(running_api: ServedApi) -> None:
    """The last of this module: whatever came, no line of the log speaks of a fault of ours."""
    assert [line for line in running_api.lines() if line["event"] == "unexpected error"] == []
    assert running_api.process.poll() is None
