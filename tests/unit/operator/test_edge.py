"""What nginx is told: whose word the API takes, and how much it may carry."""

import base64
import re
from dataclasses import replace
from typing import Any

import pytest

from operator_testing.contexts import CREDENTIALS, a_context
from orchestrator_operator import names
from orchestrator_operator.kinds import Manifest
from orchestrator_operator.manifests.api import BODY_LIMIT_BYTES, build_api
from orchestrator_operator.manifests.context import Context
from orchestrator_operator.manifests.credentials import build_secrets
from orchestrator_operator.manifests.edge import build_edge, render_config
from orchestrator_operator.manifests.ingress import build_ingress, public_address
from orchestrator_operator.manifests.network import build_network_policies


def secret_of_the_edge(context: Context) -> dict[str, str]:
    [secret] = [
        one
        for one in build_secrets(context)
        if one["metadata"]["name"] == context.child(names.EDGE)
    ]
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def with_key(key: str) -> Context:
    return a_context(credentials=replace(CREDENTIALS, edge_key=key))


def pod_of(manifests: list[Manifest]) -> dict[str, Any]:
    [deployment] = [one for one in manifests if one["kind"] == "Deployment"]
    template: dict[str, Any] = deployment["spec"]["template"]
    return template


def mounted_keys(template: dict[str, Any]) -> set[tuple[str, str]]:
    [volume] = [one for one in template["spec"]["volumes"] if one["name"] == "credentials"]
    return {
        (source["secret"]["name"], item["path"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }


def test_nginx_sends_what_the_api_expects() -> None:
    secret = secret_of_the_edge(a_context())

    assert secret["token.conf"] == f"proxy_set_header X-Edge-Key {secret['token']};\n"
    assert ("demo-edge", "edge/token") in mounted_keys(pod_of([build_api(a_context())]))
    assert mounted_keys(pod_of(build_edge(a_context()))) == {("demo-edge", "edge/token.conf")}


@pytest.mark.parametrize("key", ['quoted "key"', "two\nlines;", "$money", "schlüssel", "\x00"])
def test_a_key_that_somebody_set_can_break_neither_header_nor_configuration(key: str) -> None:
    secret = secret_of_the_edge(with_key(key))

    assert re.fullmatch(r"[0-9a-f]{64}", secret["token"])
    assert re.fullmatch(r"proxy_set_header X-Edge-Key [0-9a-f]{64};\n", secret["token.conf"])


def test_another_key_replaces_the_pods_of_both_sides() -> None:
    def hashes(context: Context) -> list[str]:
        pods = [pod_of([build_api(context)]), pod_of(build_edge(context))]
        return [pod["metadata"]["annotations"][names.CONFIG_HASH_ANNOTATION] for pod in pods]

    before, after = hashes(with_key("one")), hashes(with_key("other"))

    assert all(old != new for old, new in zip(before, after, strict=True))


def test_nothing_is_left_to_fill_in_and_the_key_is_always_included() -> None:
    config = render_config(a_context())

    assert "%" not in config
    # Without a pattern: nginx refuses to start when the file is missing.
    assert "include /etc/orchestrator/edge/token.conf;" in config
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in config


def test_no_location_sets_a_header_and_so_loses_the_servers() -> None:
    server = render_config(a_context()).partition("  server {\n")[2]
    locations = re.findall(r"location [^{]*\{([^}]*)\}", server)

    assert len(locations) >= 8
    assert not [one for one in locations if "proxy_set_header" in one]


def test_a_file_may_be_as_large_as_the_resource_says() -> None:
    config = render_config(a_context({"api": {"files": {"maxSize": "20Mi"}}}))

    assert f"client_max_body_size {20 << 20};" in config
    assert re.search(rf"~\^/api/v1/files\(\?:/\|\$\) {20 << 20};", config)


def test_there_is_room_for_as_many_bodies_as_may_wait() -> None:
    config = render_config(a_context())
    [tmp] = [
        volume["emptyDir"]["sizeLimit"]
        for volume in pod_of(build_edge(a_context()))["spec"]["volumes"]
        if volume["name"] == "tmp"
    ]
    medium, large, of_one = (
        int(re.findall(rf"limit_conn {zone} (\d+);", config)[0])
        for zone in ("medium_bodies", "large_bodies", "large_bodies_of_one")
    )

    assert medium * 100_000 + large * BODY_LIMIT_BYTES < int(tmp.removesuffix("Mi")) << 20
    assert of_one * 2 == large


def test_only_namespaces_that_are_marked_for_it_read_metrics() -> None:
    policies = {one["metadata"]["name"]: one for one in build_network_policies(a_context())}

    [rule] = [
        rule
        for rule in policies["demo-api"]["spec"]["ingress"]
        if {"port": 9090, "protocol": "TCP"} in rule["ports"]
    ]

    labels = {"taskorchestrator.dev/monitoring": "allowed"}
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": labels}}]
    assert len(rule["ports"]) == 1


def test_an_ingress_is_where_clients_are_told_to_go() -> None:
    context = a_context({"edge": {"ingress": {"host": "tasks.example.com"}}})
    [ingress] = build_ingress(context)
    secured = a_context(
        {"edge": {"ingress": {"host": "tasks.example.com", "tlsSecretRef": {"name": "tls"}}}}
    )

    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert rule["host"] == "tasks.example.com"
    assert path["backend"]["service"] == {"name": "demo-edge", "port": {"number": 80}}
    assert public_address(context) == "http://tasks.example.com"
    assert public_address(secured) == "https://tasks.example.com"
    assert build_ingress(a_context()) == []


def test_no_proxy_is_believed_unless_it_is_named() -> None:
    config = render_config(a_context())
    trusting = render_config(a_context({"edge": {"trustedProxies": ["10.0.0.0/16"]}}))

    assert "real_ip" not in config
    assert "set_real_ip_from 10.0.0.0/16;\n  real_ip_header X-Forwarded-For;" in trusting
