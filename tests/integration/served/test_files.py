"""Files as clients upload and fetch them, from a process of its own over real stores."""

import asyncio
import hashlib
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from urllib.parse import quote

import asyncpg
import httpx
import pytest

import services
from api_clients import User
from api_contract import sign_up
from orchestrator_api.settings import ProcessSettings
from own_stores import administer, own_stores
from raw_http import chunked, exchange, head
from served_api import ServedApi, environment_of, serving_process

LIMIT_BYTES = 1 << 20
QUOTA_BYTES = 3 << 20
CONTENT = (bytes(range(256)) * 3_000)[:700_001]
"""Three pieces, the last one odd."""
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
A_RESULT = """
WITH done AS (
    UPDATE tasks SET status = 'PROCESSING', epoch = 1 WHERE id = $1
)
INSERT INTO task_results (task_id, epoch, content, content_type, file_name, sha256)
VALUES ($1, 1, $2, 'image/png', 'image_1.png', sha256($2))
"""


@dataclass(frozen=True)
class Bounded:
    """A process that takes little, and the stores behind it."""

    served: ServedApi
    settings: ProcessSettings

    def execute(self, query: str, *arguments: object) -> object:
        """Return the first value that a statement gives."""
        return asyncio.run(self._execute(query, *arguments))

    async def _execute(self, query: str, *arguments: object) -> object:
        to = self.settings.postgres
        connection = await asyncpg.connect(
            host=to.host, port=to.port, user=to.user, database=to.database
        )
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()


@pytest.fixture(scope="module")
def bounded(
    postgres_service: services.Service,
    redis_service: services.Service,
    rabbitmq_service: services.Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Bounded]:
    with own_stores(postgres_service, redis_service, rabbitmq_service) as settings:
        environment = environment_of(
            settings,
            ORCHESTRATOR_API_FILE_LIMIT_BYTES=str(LIMIT_BYTES),
            ORCHESTRATOR_API_FILE_QUOTA_BYTES=str(QUOTA_BYTES),
            ORCHESTRATOR_API_FILE_PIECE_SECONDS="0.5",
            ORCHESTRATOR_API_FILE_TYPES='["image/*", "text/csv", "text/plain"]',
        )
        log = tmp_path_factory.mktemp("files") / "api.log"
        with serving_process(environment, log) as served:
            yield Bounded(served, settings)


@pytest.fixture
def client(bounded: Bounded) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=bounded.served.url, timeout=10) as client:
        yield client


@pytest.fixture
def user(client: httpx.Client) -> User:
    return sign_up(client)


@pytest.fixture
def stranger(client: httpx.Client) -> User:
    return sign_up(client)


def upload(
    client: httpx.Client,
    user: User,
    content: bytes = CONTENT,
    *,
    name: str = "photo.jpg",
    **headers: str,
) -> httpx.Response:
    given = {"Content-Type": "image/jpeg", **headers, **user.headers}
    return client.post("/api/v1/files", params={"file_name": name}, content=content, headers=given)


def a_file(client: httpx.Client, user: User, content: bytes = CONTENT) -> str:
    """Upload a file; return its path."""
    answer = upload(client, user, content)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def upload_head(user: User, *lines: str) -> bytes:
    authorization = f"Authorization: {user.headers['Authorization']}"
    target = "/api/v1/files?file_name=photo.jpg"
    return head("POST", target, authorization, "Content-Type: image/jpeg", *lines)


def kept_bytes(bounded: Bounded, user: User) -> object:
    """Return what all rows of a user, whole or not, count against his quota."""
    query = "SELECT coalesce(sum(size_bytes), 0)::bigint FROM files WHERE user_id = $1"
    return bounded.execute(query, user.id)


def test_an_uploaded_file_is_described_and_comes_back_as_it_was(
    client: httpx.Client, user: User
) -> None:
    answer = upload(client, user)
    file = answer.json()
    download = client.get(answer.headers["location"], headers=user.headers)

    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/files/{file['id']}"
    assert (file["file_name"], file["content_type"]) == ("photo.jpg", "image/jpeg")
    assert (file["size_bytes"], f'"{file["sha256"]}"') == (len(CONTENT), ETAG)
    assert file["created_at"] < file["expires_at"]
    assert (download.status_code, download.content) == (200, CONTENT)
    assert download.headers["content-type"] == "image/jpeg"
    assert download.headers["content-length"] == str(len(CONTENT))
    assert download.headers["etag"] == ETAG
    assert download.headers["content-disposition"].startswith('attachment; filename="photo.jpg"')
    assert download.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in download.headers["content-security-policy"]


