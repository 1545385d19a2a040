"""What a crash leaves behind is told from what belongs to others."""

from pathlib import Path

from hack.cluster import networks, sweeping
from hack.cluster.layouts import DEFAULT_DIRECTORY, Layout

RUN = Path("/run/orchestrator-cluster")
MOUNTS = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:9 / /run/orchestrator-cluster/containerd/ns/cni-1 rw - nsfs nsfs rw
31 22 0:9 / /run/orchestrator-cluster-2/containerd/ns/cni-1 rw - nsfs nsfs rw
32 22 0:40 / /run/orchestrator-cluster/rootfs\\040with\\040spaces rw - overlay overlay rw
33 32 0:41 / /run/orchestrator-cluster/rootfs\\040with\\040spaces/dev rw - tmpfs tmpfs rw
34 22 0:42 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
"""

SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:CNI-0123456789abcdef - [0:0]
:CNI-fedcba9876543210 - [0:0]
:DOCKER - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 198.18.128.2 --comment "name: \\"orchestrator-pods\\"" -j CNI-0123456789abcdef
-A POSTROUTING -s 10.88.0.2/32 -m comment --comment "name: \\"podman\\" id: \\"b2\\"" \
-j CNI-fedcba9876543210
-A CNI-0123456789abcdef -d 198.18.128.0/17 -j ACCEPT
-A CNI-fedcba9876543210 -d 10.88.0.0/16 -j ACCEPT
-A KUBE-SERVICES -d 198.18.64.1/32 -p tcp -m comment --comment "default/kubernetes:https" -j ACCEPT
COMMIT
"""

REMAINING = """\
*nat
:PREROUTING ACCEPT [0:0]
:CNI-fedcba9876543210 - [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 10.88.0.2/32 -m comment --comment "name: \\"podman\\" id: \\"b2\\"" \
-j CNI-fedcba9876543210
-A CNI-fedcba9876543210 -d 10.88.0.0/16 -j ACCEPT
COMMIT
"""


def test_only_mounts_below_our_folders_are_listed_innermost_first() -> None:
    mounts = sweeping.list_mounts(MOUNTS, (RUN,))

    assert mounts == [
        RUN / "rootfs with spaces/dev",
        RUN / "rootfs with spaces",
        RUN / "containerd/ns/cni-1",
    ]


def test_rules_of_docker_and_of_other_cni_networks_stay() -> None:
    assert networks.remove_own_rules(SAVED, network="orchestrator-pods") == REMAINING


def test_rules_without_ours_are_left_to_the_letter() -> None:
    assert networks.remove_own_rules(REMAINING, network="orchestrator-pods") == REMAINING


def test_two_state_folders_share_neither_socket_nor_cgroup_nor_network() -> None:
    default, other = Layout(DEFAULT_DIRECTORY), Layout(Path("/srv/cluster"))

    assert default.containerd_socket != other.containerd_socket
    assert default.cgroup != other.cgroup
    assert default.network != other.network
    assert not other.run.is_relative_to(default.run)


def test_a_socket_path_fits_the_kernel_whatever_the_state_folder() -> None:
    deep = Layout(Path("/home/somebody") / ("x" * 200))

    assert len(str(deep.containerd_socket)) < 107 - len(".ttrpc")
