"""Fetch a file that a payload names by its URL, without being led anywhere else.

The host's name is resolved once, the address judged, and the connection made to that
very address; the certificate is checked for the name. So nothing changes between look
and leap. A redirection is followed within the same host only, and judged like the first
URL. Time, size and speed of what comes are bounded, and nothing is decompressed.

Before: ``supplying`` has the ``Link`` of a payload.
After: the bytes lie in the attempt's folder, or the task ends with a sentence.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from orchestrator_core.files import MAX_NAME_LENGTH, PIECE_BYTES, InputFile
from orchestrator_core.handlers import GiveUpError, RetryLaterError
from orchestrator_core.tasks import ErrorCode
from orchestrator_worker.addresses import (
    PORTS,
    IPAddress,
    IPNetwork,
    RefusedAddressError,
    Target,
    choose_address,
    parse_target,
)

RESOLVE_SECONDS = 5.0
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 15.0
"""Between two pieces of an answer."""
FETCH_SECONDS = 120.0
"""For all of it, redirections included."""
RETRY_SECONDS = 30.0
MAX_HOPS = 3
MAX_HEAD_BYTES = 16 * 1024
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be others in half a minute."""

Choose = Callable[[str, Sequence[str]], IPAddress]
"""Picks the address of a host, or raises ``RefusedAddressError``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRules:
    """What may be fetched."""

    max_bytes: int
    denied: tuple[IPNetwork, ...] = ()
    """Networks that are public but near."""
    ports: Mapping[str, int] = field(default_factory=lambda: PORTS)
    """Of each scheme that may be followed; others are for tests, whose servers have them."""


class Fetcher:
    """Fetches files from the public internet."""

    def __init__(self, rules: FetchRules, *, choose: Choose | None = None) -> None:
        """Take the rules; ``choose`` is for tests, whose servers are near."""
        self._rules = rules
        self._choose = choose or self._choose_public

    async def fetch(self, url: str, path: Path) -> InputFile:
        """Write what ``url`` answers to ``path``, which must not exist.

        Raises:
            GiveUpError: it must not be fetched, is too large, or is not there.
            RetryLaterError: its server is away or busy.
        """
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return await self._fetch(parse_target(url, ports=self._rules.ports), path)
        except RefusedAddressError as error:
            raise GiveUpError(str(error), code=ErrorCode.INVALID_INPUT) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            host = urlsplit(url).hostname
            raise RetryLaterError(
                f"{host} could not be asked for the input ({_reason_of(error)})",
                delay_seconds=RETRY_SECONDS,
            ) from error

    async def _fetch(self, target: Target, path: Path) -> InputFile:
        for _ in range(MAX_HOPS + 1):
            found = await _resolve(target)
            address = self._choose(target.host, found)
            async with (
                _session_to(address) as session,
                session.get(target.url, allow_redirects=False) as answer,
            ):
                if not 300 <= answer.status < 400:  # noqa: PLR2004 - the class of redirections
                    return await self._keep(answer, target, path)
                target = _redirected(target, answer, self._rules.ports)
        raise RefusedAddressError(f"the URL is redirected more than {MAX_HOPS} times")

    async def _keep(self, answer: aiohttp.ClientResponse, target: Target, path: Path) -> InputFile:
        if answer.status in BUSY:
            raise RetryLaterError(
                f"{target.host} answered {answer.status}", delay_seconds=RETRY_SECONDS
            )
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise RefusedAddressError(f"{target.host} answered {answer.status} instead of the file")
        size_bytes = 0
        self._require_size(answer.content_length or 0)
        with path.open("xb") as copy:
            async for piece in answer.content.iter_chunked(PIECE_BYTES):
                size_bytes += len(piece)
                self._require_size(size_bytes)
                copy.write(piece)
        return InputFile(
            path=path,
            size_bytes=size_bytes,
            content_type=answer.content_type,
            file_name=_name_of(target.url),
        )

    def _require_size(self, size_bytes: int) -> None:
        if size_bytes > self._rules.max_bytes:
            raise RefusedAddressError(
                f"the file behind the URL has more than {self._rules.max_bytes} bytes; no more"
                " are fetched"
            )

    def _choose_public(self, host: str, found: Sequence[str]) -> IPAddress:
        return choose_address(host, found, denied=self._rules.denied)


class _Pinned(AbstractResolver):
    """Answers each question with the address that was judged."""

    def __init__(self, address: IPAddress) -> None:
        self._address = address

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - the address has its own
    ) -> list[ResolveResult]:
        """Return the one address, whatever is asked for."""
        is_v4 = isinstance(self._address, ipaddress.IPv4Address)
        return [
            ResolveResult(
                hostname=host,
                host=str(self._address),
                port=port,
                family=socket.AF_INET if is_v4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Hold nothing."""


def _session_to(address: IPAddress) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=_Pinned(address), use_dns_cache=False, force_close=True
        ),
        # No proxy of the environment, no cookies, no compression that could be a bomb.
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "orchestrator"},
        timeout=aiohttp.ClientTimeout(
            total=FETCH_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS
        ),
        max_line_size=MAX_HEAD_BYTES,
        max_field_size=MAX_HEAD_BYTES,
    )


async def _resolve(target: Target) -> list[str]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_SECONDS):
        found: list[Any] = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _redirected(target: Target, answer: aiohttp.ClientResponse, ports: Mapping[str, int]) -> Target:
    """Return where a redirection leads.

    Raises:
        RefusedAddressError: to another host, or from ``https`` to ``http``.
    """
    location = answer.headers.get("Location", "")
    if target.url.startswith("https:"):
        ports = {"https": ports["https"]}
    new = parse_target(urljoin(target.url, location), ports=ports)
    if new.host != target.host:
        raise RefusedAddressError(
            f"the URL is redirected to another host ({new.host[:100]}): send that URL itself"
        )
    return new


def _name_of(url: str) -> str:
    """Return the last part of the path as a plain name."""
    name = PurePosixPath(unquote(urlsplit(url).path, errors="replace")).name
    plain = "".join(each for each in name if each.isprintable() and each not in '/\\"')
    return plain[:MAX_NAME_LENGTH] or "input"


def _reason_of(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "it did not answer in time"
        case socket.gaierror():
            return "its name stands for no address"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "its certificate is not valid"
        case aiohttp.ClientConnectorError() | ConnectionError():
            return "it can't be reached"
        case _:
            return "its answer broke off or made no sense"
