"""A result as a download that no browser will ever run.

Before: ``service`` has found the stored file.
After: the client gets its bytes under a harmless name and type.
"""

import re
from urllib.parse import quote

from starlette.responses import Response

from orchestrator_api.etags import is_current
from orchestrator_core.tasks import StoredResult

_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(;\s*charset=[\w-]+)?", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def build_download(result: StoredResult, *, if_none_match: str | None) -> Response:
    """Return the answer that carries ``result``, or 304 when the client has it already."""
    etag = f'"{result.sha256.hex()}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": _to_disposition(result.file_name),
        "X-Content-Type-Options": "nosniff",
    }
    if is_current(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    is_sound = _MEDIA_TYPE.fullmatch(result.content_type) is not None
    media_type = result.content_type if is_sound else "application/octet-stream"
    return Response(result.content, headers={**headers, "Content-Type": media_type})


def _to_disposition(file_name: str) -> str:
    # RFC 6266: a plain name for all clients, the real one for those that can read it.
    plain = _UNSAFE.sub("_", file_name).strip("._") or "result"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"
