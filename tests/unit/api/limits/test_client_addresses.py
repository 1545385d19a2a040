"""Where a request comes from: what the peer's address says, and what the edge says."""

import pytest
from starlette.types import Scope

from orchestrator_api.limits.client_addresses import ClientAddresses

KEY = "the key that the edge alone knows"


def a_request(peer: str | None = "10.0.0.1", **headers: str) -> Scope:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "client": (peer, 5) if peer else None, "headers": raw}


def test_without_the_edge_the_peer_counts_and_headers_do_not() -> None:
    spoofed = a_request(x_forwarded_for="1.2.3.4", x_edge_key="")

    assert ClientAddresses(None).find(spoofed) == "10.0.0.1"
    assert ClientAddresses(KEY).find(spoofed) == "10.0.0.1"


def test_beside_the_edges_key_the_forwarded_address_counts() -> None:
    forwarded = a_request(x_forwarded_for="1.2.3.4", x_edge_key=KEY)

    assert ClientAddresses(KEY).find(forwarded) == "1.2.3.4"


@pytest.mark.parametrize("key", ["", KEY[:-1], KEY + "x", KEY.upper(), "é"])
def test_beside_any_other_key_it_does_not(key: str) -> None:
    assert ClientAddresses(KEY).find(a_request(x_forwarded_for="1.2.3.4", x_edge_key=key)) == (
        "10.0.0.1"
    )


@pytest.mark.parametrize("forwarded", ["", "1.2.3.4, 5.6.7.8", "unknown", "1.2.3.4:80", "1.2.3"])
def test_what_is_not_exactly_one_address_does_not_count(forwarded: str) -> None:
    request = a_request(x_forwarded_for=forwarded, x_edge_key=KEY)

    assert ClientAddresses(KEY).find(request) == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "found"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("not an address", "local"),
        (None, "local"),
    ],
)
def test_one_subscriber_has_one_address(peer: str | None, found: str) -> None:
    assert ClientAddresses(None).find(a_request(peer)) == found