def test_an_empty_file_is_a_file(client: httpx.Client, user: User) -> None:
    path = a_file(client, user, b"")

    download = client.get(path, headers=user.headers)

    assert (download.status_code, download.content) == (200, b"")
    assert download.headers["content-length"] == "0"


@pytest.mark.parametrize(
    ("headers", "status", "body", "content_range"),
    [
        ({"Range": "bytes=0-99"}, 206, CONTENT[:100], f"bytes 0-99/{len(CONTENT)}"),
        ({"Range": "bytes=-1"}, 206, CONTENT[-1:], f"bytes 700000-700000/{len(CONTENT)}"),
        ({"Range": "bytes=262143-262144"}, 206, CONTENT[262_143:262_145], None),
        ({"Range": "bytes=500000-"}, 206, CONTENT[500_000:], None),
        ({"Range": "bytes=0-1,5-6"}, 200, CONTENT, None),
        ({"Range": "bytes=0-1", "If-Range": ETAG}, 206, CONTENT[:2], None),
        ({"Range": "bytes=0-1", "If-Range": '"other"'}, 200, CONTENT, None),
        ({"If-None-Match": ETAG}, 304, b"", None),
    ],
)
def test_a_client_gets_the_part_that_it_lacks(  # noqa: PLR0913, PLR0917 - a table's columns
    client: httpx.Client,
    user: User,
    headers: Mapping[str, str],
    status: int,
    body: bytes,
    content_range: str | None,
) -> None:
    answer = client.get(a_file(client, user), headers={**headers, **user.headers})

    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers["etag"] == ETAG
    assert ("content-range" in answer.headers) == (status == 206)
    if content_range:
        assert answer.headers["content-range"] == content_range


def test_a_part_outside_the_file_is_refused_with_its_size(client: httpx.Client, user: User) -> None:
    headers = {"Range": "bytes=700001-", **user.headers}

    answer = client.get(a_file(client, user), headers=headers)

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"
    assert answer.json()["error"] == "Range not satisfiable"


def test_head_tells_what_get_would_without_the_file(client: httpx.Client, user: User) -> None:
    path = a_file(client, user)

    got = client.get(path, headers=user.headers)
    looked = client.head(path, headers={"Range": "bytes=0-1", **user.headers})

    changing = {"date", "ratelimit"}
    assert (looked.status_code, looked.content) == (200, b"")
    assert {name: value for name, value in looked.headers.items() if name not in changing} == {
        name: value for name, value in got.headers.items() if name not in changing
    }


def test_a_result_comes_in_parts_as_well(
    bounded: Bounded, client: httpx.Client, user: User
) -> None:
    task = client.post("/api/v1/tasks", json={"task_type": "IMAGE_RESIZE"}, headers=user.headers)
    path = f"{task.headers['location']}/result"
    before = client.head(path, headers=user.headers)
    bounded.execute(A_RESULT, task.json()["task_id"], CONTENT)

    whole = client.get(path, headers=user.headers)
    part = client.get(path, headers={"Range": "bytes=300000-300009", **user.headers})
    looked = client.head(path, headers=user.headers)

    assert before.status_code == 404
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert (part.status_code, part.content) == (206, CONTENT[300_000:300_010])
    assert looked.headers["content-length"] == str(len(CONTENT))
    assert whole.headers["etag"] == part.headers["etag"] == looked.headers["etag"] == ETAG


def test_a_stranger_gets_nothing_of_it_by_any_method(
    client: httpx.Client, user: User, stranger: User
) -> None:
    path = a_file(client, user)

    statuses = [
        client.request(method, path, headers={"Range": "bytes=900000-", **stranger.headers})
        for method in ("GET", "HEAD", "DELETE")
    ]

    assert [answer.status_code for answer in statuses] == [403, 403, 403]
    assert client.get("/api/v1/files", headers=stranger.headers).json()["files"] == []
    assert client.get(path, headers=user.headers).content == CONTENT


