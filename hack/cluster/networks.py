"""What the local node adds to this machine's network, and takes away again.

A bridge carries the node's address (the kernels of small sandboxes have no dummy links), kube-
proxy, kube-router and the CNI plugins write iptables rules. ``down`` removes exactly these: a
chain is recognised by its name or by the name of our pods' network in its comment, and the
bridge carries the name of the state directory that it belongs to.

Before: ``nodes``.
After: the kernel.
"""

import re
from pathlib import Path

from hack.cluster.layouts import (
    NODE_ADDRESS,
    NODE_BRIDGE,
    PODS_BRIDGE,
    SERVICES_RANGE,
    Layout,
)
from hack.tooling.errors import ToolError
from hack.tooling.running import probe
from hack.tooling.steps import Step

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_CNI_CACHE = Path("/var/lib/cni/results")

_CHAIN = re.compile(r"(?:^:|-A |-j |-g )(KUBE-[\w-]+)")
_SET = re.compile(r"^(?:inet6:)?(?:KUBE-(?:SRC|DST)-|kube-router-)")


def ensure_network(layout: Layout, step: Step) -> None:
    """Give the machine the node's address and let packets pass."""
    # Built into some kernels; what counts is checked below.
    probe(["modprobe", "-a", "overlay", "br_netfilter"], log=step.log)
    if not _has_link(NODE_BRIDGE):
        step.run(["ip", "link", "add", NODE_BRIDGE, "type", "bridge"])
    step.run(["ip", "link", "set", NODE_BRIDGE, "alias", str(layout.root)])
    step.run(["ip", "address", "replace", f"{NODE_ADDRESS}/32", "dev", NODE_BRIDGE])
    step.run(["ip", "link", "set", NODE_BRIDGE, "up"])
    # Without a default route, as on a laptop that is offline, an address of a Service could not
    # even be tried, and kube-proxy's rules would never see it.
    step.run(["ip", "route", "replace", SERVICES_RANGE, "dev", NODE_BRIDGE, "src", NODE_ADDRESS])
    _write(_FORWARDING, "1")
    if _BRIDGE_FILTER.exists():
        _write(_BRIDGE_FILTER, "1")
    else:
        step.write("br_netfilter is missing: network policies between pods are not enforced")


def remove_network(layout: Layout, step: Step) -> None:
    """Remove bridges, rules and sets, unless another state directory's cluster made them."""
    if _has_link(NODE_BRIDGE) and _read_alias(NODE_BRIDGE) not in ("", str(layout.root)):
        step.write(f"{NODE_BRIDGE} belongs to {_read_alias(NODE_BRIDGE)}: the network stays")
        return
    for family in ("iptables", "ip6tables"):
        saved = probe([f"{family}-save"])
        if saved.is_success:
            remaining = remove_own_rules(saved.output, network=layout.network)
            if remaining != saved.output:
                step.run([f"{family}-restore"], input_text=remaining)
    listed = probe(["ipset", "list", "-name"])
    for name in filter(_SET.match, listed.output.split()):
        probe(["ipset", "destroy", name], log=step.log)
    for link in (PODS_BRIDGE, NODE_BRIDGE):
        if _has_link(link):
            step.run(["ip", "link", "delete", link])


def forget_addresses(layout: Layout) -> None:
    """Forget the results that the CNI library keeps of pods that are no more."""
    own = re.compile(rf"{re.escape(layout.network)}-([0-9a-f]{{64}})-eth0")
    for cached in _CNI_CACHE.glob("*-eth0"):
        if found := own.fullmatch(cached.name):
            (_CNI_CACHE / f"cni-loopback-{found[1]}-lo").unlink(missing_ok=True)
            cached.unlink(missing_ok=True)


def remove_own_rules(saved: str, *, network: str) -> str:
    """Drop this cluster's chains and rules from the output of ``iptables-save``."""
    chains = set(re.findall(rf'name: \\?"{re.escape(network)}\\?".* -j (CNI-[\w-]+)', saved))
    return "".join(line for line in saved.splitlines(keepends=True) if not _is_own(line, chains))


def _is_own(line: str, chains: set[str]) -> bool:
    return bool(_CHAIN.search(line)) or any(chain in line for chain in chains)


def _has_link(name: str) -> bool:
    return Path(f"/sys/class/net/{name}").exists()


def _read_alias(link: str) -> str:
    return Path(f"/sys/class/net/{link}/ifalias").read_text(encoding="utf-8").strip()


def _write(path: Path, value: str) -> None:
    if path.read_text(encoding="ascii").strip() == value:
        return
    try:
        path.write_text(value, encoding="ascii")
    except OSError as error:
        raise ToolError(
            f"cannot write {value} to {path}: {error.strerror}",
            advice="a local node needs a machine whose kernel settings root may change; "
            "in a container, run it with --privileged, or set KUBECONFIG to another cluster",
        ) from error
