"""The only door to the Kubernetes API: objects as JSON, each call with a deadline.

``Cluster`` is what the rest of the operator knows; ``KubernetesCluster`` is
the real one, over the official client's asynchronous half, and
``testing.fake_cluster.FakeCluster`` keeps the same promises in memory
(``testing.cluster_promises`` runs against both).

Before: ``app`` connects once per process.
After: ``observing``, ``reconciling`` and the autoscaler read and write through it.
"""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, Self
from urllib.parse import urlencode

import aiohttp
import kubernetes.aio.client
import kubernetes.aio.config

from orchestrator_core.errors import OrchestratorError
from orchestrator_operator.kinds import EVENT, Kind, Manifest, kind_of

# The package claims to be typed and is so in part only.
_client: Any = kubernetes.aio.client
_config: Any = kubernetes.aio.config

CALL_TIMEOUT_SECONDS = 10.0
"""The API server answers in milliseconds; 10 s covers its own timeouts towards etcd."""
LIST_PAGE_SIZE = 500
APPLY_CONTENT_TYPE = "application/apply-patch+yaml"
MERGE_CONTENT_TYPE = "application/merge-patch+json"


class ClusterError(OrchestratorError):
    """A call to the Kubernetes API did not do what it should."""

    code = "cluster"


class ClusterUnavailableError(ClusterError):
    """The API server did not answer, or said that it can't now; trying again may help."""

    code = "cluster_unavailable"


class AlreadyExistsError(ClusterError):
    """An object of this kind and name is there already."""

    code = "already_exists"


class KindUnknownError(ClusterError):
    """The cluster has no such kind: its definition is not installed."""

    code = "kind_unknown"


class ChangedMeanwhileError(ClusterError):
    """The object is not the one, or not the version, that the caller decided about."""

    code = "changed_meanwhile"


class ObjectRefusedError(ClusterError):
    """The API server said no to this one: invalid, immutable, forbidden, over quota."""

    code = "object_refused"

    def __init__(
        self, attempted: str, *, status: int, message: str, causes: tuple[str, ...]
    ) -> None:
        super().__init__(f"{attempted}: {message}")
        self.status = status
        self.message = message
        self.causes = causes
        """One sentence per refused field, as ``field: message``; may be empty."""


