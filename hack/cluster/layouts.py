"""Where the cluster lives on this machine: folders, addresses, ports.

Everything lies outside the checkout so that several clones share one cluster and one set of
built programs; what a reboot may clear lies under ``/run``.

Before: ``ORCHESTRATOR_CLUSTER_DIR``, read once by ``cli``.
After: every module that touches a file or opens a port takes a ``Layout``.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

DIRECTORY_VARIABLE = "ORCHESTRATOR_CLUSTER_DIR"
DEFAULT_DIRECTORY = Path("/var/lib/orchestrator-cluster")

SOURCES = Path(__file__).resolve().parent / "sources"
"""Go modules, one folder a program, pinned by their go.sum."""

NODE_NAME = "orchestrator"
NODE_BRIDGE = "orchnode0"
PODS_BRIDGE = "orchpods0"

# 198.18.0.0/15 is kept for tests of devices (RFC 2544): no office network or VPN has it.
NODE_ADDRESS = "198.18.0.1"
API_SERVICE_ADDRESS = "198.18.64.1"
API_SERVICE_PORT = 443
DNS_SERVICE_ADDRESS = "198.18.64.10"
SERVICES_RANGE = "198.18.64.0/20"
PODS_RANGE = "198.18.128.0/17"

API_PORT = 6443
KUBELET_PORT = 10250

# Not 2379 and 2380: there Debian's own etcd listens once the package is installed.
ETCD_PORT = 23790
ETCD_PEER_PORT = 23800

SCHEDULER_PORT = 10259
CONTROLLERS_PORT = 10257
KUBELET_HEALTH_PORT = 10248
PROXY_HEALTH_PORT = 10256
PROXY_METRICS_PORT = 10249
VOLUMES_HEALTH_PORT = 10260
POLICIES_HEALTH_PORT = 20244

PORTS = {
    API_PORT: "the API server",
    KUBELET_PORT: "the kubelet",
    KUBELET_HEALTH_PORT: "the kubelet's health",
    ETCD_PORT: "etcd",
    ETCD_PEER_PORT: "etcd's peers",
    SCHEDULER_PORT: "the scheduler",
    CONTROLLERS_PORT: "the controller-manager",
    PROXY_HEALTH_PORT: "kube-proxy's health",
    PROXY_METRICS_PORT: "kube-proxy's metrics",
    VOLUMES_HEALTH_PORT: "the volumes' health",
    POLICIES_HEALTH_PORT: "kube-router's health",
}


KIND_NODE_PORTS = range(30080, 30090)
"""Services of type NodePort that ask for one of these answer on 127.0.0.1 with kind and with the
local node; the local node offers the whole range 30000-32767."""


@dataclass(frozen=True)
class Layout:
    """The folders under one state directory."""

    root: Path

    @property
    def store(self) -> Path:
        """Built programs, keyed by the content they were built from."""
        return self.root / "store"

    @property
    def logs(self) -> Path:
        """One log per step of this tool, and how long steps took."""
        return self.root / "logs" / "steps"

    @property
    def component_logs(self) -> Path:
        """One log per process of the node."""
        return self.root / "logs" / "components"

    @property
    def processes(self) -> Path:
        """One record per process that was started; see ``processes``."""
        return self.root / "processes"

    @property
    def pki(self) -> Path:
        """Keys and certificates of the local node."""
        return self.root / "pki"

    @property
    def configs(self) -> Path:
        """Configuration files, written anew by each ``up``."""
        return self.root / "configs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's way in, for the local node and for kind alike."""
        return self.root / "kubeconfig"

    @property
    def etcd(self) -> Path:
        """The cluster's resources."""
        return self.root / "data" / "etcd"

    @property
    def containerd(self) -> Path:
        """Images and containers."""
        return self.root / "data" / "containerd"

    @property
    def kubelet(self) -> Path:
        """Volumes mounted into pods."""
        return self.root / "data" / "kubelet"

    @property
    def pod_logs(self) -> Path:
        """What pods print."""
        return self.root / "data" / "pod-logs"

    @property
    def volumes(self) -> Path:
        """The folders behind persistent volumes."""
        return self.root / "data" / "volumes"

    @property
    def data(self) -> Path:
        """All that makes this cluster this cluster."""
        return self.root / "data"

    @property
    def run(self) -> Path:
        """Sockets and mounts, gone after a reboot; short, for a socket's path has 107 bytes."""
        return Path("/run") / self.cgroup

    @property
    def cgroup(self) -> str:
        """Every process of a pod is below this cgroup."""
        return f"orchestrator-cluster{self._suffix}"

    @property
    def network(self) -> str:
        """Name of the pods' network, in rules and in what the CNI plugins keep."""
        return f"orchestrator-pods{self._suffix}"

    @property
    def _suffix(self) -> str:
        # What one state directory started must never be taken for another's.
        if self.root == DEFAULT_DIRECTORY:
            return ""
        return f"-{hashlib.sha256(str(self.root).encode()).hexdigest()[:8]}"

    @property
    def containerd_socket(self) -> Path:
        """Where the kubelet and ``ctr`` reach containerd."""
        return self.run / "containerd.sock"
