"""Configuration files of the node's processes, as pure functions of the layout.

They are written as JSON, which every YAML reader takes, so that nothing beyond the standard
library is needed.

Before: ``node`` writes them on each ``up``.
After: ``components`` names them on command lines; a changed file restarts its process.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from hack.cluster.layouts import (
    DNS_SERVICE_ADDRESS,
    KUBELET_HEALTH_PORT,
    NODE_ADDRESS,
    NODE_NAME,
    PODS_BRIDGE,
    PODS_RANGE,
    PROXY_HEALTH_PORT,
    PROXY_METRICS_PORT,
    Layout,
)

_CAP_SYS_RESOURCE = 24
_RESOLVED = Path("/run/systemd/resolve/resolv.conf")


def build_configs(layout: Layout, *, pause_image: str) -> Mapping[Path, str]:
    """Describe every configuration file: path to content."""
    configs = layout.configs
    return {
        configs / "containerd.toml": build_containerd(
            layout, pause_image=pause_image, is_restricted=not can_lower_oom_score()
        ),
        configs / "cni" / "10-pods.conflist": json.dumps(build_network(layout), indent=1),
        configs / "kubelet.json": json.dumps(build_kubelet(layout), indent=1),
        configs / "scheduler.json": json.dumps(build_scheduler(layout), indent=1),
        configs / "proxy.json": json.dumps(build_proxy(layout), indent=1),
    }


def write_configs(contents: Mapping[Path, str]) -> None:
    """Write the files that differ."""
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")


def build_containerd(layout: Layout, *, pause_image: str, is_restricted: bool) -> str:
    """Describe containerd.

    Network namespaces lie under its state folder, so that all mounts of this cluster can be
    told from those of others by their path.
    """
    return f"""version = 2
root = "{layout.containerd}"
state = "{layout.run / "containerd"}"
[grpc]
  address = "{layout.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{layout.root / "data" / "opt"}"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = {str(is_restricted).lower()}
  netns_mounts_under_state_dir = true
  sandbox_image = "{pause_image}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{layout.configs / "cni"}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


def build_network(layout: Layout) -> dict[str, object]:
    """Describe the pods' network; addresses are given out below /run, like the pods."""
    bridge = {
        "type": "bridge",
        "bridge": PODS_BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": PODS_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(layout.run / "addresses"),
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": layout.network, "plugins": [bridge, ports]}


def build_kubelet(layout: Layout) -> dict[str, object]:
    """Describe the kubelet; images are never collected, they cannot be pulled again here."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": "cluster.local",
        "containerLogMaxFiles": 3,
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "eventRecordQPS": 0,
        "evictionHard": {
            "imagefs.available": "2%",
            "memory.available": "100Mi",
            "nodefs.available": "2%",
        },
        "failCgroupV1": False,
        "failSwapOn": False,
        "healthzPort": KUBELET_HEALTH_PORT,
        "imageGCHighThresholdPercent": 100,
        "kubeAPIBurst": 400,
        "kubeAPIQPS": 200,
        "maxPods": 250,
        "podLogsDir": str(layout.pod_logs),
        "resolvConf": str(find_resolv_conf()),
        "serializeImagePulls": False,
        "tlsCertFile": str(layout.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(layout.pki / "kubelet.key"),
    }


def build_scheduler(layout: Layout) -> dict[str, object]:
    """Describe the scheduler: alone, so without an election."""
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": _connection(layout, "scheduler"),
        "leaderElection": {"leaderElect": False},
    }


def build_proxy(layout: Layout) -> dict[str, object]:
    """Describe kube-proxy; the kernel's connection limits are left as they are."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": _connection(layout, "proxy"),
        "clusterCIDR": PODS_RANGE,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpCloseWaitTimeout": "0s",
            "tcpEstablishedTimeout": "0s",
        },
        "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
        "hostnameOverride": NODE_NAME,
        "iptables": {"localhostNodePorts": True, "minSyncPeriod": "200ms"},
        "metricsBindAddress": f"127.0.0.1:{PROXY_METRICS_PORT}",
        "mode": "iptables",
    }


def can_lower_oom_score() -> bool:
    """Say whether this root may lower oom_score_adj (CAP_SYS_RESOURCE); some sandboxes' may not."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


def find_resolv_conf() -> Path:
    """Find resolvers that a pod can reach: 127.0.0.53 is only this host's."""
    return _RESOLVED if _RESOLVED.exists() else Path("/etc/resolv.conf")


def _connection(layout: Layout, client: str) -> dict[str, object]:
    return {"kubeconfig": str(layout.pki / f"{client}.kubeconfig"), "qps": 200, "burst": 400}
