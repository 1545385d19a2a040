"""What every new cluster holds before its users come: DNS and a default storage class.

DNS runs as pods behind the Service `kube-dns` in `kube-system`, as everywhere: a network policy
that lets pods ask for names selects exactly those pods, here as on a cloud.

Before: ``node`` once the API server answers.
After: ``ApiServer.apply``.
"""

import hashlib
from dataclasses import dataclass

from hack.cluster.layouts import DNS_SERVICE_ADDRESS

PROVISIONER = "taskorchestrator.dev/local-volumes"
"""As in sources/kubernetes/volumes.go."""

_NAMESPACE = "kube-system"
_DNS_LABELS = {"k8s-app": "kube-dns"}
_DNS_USER = 10053

_COREFILE = """.:53 {
  errors
  health :8080
  ready :8181
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
    ttl 5
  }
  forward . /etc/resolv.conf {
    max_concurrent 1000
  }
  cache 5 {
    disable success cluster.local
    disable denial cluster.local
  }
}
"""

_COREFILE_KEY = "taskorchestrator.dev/corefile"
_HASH = hashlib.sha256(_COREFILE.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Resource:
    """One resource and where the API server keeps it."""

    path: str
    manifest: dict[str, object]


def build_resources(*, dns_image: str) -> tuple[Resource, ...]:
    """Describe all of them, in the order to apply them."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    system = f"/api/v1/namespaces/{_NAMESPACE}"
    return (
        Resource("/apis/storage.k8s.io/v1/storageclasses/standard", _build_storage_class()),
        Resource(f"{rbac}/clusterrolebindings/orchestrator-volumes", _build_volumes_binding()),
        Resource(f"{system}/serviceaccounts/coredns", _build_dns_account()),
        Resource(f"{rbac}/clusterroles/system:coredns", _build_dns_role()),
        Resource(f"{rbac}/clusterrolebindings/system:coredns", _build_dns_binding()),
        Resource(f"{system}/configmaps/coredns", _build_dns_config()),
        Resource(
            f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments/coredns",
            _build_dns_deployment(dns_image),
        ),
        Resource(f"{system}/services/kube-dns", _build_dns_service()),
    )


def _build_storage_class() -> dict[str, object]:
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": default},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _build_volumes_binding() -> dict[str, object]:
    return _build_binding(
        "orchestrator-volumes",
        role="system:persistent-volume-provisioner",
        subject={
            "kind": "User",
            "name": "orchestrator-volumes",
            "apiGroup": "rbac.authorization.k8s.io",
        },
    )


def _build_dns_account() -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("coredns")}


def _build_dns_role() -> dict[str, object]:
    watch = ["list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": watch},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
        ],
    }


def _build_dns_binding() -> dict[str, object]:
    subject = {"kind": "ServiceAccount", "name": "coredns", "namespace": _NAMESPACE}
    return _build_binding("system:coredns", role="system:coredns", subject=subject)


def _build_binding(name: str, *, role: str, subject: dict[str, str]) -> dict[str, object]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }


def _build_dns_config() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta("coredns"),
        "data": {"Corefile": _COREFILE},
    }


def _build_dns_service() -> dict[str, object]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": "dns"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": "dns-tcp"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**_meta("kube-dns"), "labels": _DNS_LABELS},
        "spec": {"clusterIP": DNS_SERVICE_ADDRESS, "selector": _DNS_LABELS, "ports": ports},
    }


def _build_dns_deployment(image: str) -> dict[str, object]:
    pod = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        # The node's own resolvers, which the Corefile forwards to.
        "dnsPolicy": "Default",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _DNS_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
            # Port 53 itself, not one behind it: policies that allow DNS name the pods' port 53.
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "containers": [_build_dns_container(image)],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**_meta("coredns"), "labels": _DNS_LABELS},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": _DNS_LABELS},
            "template": {
                # A changed Corefile makes new pods; CoreDNS does not read it again.
                "metadata": {"labels": _DNS_LABELS, "annotations": {_COREFILE_KEY: _HASH}},
                "spec": pod,
            },
        },
    }


def _build_dns_container(image: str) -> dict[str, object]:
    return {
        "name": "coredns",
        "image": image,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
        ],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
        "livenessProbe": {
            "httpGet": {"path": "/health", "port": 8080},
            "periodSeconds": 10,
            "failureThreshold": 5,
        },
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }


def _meta(name: str) -> dict[str, object]:
    return {"name": name, "namespace": _NAMESPACE}