def test_a_deleted_file_is_gone_with_its_content(
    bounded: Bounded, client: httpx.Client, user: User
) -> None:
    path = a_file(client, user)

    deleted = client.delete(path, headers=user.headers)
    later = [client.request(method, path, headers=user.headers) for method in ("GET", "DELETE")]

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert [answer.status_code for answer in later] == [404, 404]
    assert later[0].json()["error"] == "File not found"
    file_id = int(path.rpartition("/")[2])
    assert bounded.execute("SELECT count(*) FROM file_pieces WHERE file_id = $1", file_id) == 0
    assert kept_bytes(bounded, user) == 0


def test_files_are_listed_page_by_page(client: httpx.Client, user: User) -> None:
    ids = [int(a_file(client, user, b"x").rpartition("/")[2]) for _ in range(3)]

    first = client.get("/api/v1/files", params={"limit": 2}, headers=user.headers)
    second = client.get(first.links["next"]["url"], headers=user.headers)

    assert [file["id"] for file in first.json()["files"]] == ids[:2]
    assert first.json()["next_cursor"] == ids[1]
    assert [file["id"] for file in second.json()["files"]] == ids[2:]
    assert second.json()["next_cursor"] is None
    assert "link" not in second.headers


@pytest.mark.parametrize(
    "name",
    [
        "größe.png",
        'a "quoted"; filename=x.exe',
        "...",
        "a" * 255,
        "🐘" * 255,
        "a%00b",
        "a+b &=.txt",
    ],
)
def test_a_strange_name_comes_back_as_it_was_and_breaks_no_header(
    client: httpx.Client, user: User, name: str
) -> None:
    answer = upload(client, user, b"x", name=name)
    download = client.get(answer.headers["location"], headers=user.headers)

    assert answer.json()["file_name"] == name
    disposition = download.headers["content-disposition"]
    assert disposition.startswith("attachment; filename=")
    assert len(disposition) < 2_000
    if len(name) < 255:
        assert disposition.endswith(f"filename*=UTF-8''{quote(name, safe='')}")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "file_name=",
        "file_name=.",
        "file_name=..",
        "file_name=..%2F..%2Fetc%2Fpasswd",
        "file_name=%2Fetc%2Fpasswd",
        "file_name=C:%5Cfakepath%5Cphoto.jpg",
        "file_name=a%0D%0ASet-Cookie:%20x=1",
        "file_name=a%0Ab",
        "file_name=a%00.jpg",
        "file_name=photo%E2%80%AEgpj.exe",
        f"file_name={'a' * 300}",
    ],
)
def test_a_hostile_name_is_refused_before_the_file_comes(
    bounded: Bounded, client: httpx.Client, user: User, query: str
) -> None:
    answer = client.post(
        f"/api/v1/files?{query}",
        content=CONTENT,
        headers={"Content-Type": "image/jpeg", **user.headers},
    )

    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == ["file_name"]
    assert kept_bytes(bounded, user) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-msdownload"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "image"},
        {"Content-Encoding": "gzip"},
    ],
)
def test_another_type_is_refused_with_those_that_are_taken(
    client: httpx.Client, user: User, headers: dict[str, str]
) -> None:
    answer = upload(client, user, CONTENT, **headers)

    assert answer.status_code == 415
    assert answer.json()["detail"].startswith("expected the file itself")


def test_what_is_too_large_is_refused_at_once_if_its_length_says_so(
    bounded: Bounded, user: User
) -> None:
    request = upload_head(user, f"Content-Length: {LIMIT_BYTES + 1}")

    came_back = exchange(bounded.served.port, [request])

    assert came_back.status == 413
    assert b"body_too_large" in came_back.answer
    assert str(LIMIT_BYTES).encode() in came_back.answer
    assert kept_bytes(bounded, user) == 0


