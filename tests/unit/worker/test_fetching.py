"""A file behind a URL comes whole, from the address that was judged, or ends with a sentence."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loopback import LOOPBACK, make_certificate, served, serving_context
from orchestrator_core.handlers import GiveUpError, RetryLaterError
from orchestrator_core.tasks import ErrorCode
from orchestrator_worker import fetching
from orchestrator_worker.addresses import IPAddress
from orchestrator_worker.fetching import Fetcher, FetchRules

MAX_BYTES = 1000

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def answering(*parts: str, body: bytes = b"") -> Answer:
    head = "\r\n".join((*parts, "Connection: close", "", "")).encode()

    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head + body)

    return answer


def ok(body: bytes, *headers: str) -> Answer:
    return answering("HTTP/1.1 200 OK", *headers, body=body)


@asynccontextmanager
async def answered(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Answer each request on a port of the loopback."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(await reader.readuntil(b"\r\n\r\n"), writer)

    async with served(serve, tls) as port:
        yield port


def near(_: str, found: Sequence[str]) -> IPAddress:
    """Let a test's own server be asked."""
    [address] = set(found)
    return ipaddress.ip_address(address)


def a_fetcher(port: int, scheme: str = "http") -> Fetcher:
    return Fetcher(FetchRules(max_bytes=MAX_BYTES, ports={scheme: port}), choose=near)


async def fetch(answer: Answer, path: Path, url: str = "/photo.png") -> bytes:
    async with answered(answer) as port:
        file = await a_fetcher(port).fetch(f"http://{LOOPBACK}:{port}{url}", path)
    assert file.path == path
    content = await asyncio.to_thread(path.read_bytes)
    assert file.size_bytes == len(content)
    return content


async def test_a_file_comes_with_its_name_and_type(tmp_path: Path) -> None:
    async with answered(ok(b"pixels", "Content-Type: image/png")) as port:
        file = await a_fetcher(port).fetch(
            f"http://{LOOPBACK}:{port}/albums/my%20photo.png?size=1", tmp_path / "input"
        )

    assert (file.content_type, file.file_name) == ("image/png", "my photo.png")
    assert await asyncio.to_thread(file.path.read_bytes) == b"pixels"


async def test_the_server_is_asked_for_nothing_but_the_file(tmp_path: Path) -> None:
    requests = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        requests.append(request.decode())
        await ok(b"x")(request, writer)

    await fetch(answer, tmp_path / "input")

    [request] = requests
    assert "Accept-Encoding: identity" in request
    assert "Cookie" not in request
    assert "Authorization" not in request


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"x" * (MAX_BYTES + 1)),
        ok(b"", f"Content-Length: {MAX_BYTES + 1}"),
        ok(b"%x\r\n%b\r\n0\r\n\r\n" % (2000, b"x" * 2000), "Transfer-Encoding: chunked"),
    ],
    ids=["unannounced", "announced", "in chunks"],
)
async def test_a_file_that_is_too_large_is_given_up(answer: Answer, tmp_path: Path) -> None:
    with pytest.raises(GiveUpError, match="more than 1000 bytes") as raised:
        await fetch(answer, tmp_path / "input")

    assert raised.value.code is ErrorCode.INVALID_INPUT


async def test_compression_is_left_as_it_is(tmp_path: Path) -> None:
    bomb = b"\x1f\x8b not unpacked"

    assert await fetch(ok(bomb, "Content-Encoding: gzip"), tmp_path / "input") == bomb


async def test_a_redirection_within_the_host_is_followed(tmp_path: Path) -> None:
    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        is_first = request.startswith(b"GET /old ")
        moved = answering("HTTP/1.1 302 Found", "Location: /new")
        await (moved if is_first else ok(b"moved"))(request, writer)

    assert await fetch(answer, tmp_path / "input", url="/old") == b"moved"


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data", "must use port|another host"),
        ("file:///etc/passwd", "must begin with"),
        ("//localhost/", "must use port|another host"),
        ("/loop", "more than 3 times"),
    ],
)
async def test_other_redirections_are_refused(location: str, reason: str, tmp_path: Path) -> None:
    answer = answering("HTTP/1.1 301 Moved", f"Location: {location}")

    with pytest.raises(GiveUpError, match=reason):
        await fetch(answer, tmp_path / "input", url="/loop")

    assert not await asyncio.to_thread((tmp_path / "input").exists)


@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "204 No Content"])
async def test_what_is_not_there_is_given_up(status: str, tmp_path: Path) -> None:
    with pytest.raises(GiveUpError, match=f"answered {status[:3]} instead of the file"):
        await fetch(answering(f"HTTP/1.1 {status}"), tmp_path / "input")


@pytest.mark.parametrize(
    "answer",
    [
        answering("HTTP/1.1 503 Busy"),
        answering("HTTP/1.1 429 Too Many"),
        answering(""),
        answering("SSH-2.0-OpenSSH"),
        ok(b"half", "Content-Length: 400"),
        answering("HTTP/1.1 200 OK", "X-Long: " + "x" * 40_000),
    ],
    ids=["busy", "throttled", "nothing", "another protocol", "cut off", "endless head"],
)
async def test_what_may_be_better_later_is_tried_again(answer: Answer, tmp_path: Path) -> None:
    with pytest.raises(RetryLaterError) as raised:
        await fetch(answer, tmp_path / "input")

    assert raised.value.message.startswith(LOOPBACK)


async def test_a_server_that_says_nothing_is_waited_for_no_longer_than_promised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fetching, "FETCH_SECONDS", 0.05)

    async def hang(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)

    with pytest.raises(RetryLaterError, match="did not answer in time"):
        await fetch(hang, tmp_path / "input")


async def test_without_a_test_nothing_near_is_asked(tmp_path: Path) -> None:
    async def answer(_: bytes, __: asyncio.StreamWriter) -> None:
        raise AssertionError("was asked")

    async with answered(answer) as port:
        fetcher = Fetcher(FetchRules(max_bytes=MAX_BYTES, ports={"http": port}))
        for host in (LOOPBACK, "localhost", "127.1", "2130706433", "0x7f000001", "0"):
            with pytest.raises(GiveUpError, match="public internet"):
                await fetcher.fetch(f"http://{host}:{port}/", tmp_path / "input")


async def test_the_judged_address_is_asked_whatever_the_name_stands_for(tmp_path: Path) -> None:
    """Between look and leap a name may be made to stand for something else."""
    hosts = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> None:
        hosts.append([line for line in request.decode().splitlines() if line[:5] == "Host:"])
        await ok(b"x")(request, writer)

    async with answered(answer) as port:
        fetcher = Fetcher(
            FetchRules(max_bytes=MAX_BYTES, ports={"http": port}),
            choose=lambda _host, _found: ipaddress.ip_address(LOOPBACK),
        )
        await fetcher.fetch(f"http://localhost:{port}/", tmp_path / "input")

    assert hosts == [[f"Host: localhost:{port}"]]


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    made = await asyncio.to_thread(make_certificate, tmp_path, "DNS:localhost")
    tls = serving_context(*made)

    async with answered(ok(b"x"), tls) as port:
        fetcher = Fetcher(
            FetchRules(max_bytes=MAX_BYTES, ports={"https": port}),
            choose=lambda _host, _found: ipaddress.ip_address(LOOPBACK),
        )
        with pytest.raises(RetryLaterError, match="its certificate is not valid"):
            await fetcher.fetch(f"https://localhost:{port}/", tmp_path / "input")
