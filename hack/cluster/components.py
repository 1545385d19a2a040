"""The processes of the local node: what each one runs, reads, and answers when it is healthy.

Before: ``nodes`` asks for all of them, in the order in which they start.
After: ``processes`` starts them; ``status`` and ``logs`` list them by these names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import probes
from hack.cluster.apiservers import ApiServer
from hack.cluster.layouts import (
    API_PORT,
    API_SERVICE_ADDRESS,
    API_SERVICE_PORT,
    CONTROLLERS_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    KUBELET_HEALTH_PORT,
    NODE_ADDRESS,
    NODE_NAME,
    POLICIES_HEALTH_PORT,
    PROXY_HEALTH_PORT,
    SCHEDULER_PORT,
    SERVICES_RANGE,
    VOLUMES_HEALTH_PORT,
    Layout,
)
from hack.tooling.packages import Program

_ETCD = f"http://127.0.0.1:{ETCD_PORT}"
_ETCD_PEER = f"http://127.0.0.1:{ETCD_PEER_PORT}"
_ISSUER = "https://kubernetes.default.svc.cluster.local"

NODE_PROGRAMS = (
    Program("containerd", "containerd"),
    Program("ctr", "containerd"),
    Program("runc", "runc"),
    Program("/usr/lib/cni/bridge", "containernetworking-plugins"),
    Program("etcd", "etcd-server"),
    Program("conntrack", "conntrack"),
    Program("iptables", "iptables"),
    Program("ipset", "ipset"),
    Program("ip", "iproute2"),
    Program("modprobe", "kmod"),
    Program("mount", "mount"),
    Program("openssl", "openssl"),
)
"""What the components below run, and what the tool itself runs to prepare them."""


@dataclass(frozen=True)
class Component:
    """One process of the node."""

    name: str
    command: tuple[str, ...]
    is_healthy: Callable[[], bool]
    files: tuple[Path, ...] = ()
    """What it reads only at its start: when one changes, it is started anew."""


@dataclass(frozen=True)
class Programs:
    """Where the programs are."""

    kubernetes: Path
    kube_router: Path


def build_components(layout: Layout, programs: Programs) -> tuple[Component, ...]:
    """Describe the processes in the order to start them; they end in the reverse order."""
    return (
        _build_etcd(layout),
        _build_containerd(layout),
        _build_apiserver(layout, programs),
        _build_controllers(layout, programs),
        _build_scheduler(layout, programs),
        _build_kubelet(layout, programs),
        _build_proxy(layout, programs),
        _build_policies(layout, programs),
        _build_volumes(layout, programs),
    )


NAMES = (
    "etcd",
    "containerd",
    "apiserver",
    "controllers",
    "scheduler",
    "kubelet",
    "proxy",
    "policies",
    "volumes",
)


def _build_etcd(layout: Layout) -> Component:
    flags = {
        "advertise-client-urls": _ETCD,
        "auto-compaction-retention": "1h",
        "data-dir": layout.etcd,
        "initial-advertise-peer-urls": _ETCD_PEER,
        "initial-cluster": f"default={_ETCD_PEER}",
        "listen-client-urls": _ETCD,
        "listen-peer-urls": _ETCD_PEER,
        "log-level": "warn",
        "logger": "zap",
    }
    command = ("etcd", *_write_flags(flags))
    return Component("etcd", command, lambda: probes.is_http_healthy(ETCD_PORT, "/health"))


def _build_containerd(layout: Layout) -> Component:
    config = layout.configs / "containerd.toml"
    return Component(
        "containerd",
        ("containerd", f"--config={config}"),
        lambda: probes.is_socket_open(layout.containerd_socket),
        (config,),
    )


def _build_apiserver(layout: Layout, programs: Programs) -> Component:
    pki = layout.pki
    flags = {
        "advertise-address": NODE_ADDRESS,
        "allow-privileged": "true",
        "authorization-mode": "RBAC",
        "client-ca-file": pki / "ca.crt",
        "etcd-servers": _ETCD,
        "kubelet-certificate-authority": pki / "ca.crt",
        "kubelet-client-certificate": pki / "apiserver-kubelet.crt",
        "kubelet-client-key": pki / "apiserver-kubelet.key",
        "kubelet-preferred-address-types": "InternalIP",
        "proxy-client-cert-file": pki / "front-proxy.crt",
        "proxy-client-key-file": pki / "front-proxy.key",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-client-ca-file": pki / "front-proxy-ca.crt",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "secure-port": API_PORT,
        "service-account-issuer": _ISSUER,
        "service-account-key-file": pki / "accounts.pub",
        "service-account-signing-key-file": pki / "accounts.key",
        "service-cluster-ip-range": SERVICES_RANGE,
        "tls-cert-file": pki / "apiserver.crt",
        "tls-private-key-file": pki / "apiserver.key",
    }
    command = _command(programs, "kube-apiserver", flags)
    files = tuple(value for value in flags.values() if isinstance(value, Path))
    return Component("apiserver", command, ApiServer(layout).is_ready, files)


def _build_controllers(layout: Layout, programs: Programs) -> Component:
    pki = layout.pki
    flags = {
        "bind-address": "127.0.0.1",
        "cluster-signing-cert-file": pki / "ca.crt",
        "cluster-signing-key-file": pki / "ca.key",
        "kube-api-burst": 400,
        "kube-api-qps": 200,
        "kubeconfig": pki / "controllers.kubeconfig",
        "leader-elect": "false",
        "root-ca-file": pki / "ca.crt",
        "secure-port": CONTROLLERS_PORT,
        "service-account-private-key-file": pki / "accounts.key",
        "use-service-account-credentials": "true",
    }
    return Component(
        "controllers",
        _command(programs, "kube-controller-manager", flags),
        lambda: probes.is_http_healthy(CONTROLLERS_PORT, is_tls=True),
        (pki / "controllers.kubeconfig", pki / "ca.crt"),
    )


def _build_scheduler(layout: Layout, programs: Programs) -> Component:
    config = layout.configs / "scheduler.json"
    flags = {"bind-address": "127.0.0.1", "config": config, "secure-port": SCHEDULER_PORT}
    return Component(
        "scheduler",
        _command(programs, "kube-scheduler", flags),
        lambda: probes.is_http_healthy(SCHEDULER_PORT, is_tls=True),
        (config, layout.pki / "scheduler.kubeconfig"),
    )


def _build_kubelet(layout: Layout, programs: Programs) -> Component:
    config = layout.configs / "kubelet.json"
    kubeconfig = layout.pki / "kubelet.kubeconfig"
    flags = {
        "config": config,
        "hostname-override": NODE_NAME,
        "kubeconfig": kubeconfig,
        "node-ip": NODE_ADDRESS,
        "root-dir": layout.kubelet,
    }
    return Component(
        "kubelet",
        _command(programs, "kubelet", flags),
        lambda: probes.is_http_healthy(KUBELET_HEALTH_PORT),
        (config, kubeconfig, layout.pki / "kubelet.crt"),
    )


def _build_proxy(layout: Layout, programs: Programs) -> Component:
    config = layout.configs / "proxy.json"
    return Component(
        "proxy",
        _command(programs, "kube-proxy", {"config": config}),
        # It calls itself healthy before its first rules stand.
        lambda: (
            probes.is_http_healthy(PROXY_HEALTH_PORT)
            and probes.is_port_open(API_SERVICE_ADDRESS, API_SERVICE_PORT)
        ),
        (config, layout.pki / "proxy.kubeconfig"),
    )


def _build_policies(layout: Layout, programs: Programs) -> Component:
    kubeconfig = layout.pki / "policies.kubeconfig"
    flags = {
        "health-port": POLICIES_HEALTH_PORT,
        "hostname-override": NODE_NAME,
        "kubeconfig": kubeconfig,
        "run-firewall": "true",
        "run-loadbalancer": "false",
        "run-router": "false",
        "run-service-proxy": "false",
        "service-cluster-ip-range": SERVICES_RANGE,
    }
    return Component(
        "policies",
        (str(programs.kube_router), *_write_flags(flags)),
        lambda: probes.is_http_healthy(POLICIES_HEALTH_PORT),
        (kubeconfig,),
    )


def _build_volumes(layout: Layout, programs: Programs) -> Component:
    kubeconfig = layout.pki / "volumes.kubeconfig"
    flags = {
        "folder": layout.volumes,
        "health-address": f"127.0.0.1:{VOLUMES_HEALTH_PORT}",
        "kubeconfig": kubeconfig,
        "node": NODE_NAME,
    }
    return Component(
        "volumes",
        _command(programs, "volumes", flags),
        lambda: probes.is_http_healthy(VOLUMES_HEALTH_PORT),
        (kubeconfig,),
    )


def _command(programs: Programs, name: str, flags: dict[str, object]) -> tuple[str, ...]:
    return (str(programs.kubernetes), name, *_write_flags(flags))


def _write_flags(flags: dict[str, object]) -> tuple[str, ...]:
    return tuple(f"--{name}={value}" for name, value in flags.items())