@pytest.mark.parametrize(("size_bytes", "status"), [(LIMIT_BYTES, 201), (LIMIT_BYTES + 1, 413)])
def test_what_is_too_large_without_a_length_is_refused_when_it_passes_the_limit(
    bounded: Bounded, user: User, size_bytes: int, status: int
) -> None:
    body = chunked([b"x" * 65_536] * (size_bytes // 65_536) + [b"x"] * (size_bytes % 65_536))

    came_back = exchange(
        bounded.served.port, [upload_head(user, "Transfer-Encoding: chunked"), *body]
    )

    assert came_back.status == status
    assert kept_bytes(bounded, user) == (size_bytes if status == 201 else 0)


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "chunked"])
def test_uploads_that_race_never_pass_the_quota(
    bounded: Bounded, client: httpx.Client, user: User, *, is_announced: bool
) -> None:
    content = b"x" * LIMIT_BYTES

    def race(_: int) -> httpx.Response:
        body = content if is_announced else (content[:500_000], content[500_000:])
        return client.post(
            "/api/v1/files?file_name=photo.jpg",
            content=body if isinstance(body, bytes) else iter(body),
            headers={"Content-Type": "image/jpeg", **user.headers},
        )

    with ThreadPoolExecutor(max_workers=6) as pool:
        answers = list(pool.map(race, range(6)))

    kept = [answer for answer in answers if answer.status_code == 201]
    refused = [answer for answer in answers if answer.status_code != 201]
    assert 1 <= len(kept) <= QUOTA_BYTES // LIMIT_BYTES
    assert len(kept) == 3 or not is_announced
    assert {(each.status_code, each.json()["error"]) for each in refused} == {
        (413, "Quota exceeded")
    }
    assert kept_bytes(bounded, user) == len(kept) * LIMIT_BYTES


def test_a_client_that_hangs_up_leaves_nothing_that_counts(bounded: Bounded, user: User) -> None:
    request = upload_head(user, f"Content-Length: {LIMIT_BYTES}")
    with socket.create_connection(("127.0.0.1", bounded.served.port)) as connection:
        connection.sendall(request + b"x" * (LIMIT_BYTES // 2))
        while kept_bytes(bounded, user) == 0:
            pass

    while kept_bytes(bounded, user) != 0:
        pass

    assert bounded.execute("SELECT count(*) FROM files WHERE user_id = $1", user.id) == 0


def test_a_slow_body_ends_with_a_clear_answer_and_leaves_nothing(
    bounded: Bounded, user: User
) -> None:
    request = upload_head(user, f"Content-Length: {LIMIT_BYTES}")

    came_back = exchange(bounded.served.port, [request, *repeat(b"x", 100)], pause_seconds=0.05)

    assert came_back.status == 408
    assert b"expected 262144 bytes within 0.5 s each" in came_back.answer
    assert came_back.seconds < 5
    assert kept_bytes(bounded, user) == 0


def test_a_client_that_waits_for_a_go_ahead_is_refused_without_sending(
    bounded: Bounded, user: User
) -> None:
    lines = (f"Content-Length: {LIMIT_BYTES + 1}", "Expect: 100-continue")

    came_back = exchange(bounded.served.port, [upload_head(user, *lines)])

    assert came_back.answer.startswith(b"HTTP/1.1 413 ")


def test_a_store_that_goes_away_in_between_closes_the_connection(
    bounded: Bounded, client: httpx.Client, user: User, postgres_service: services.Service
) -> None:
    name, port = bounded.settings.postgres.database, postgres_service.port
    path = a_file(client, user)
    size_bytes = int(str(bounded.execute(LENGTHEN, int(path.rsplit("/", 1)[1]))))
    with client.stream("GET", path, headers=user.headers) as answer:
        pieces = answer.iter_raw(1_000)
        received = [len(next(pieces))]
        asyncio.run(administer(port, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        try:
            asyncio.run(administer(port, TERMINATE.format(name)))
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
                received.extend(map(len, pieces))
        finally:
            asyncio.run(administer(port, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))

    assert answer.headers["content-length"] == str(size_bytes)
    assert 0 < sum(received) < size_bytes
    events = await_event(bounded, "download broke off")
    assert "unexpected error" not in events


def await_event(bounded: Bounded, event: str) -> list[str]:
    """Return the events of the log once ``event`` is among them: it may come after the answer."""
    deadline = time.monotonic() + 10
    while True:
        events = [str(line["event"]) for line in bounded.served.lines()]
        if event in events:
            return events
        assert time.monotonic() < deadline, "\n".join(map(str, bounded.served.lines()[-12:]))
        time.sleep(0.05)


LENGTHEN = """
WITH more AS (
    INSERT INTO file_pieces (file_id, start, content)
    SELECT id, size_bytes + 262144 * n, convert_to(repeat('x', 262144), 'UTF8')
    FROM files, generate_series(0, 159) AS n
    WHERE id = $1
)
UPDATE files SET size_bytes = size_bytes + 262144 * 160 WHERE id = $1 RETURNING size_bytes
"""
"""40 MiB more than anybody may upload here, and more than the buffers between here and there."""

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
