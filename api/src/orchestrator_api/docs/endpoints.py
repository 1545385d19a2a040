"""``/openapi.json`` and ``/docs``: for people and tools, without any outside host.

The page's scripts and styles come out of an installed package, and its policy lets
the browser load nothing else, so it works where a cluster reaches no other host and
runs nothing that somebody smuggled into the document.

Before: somebody wants to know what this API can do.
After: a document or a page that is theirs to keep; both say when nothing has changed.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from operator import is_
from typing import Any

import structlog
from fastapi import FastAPI, Request
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from orchestrator_api.docs.documents import build_document
from orchestrator_api.tasks.catalogue import Catalogue, KnownType
from orchestrator_core.errors import StoreUnavailableError

CATALOGUE_SECONDS = 1.0
"""A document that is a little old now is worth more than a new one after a time-out."""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PACKAGED = "fastapi_offline"
_ASSETS = {
    "swagger-ui-bundle.js": (_PACKAGED, "text/javascript"),
    "swagger-ui.css": (_PACKAGED, "text/css"),
    "favicon.png": (_PACKAGED, "image/png"),
    "start.js": (__package__, "text/javascript"),
}
"""What the page needs: the package that has it in ``static/``, and its type."""

_log = structlog.get_logger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Asset:
    """Bytes to serve, compressed too."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> "Asset":
        """Prepare ``content``."""
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        return cls(content, gzip.compress(content, mtime=0), media_type, etag)


Build = Callable[[Sequence[KnownType]], Mapping[str, Any]]
"""Returns the document for these task types."""


class DocumentCache:
    """The document, built again only when other task types are published."""

    def __init__(self, build: Build, *, catalogue_seconds: float = CATALOGUE_SECONDS) -> None:
        self._build = build
        self._catalogue_seconds = catalogue_seconds
        self._types: Sequence[KnownType] = ()
        self._built: Asset | None = None

    async def read(self, catalogue: Catalogue) -> Asset:
        """Return the document; with Postgres away the last one, or one that knows no types."""
        try:
            async with asyncio.timeout(self._catalogue_seconds):
                types: Sequence[KnownType] = await catalogue.list_all()
        except (StoreUnavailableError, TimeoutError) as error:
            _log.warning("document without new task types", reason=str(error))
            types = self._types
        # The catalogue keeps a type's object while it stays the same.
        is_same = len(types) == len(self._types) and all(map(is_, types, self._types))
        if self._built is None or not is_same:
            self._built = Asset.of(to_json(self._build(types)), "application/json")
            self._types = types
        return self._built


def install_docs(app: FastAPI, *, password_min_length: int) -> None:
    """Serve the document of ``app`` and the page that shows it."""
    documents = DocumentCache(
        lambda types: build_document(app, types, password_min_length=password_min_length)
    )

    async def show_document(request: Request) -> Response:
        return _serve(request, await documents.read(request.state.catalogue))

    app.add_api_route("/openapi.json", show_document, include_in_schema=False)
    app.add_api_route("/docs", _show_page, include_in_schema=False)
    app.add_api_route("/docs/{name}", _show_asset, include_in_schema=False)


async def _show_page(request: Request) -> Response:
    answer = _serve(request, _read_asset(__package__, "page.html", "text/html; charset=utf-8"))
    answer.headers["Content-Security-Policy"] = PAGE_POLICY
    return answer


async def _show_asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSETS:
        raise HTTPException(404)
    package, media_type = _ASSETS[name]
    return _serve(request, _read_asset(package, name, media_type))


@cache
def _read_asset(package: str, name: str, media_type: str) -> Asset:
    return Asset.of(files(package).joinpath("static", name).read_bytes(), media_type)


def _serve(request: Request, asset: Asset) -> Response:
    headers = {
        "ETag": asset.etag,
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    content = asset.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = asset.compressed
        headers["Content-Encoding"] = "gzip"
    return Response(content, headers=headers, media_type=asset.media_type)
