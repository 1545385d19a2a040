"""A worker is led to the public internet and nowhere else, however it is written."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_worker.addresses import (
    RefusedAddressError,
    choose_address,
    is_public,
    parse_target,
)

NEAR = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "198.18.0.1",
    "192.0.0.8",
    "192.88.99.1",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2002:a00:1::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "fc00::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "5f00::1",
]


@pytest.mark.parametrize("address", NEAR)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(RefusedAddressError, match="public internet"):
        choose_address("example.com", [address], denied=())


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00::1"])
def test_what_is_public_is_taken(address: str) -> None:
    assert str(choose_address("example.com", [address], denied=())) == address


@given(st.ip_addresses())
def test_no_address_is_public_that_python_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if address.is_private or address.is_loopback or address.is_link_local:
        assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_is_public_inside_an_ipv6_one(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    wrapped = [
        ipaddress.IPv6Address((0xFFFF << 32) | number),
        ipaddress.IPv6Address(number),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
    ]

    assert not any(map(is_public, wrapped))


def test_a_name_that_also_stands_for_something_near_is_refused() -> None:
    with pytest.raises(RefusedAddressError):
        choose_address("example.com", ["8.8.8.8", "10.0.0.1"], denied=())


def test_a_cluster_with_public_addresses_can_be_denied() -> None:
    denied = (ipaddress.ip_network("8.8.0.0/16"), ipaddress.ip_network("2606::/16"))

    with pytest.raises(RefusedAddressError):
        choose_address("example.com", ["8.8.8.8"], denied=denied)


def test_a_name_without_an_address_is_refused() -> None:
    with pytest.raises(RefusedAddressError, match="no address"):
        choose_address("example.com", [], denied=())


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.com/a.png", "example.com", 443),
        ("http://EXAMPLE.com.:80/a?b=c", "example.com", 80),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443),
        ("http://2130706433/", "2130706433", 80),
    ],
)
def test_a_plain_url_is_taken_apart(url: str, host: str, port: int) -> None:
    target = parse_target(url)

    assert (target.host, target.port) == (host, port)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "must begin with"),
        ("gopher://example.com/", "must begin with"),
        ("//example.com/", "must begin with"),
        ("example.com/a.png", "must begin with"),
        ("", "must begin with"),
        ("http:///a", "name a host"),
        ("http://", "name a host"),
        ("http://.", "name a host"),
        ("http://./a", "name a host"),
        ("http://user:secret@example.com/", "user name or password"),
        ("http://@example.com/", "user name or password"),
        ("http://example.com:22/", "port 80"),
        ("https://example.com:80/", "port 443"),
        ("http://example.com:0/", "port 80"),
        ("http://example.com:99999/", "malformed"),
        ("http://[::1/", "malformed"),
        ("http://example.com\\@127.0.0.1/", "name a host"),
        ("http://example.com/\r\nHost: other", "plain ASCII"),
        ("http://example.com/a b", "plain ASCII"),
        ("http://exämple.com/", "plain ASCII"),
        ("http://" + "a" * 300 + ".com/", "name a host"),
        ("http://example.com/" + "a" * 2048, "at most 2048"),
        ("http://%31%32%37.0.0.1/", "name a host"),
    ],
)
def test_what_is_no_plain_url_is_refused_with_a_sentence(url: str, reason: str) -> None:
    with pytest.raises(RefusedAddressError, match=reason):
        parse_target(url)


@given(st.text(max_size=80))
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    try:
        target = parse_target(f"http://{text}")
    except RefusedAddressError:
        return
    assert target.port == 80
    assert target.host
