"""Keys and certificates of the local node, and the kubeconfigs that carry them.

One authority signs all. A file is written under another name and renamed when complete, so
that an interrupted run is repeated, not half believed.

Before: ``node`` on each ``up``.
After: ``configs`` names the files; ``kubeconfig`` is what users and tests get.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.layouts import API_PORT, API_SERVICE_ADDRESS, NODE_ADDRESS, NODE_NAME, Layout
from hack.tooling.running import probe, run

_DAYS = "3650"
_RENEW_SECONDS = str(30 * 24 * 3600)
_CLUSTER = "orchestrator-local"


@dataclass(frozen=True)
class Certificate:
    """Whom a certificate names, and what it may be used for."""

    name: str
    subject: str
    alternatives: str = ""
    authority: str = "ca"


_API_NAMES = (
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
    f"DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:{NODE_ADDRESS},"
    f"IP:{API_SERVICE_ADDRESS}"
)

CERTIFICATES = (
    Certificate("apiserver", "/CN=kube-apiserver", _API_NAMES),
    Certificate("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client"),
    Certificate("front-proxy", "/CN=front-proxy-client", authority="front-proxy-ca"),
    Certificate("admin", "/O=system:masters/CN=admin"),
    # With the Node authorizer a pod that mounts a claim can wait 15 s for its first sync (a race
    # in the authorizer's cache). RBAC alone decides here, so the kubelet needs a strong group.
    Certificate(
        "kubelet",
        f"/O=system:masters/CN=system:node:{NODE_NAME}",
        f"IP:{NODE_ADDRESS},DNS:{NODE_NAME}",
    ),
    Certificate("controllers", "/CN=system:kube-controller-manager"),
    Certificate("scheduler", "/CN=system:kube-scheduler"),
    Certificate("proxy", "/CN=system:kube-proxy"),
    Certificate("policies", "/O=system:masters/CN=kube-router"),
    Certificate("volumes", "/CN=orchestrator-volumes"),
)

CLIENTS = ("kubelet", "controllers", "scheduler", "proxy", "policies", "volumes")


def ensure_pki(layout: Layout) -> None:
    """Make what is missing, about to expire, or names other addresses than it should."""
    layout.pki.mkdir(parents=True, exist_ok=True, mode=0o700)
    for authority in ("ca", "front-proxy-ca"):
        _ensure_authority(layout.pki, authority)
    _ensure_account_key(layout.pki)
    for certificate in CERTIFICATES:
        _ensure_certificate(layout.pki, certificate)
    for client in CLIENTS:
        write_kubeconfig(layout, client, layout.pki / f"{client}.kubeconfig")
    write_kubeconfig(layout, "admin", layout.kubeconfig)


def write_kubeconfig(layout: Layout, client: str, path: Path) -> None:
    """Write the kubeconfig of one client; JSON is YAML too."""
    content = json.dumps(build_kubeconfig(layout, client), indent=1)
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(content, encoding="utf-8")
    partial.replace(path)


def build_kubeconfig(layout: Layout, client: str) -> dict[str, object]:
    """Describe how ``client`` reaches the API server; certificates are embedded."""
    cluster = {
        "server": f"https://127.0.0.1:{API_PORT}",
        "certificate-authority-data": _encode(layout.pki / "ca.crt"),
    }
    user = {
        "client-certificate-data": _encode(layout.pki / f"{client}.crt"),
        "client-key-data": _encode(layout.pki / f"{client}.key"),
    }
    context = {"cluster": _CLUSTER, "user": client}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": _CLUSTER, "cluster": cluster}],
        "users": [{"name": client, "user": user}],
        "contexts": [{"name": _CLUSTER, "context": context}],
        "current-context": _CLUSTER,
    }


def _encode(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _ensure_authority(folder: Path, name: str) -> None:
    if (folder / f"{name}.crt").exists():
        return
    command = ["openssl", "req", "-x509", *_new_key(folder, name), "-days", _DAYS]
    command += ["-subj", f"/CN=orchestrator-{name}", "-out", str(folder / f"{name}.partial")]
    run(command)
    (folder / f"{name}.partial").rename(folder / f"{name}.crt")


def _ensure_account_key(folder: Path) -> None:
    if (folder / "accounts.pub").exists():
        return
    key = str(folder / "accounts.key")
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key])
    public = folder / "accounts.partial"
    run(["openssl", "ec", "-in", key, "-pubout", "-out", public])
    public.rename(folder / "accounts.pub")


def _ensure_certificate(folder: Path, certificate: Certificate) -> None:
    name = certificate.name
    described = folder / f"{name}.txt"
    target = folder / f"{name}.crt"
    if _is_current(target, described, certificate):
        return
    target.unlink(missing_ok=True)
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(_extensions(certificate), encoding="utf-8")
    run(["openssl", "req", *_new_key(folder, name), "-subj", certificate.subject, "-out", request])
    authority = str(folder / certificate.authority)
    command = ["openssl", "x509", "-req", "-in", str(request), "-days", _DAYS]
    command += ["-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial"]
    command += ["-extfile", str(extensions), "-out", str(folder / f"{name}.partial")]
    run(command)
    described.write_text(repr(certificate), encoding="utf-8")
    (folder / f"{name}.partial").rename(target)


def _is_current(target: Path, described: Path, certificate: Certificate) -> bool:
    if not target.exists() or not described.exists():
        return False
    if described.read_text(encoding="utf-8") != repr(certificate):
        return False
    check = ["openssl", "x509", "-in", str(target), "-noout", "-checkend", _RENEW_SECONDS]
    return probe(check).is_success


def _extensions(certificate: Certificate) -> str:
    lines = ["keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth,clientAuth"]
    if certificate.alternatives:
        lines.append(f"subjectAltName={certificate.alternatives}")
    return "\n".join(lines)


def _new_key(folder: Path, name: str) -> list[str]:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    return [*curve, "-keyout", str(folder / f"{name}.key")]