class Cluster(Protocol):
    """What the operator asks of Kubernetes. Manifests are plain JSON objects.

    Every method raises ``ClusterUnavailableError`` when the API server does not answer in
    time, and ``ObjectRefusedError`` when it refuses.
    """

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return the object, or None when there is none."""
        ...

    async def list(
        self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> tuple[Manifest, ...]:
        """Return all objects that carry ``labels``; of every namespace when that is None.

        Raises:
            KindUnknownError: there can be none.
        """
        ...

    async def create(self, manifest: Manifest, *, field_manager: str) -> Manifest:
        """Create the object; ``AlreadyExistsError`` when the name is taken."""
        ...

    async def apply(
        self, manifest: Manifest, *, field_manager: str, subresource: str = ""
    ) -> Manifest:
        """Apply on the server's side, taking fields over from other managers; return the result.

        A field that this manager applied before and leaves out now is given up. Applying what
        is there already changes nothing, not even ``resourceVersion``.
        """
        ...

    async def merge(self, manifest: Manifest, *, field_manager: str) -> Manifest | None:
        """Merge-patch an existing object; None when there is none. Never creates."""
        ...

    async def delete(self, manifest: Manifest, *, propagation: str = "Background") -> bool:
        """Delete exactly this object (by its uid); False when it is gone already.

        Args:
            manifest: as observed, with ``metadata.uid``.
            propagation: ``Background``, or ``Orphan`` to let its dependents live.
        """
        ...

    async def emit_event(
        self, regarding: Manifest, *, type_: str, reason: str, message: str
    ) -> None:
        """Record an Event about an object. ``type_`` is ``Normal`` or ``Warning``."""
        ...


class KubernetesCluster:
    """The real ``Cluster``, one pool of connections for the whole process."""

    def __init__(self, api: kubernetes.aio.client.ApiClient, *, component: str) -> None:
        self._api: Any = api
        self._component = component
        """Stands in Events as the one who reports."""

    @classmethod
    async def connect(cls, *, component: str) -> Self:
        """Use the pod's service account, or outside a cluster the current kubeconfig."""
        configuration = _client.Configuration()
        # Python 3.13 refuses authorities without key usage or key identifier, which many
        # clusters have; the certificate itself is verified all the same.
        configuration.disable_strict_ssl_verification = True
        try:
            _config.load_incluster_config(client_configuration=configuration)
        except _config.ConfigException:
            await _config.load_kube_config(client_configuration=configuration)
        return cls(_client.ApiClient(configuration), component=component)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._api.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """Return the object, or None when there is none."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except _NotFoundError:
            return None

    async def list(
        self, kind: Kind, namespace: str | None, labels: Mapping[str, str] | None = None
    ) -> tuple[Manifest, ...]:
        """Return all objects that carry ``labels``, page by page."""
        selector = ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))
        query = {"labelSelector": selector, "limit": str(LIST_PAGE_SIZE)}
        found: list[Manifest] = []
        while True:
            try:
                page = await self._call("GET", kind.path(namespace), query=query)
            except _NotFoundError as error:
                raise KindUnknownError(str(error)) from error
            # A list carries these two once, not on each item.
            found += [
                {"apiVersion": kind.api_version, "kind": kind.kind, **item}
                for item in page.get("items") or ()
            ]
            query["continue"] = page.get("metadata", {}).get("continue", "")
            if not query["continue"]:
                return tuple(found)

    async def create(self, manifest: Manifest, *, field_manager: str) -> Manifest:
        """Create the object; ``AlreadyExistsError`` when the name is taken."""
        path = kind_of(manifest).path(manifest["metadata"]["namespace"])
        return await self._call("POST", path, query={"fieldManager": field_manager}, body=manifest)

    async def apply(
        self, manifest: Manifest, *, field_manager: str, subresource: str = ""
    ) -> Manifest:
        """Apply on the server's side, by force: what this manager states, it owns."""
        return await self._call(
            "PATCH",
            _object_path(manifest, subresource),
            query={"fieldManager": field_manager, "force": "true"},
            body=manifest,
            content_type=APPLY_CONTENT_TYPE,
        )

    async def merge(self, manifest: Manifest, *, field_manager: str) -> Manifest | None:
        """Merge-patch an existing object; None when there is none."""
        try:
            return await self._call(
                "PATCH",
                _object_path(manifest),
                query={"fieldManager": field_manager},
                body=manifest,
                content_type=MERGE_CONTENT_TYPE,
            )
        except _NotFoundError:
            return None

    async def delete(self, manifest: Manifest, *, propagation: str = "Background") -> bool:
        """Delete exactly this object (by its uid); False when it is gone already."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": manifest["metadata"]["uid"]},
        }
        try:
            await self._call("DELETE", _object_path(manifest), body=body)
        except (_NotFoundError, ChangedMeanwhileError):
            return False
        return True

    async def emit_event(
        self, regarding: Manifest, *, type_: str, reason: str, message: str
    ) -> None:
        """Record an Event about an object."""
        event = build_event(
            regarding, type_=type_, reason=reason, message=message, component=self._component
        )
        await self.create(event, field_manager=self._component)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        attempted = f"{method} {path}"
        address = path + ("?" + urlencode(query) if query else "")
        try:
            verb, url, headers, _, _ = await self._api.param_serialize(
                method,
                address,
                header_params={"Content-Type": content_type, "Accept": "application/json"},
                auth_settings=["BearerToken"],
            )
            response = await self._api.rest_client.request(
                verb, url, headers=headers, body=body, _request_timeout=CALL_TIMEOUT_SECONDS
            )
            text = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterUnavailableError(
                f"{attempted}: no answer: {error or type(error).__name__}"
            ) from error
        answer = _parsed(text)
        if response.status >= _FIRST_ERROR_STATUS:
            raise _error_of(attempted, response.status, answer)
        return answer


def build_event(
    regarding: Manifest, *, type_: str, reason: str, message: str, component: str
) -> Manifest:
    """Return an Event about ``regarding``, in its namespace, with a name of its own."""
    metadata = regarding["metadata"]
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            "name": f"{metadata['name']}.{secrets.token_hex(8)}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": regarding["apiVersion"],
            "kind": regarding["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": type_,
        "reason": reason,
        # The API server refuses longer ones.
        "message": message[:1024],
        "source": {"component": component},
        "reportingComponent": component,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


class _NotFoundError(ClusterError):
    """404: callers turn it into None."""


_FIRST_ERROR_STATUS = 400
_STATUS_CONFLICT = 409
_STATUS_NOT_FOUND = 404
_STATUS_TOO_MANY = 429
_STATUS_UNAUTHORIZED = 401
"""A rotated token: the next call reads the new one."""
_FIRST_SERVER_ERROR_STATUS = 500
_WORDS_OF_REFUSALS = ("failed to create typed patch object", "failed calling webhook")
"""A field that no schema has, and a webhook that does not answer, are told with 500: they concern
this object alone, and the others shall not wait for it."""


def _object_path(manifest: Manifest, subresource: str = "") -> str:
    metadata = manifest["metadata"]
    return kind_of(manifest).path(metadata["namespace"], metadata["name"], subresource)


def _parsed(text: bytes) -> Manifest:
    try:
        answer: Any = json.loads(text)
    except ValueError:
        # Proxies in between answer in HTML or plain text.
        return {"message": text[:200].decode(errors="replace")}
    return answer if isinstance(answer, dict) else {"message": str(answer)[:200]}


def _error_of(attempted: str, status: int, answer: Manifest) -> ClusterError:
    message = answer.get("message") or f"HTTP {status}"
    if status == _STATUS_NOT_FOUND:
        return _NotFoundError(f"{attempted}: {message}")
    if status == _STATUS_CONFLICT:
        if answer.get("reason") == "AlreadyExists":
            return AlreadyExistsError(f"{attempted}: {message}")
        return ChangedMeanwhileError(f"{attempted}: {message}")
    is_unavailable = status in {_STATUS_TOO_MANY, _STATUS_UNAUTHORIZED} or (
        status >= _FIRST_SERVER_ERROR_STATUS
        and not any(words in message for words in _WORDS_OF_REFUSALS)
    )
    if is_unavailable:
        return ClusterUnavailableError(f"{attempted}: {message}")
    causes = (answer.get("details") or {}).get("causes") or ()
    return ObjectRefusedError(
        attempted,
        status=status,
        message=message,
        causes=tuple(f"{cause.get('field', '')}: {cause.get('message', '')}" for cause in causes),
    )
