"""The few calls that the tool itself makes to the API server.

kubectl could make them too, but may have to be built first, and starts slowly.

Before: ``node`` waits for the node and applies ``manifests``.
After: the API server; answers as parsed JSON.
"""

import contextlib
import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any

from hack.cluster.layouts import API_PORT, Layout
from hack.tooling.errors import ToolError

_TIMEOUT_SECONDS = 10.0
_MANAGER = "orchestrator-cluster"
_OK = 200
_MULTIPLE_CHOICES = 300


class ApiServer:
    """The local node's API server, as its administrator."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def is_ready(self) -> bool:
        """Ask the server itself."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self._call("GET", "/readyz")[0] == _OK
        return False

    def get(self, path: str) -> dict[str, Any] | None:
        """Read one resource; nothing if it, or the server, is not there."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, body = self._call("GET", path)
            if status == _OK:
                loaded = json.loads(body)
                return loaded if isinstance(loaded, dict) else None
        return None

    def apply(self, path: str, manifest: Mapping[str, object]) -> None:
        """Bring one resource to what the manifest says, by server-side apply.

        Raises:
            ToolError: the server refused it.
        """
        status, body = self._call(
            "PATCH",
            f"{path}?fieldManager={_MANAGER}&force=true",
            json.dumps(manifest).encode(),
            {"Content-Type": "application/apply-patch+yaml"},
        )
        if not _OK <= status < _MULTIPLE_CHOICES:
            reason = body.decode(errors="replace")[:500]
            raise ToolError(
                f"the API server answered {status} to {path}: {reason}",
                advice="run `python3 hack/cluster logs apiserver`; if the disk was damaged, "
                "`python3 hack/cluster down --reset` makes an empty cluster",
            )

    def _call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        pki = self._layout.pki
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(str(pki / "admin.crt"), str(pki / "admin.key"))
        connection = http.client.HTTPSConnection(
            "127.0.0.1", API_PORT, timeout=_TIMEOUT_SECONDS, context=context
        )
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read()
