"""What etcd remembers from before a crash is not taken for the present."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from hack.cluster import manifests, probes, tools
from hack.cluster.observing import is_ready_since

NAME = "kubernetes.default.svc.cluster.local"


def a_node(status: str = "True", heartbeat: str = "2026-01-02T03:04:05Z") -> dict[str, object]:
    ready = {"type": "Ready", "status": status, "lastHeartbeatTime": heartbeat}
    return {"status": {"conditions": [{"type": "DiskPressure", "status": "True"}, ready]}}


def a_time(second: int, fraction: float = 0.0) -> float:
    return datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC).timestamp() + fraction


def test_a_report_since_the_kubelet_started_counts() -> None:
    assert is_ready_since(a_node(), a_time(4))


def test_a_report_in_the_very_second_of_the_start_counts() -> None:
    assert is_ready_since(a_node(), a_time(5, 0.9))


def test_a_report_from_before_the_crash_does_not_count() -> None:
    assert not is_ready_since(a_node(), a_time(6))


def test_a_node_that_is_not_ready_does_not_count() -> None:
    assert not is_ready_since(a_node(status="False"), a_time(4))


def test_a_node_without_a_report_does_not_count() -> None:
    assert not is_ready_since({}, a_time(4))


def an_answer(owner: bytes, kind: int = 1, address: bytes = bytes([198, 18, 64, 1])) -> bytes:
    query = probes.build_query(NAME)
    header = struct.pack(">6H", 0x4F43, 0x8180, 1, 1, 0, 0)
    return header + query[12:] + owner + struct.pack(">2HIH", kind, 1, 5, len(address)) + address


@pytest.mark.parametrize("owner", [b"\xc0\x0c", probes.build_query(NAME)[12:-4]])
def test_an_answer_is_read_whether_the_name_is_repeated_or_pointed_to(owner: bytes) -> None:
    assert probes.parse_answer(an_answer(owner)) == "198.18.64.1"


def test_an_answer_without_an_address_is_none() -> None:
    assert probes.parse_answer(an_answer(b"\xc0\x0c", kind=5)) is None
    assert probes.parse_answer(b"") is None


def test_the_clusters_dns_is_what_network_policies_select() -> None:
    resources = {
        item.path.rpartition("/")[2]: item.manifest
        for item in manifests.build_resources(dns_image="dns:1")
    }

    deployment: Any = resources["coredns"]
    template = deployment["spec"]["template"]
    (udp, tcp) = template["spec"]["containers"][0]["ports"]
    assert template["metadata"]["labels"] == {"k8s-app": "kube-dns"}
    assert (udp["containerPort"], tcp["containerPort"]) == (53, 53)


@pytest.mark.parametrize(
    ("text", "version"),
    [("v1.32.4-dispatcher", (1, 32)), ("v3.22.0+g1", (3, 22)), ("", (0, 0))],
)
def test_versions_are_read_from_what_programs_print(text: str, version: tuple[int, int]) -> None:
    assert tools.parse_version(text) == version
