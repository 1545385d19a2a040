"""Which addresses of the network a stranger may make a worker speak to: pure decisions.

A worker stands inside a cluster, so an address that a client names must not lead to
the cluster's own services, to the cloud's metadata or to the worker itself, however
it is written or mapped.

Before: ``fetching`` has the URL of a payload and what its host's name stands for.
After: it connects to exactly the address that was judged here, or not at all.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253
PORTS: Mapping[str, int] = {"http": 80, "https": 443}
"""The schemes that may be followed, each on its own port: nobody scans others through us."""

_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
"""All that is handed out. What maps IPv4 (::ffff:0:0/96, 64:ff9b::/96) lies outside."""
_NOT_PUBLIC: tuple[IPNetwork, ...] = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # special purposes
    ipaddress.IPv4Network("192.88.99.0/24"),  # relays of 6to4, given up
    ipaddress.IPv6Network("2001::/23"),  # tunnels with IPv4 inside, and other protocols
    ipaddress.IPv6Network("2002::/16"),  # 6to4: any IPv4 inside
    ipaddress.IPv6Network("3fff::/20"),  # documentation
)
"""Beside what Python knows as not global; its list differs between releases."""


class RefusedAddressError(Exception):
    """A URL that a worker must not follow; the message goes to the task's owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL, taken apart and found well formed."""

    url: str
    host: str
    """As it is looked up: lower case, ASCII."""
    port: int


def parse_target(url: str, *, ports: Mapping[str, int] = PORTS) -> Target:
    """Take a URL apart.

    Raises:
        RefusedAddressError: it is no plain URL of one of the schemes, on that scheme's port.
    """
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise RefusedAddressError(
            f"the URL must be plain ASCII of at most {MAX_URL_LENGTH} characters, escaped where"
            " needed"
        )
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise RefusedAddressError("the URL is malformed") from None
    if parts.scheme not in ports:
        raise RefusedAddressError(f"the URL must begin with {':// or '.join(sorted(ports))}://")
    if not host or len(host) > MAX_HOST_LENGTH or "\\" in url or "%" in host:
        raise RefusedAddressError("the URL must name a host")
    if parts.username is not None or parts.password is not None:
        raise RefusedAddressError("the URL must not hold a user name or password")
    usual = ports[parts.scheme]
    if (PORTS[parts.scheme] if port is None else port) != usual:
        raise RefusedAddressError(f"the URL must use port {usual}, which {parts.scheme} has")
    return Target(url=url, host=host.lower(), port=usual)


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the public internet and to nothing nearer."""
    if any(address in network for network in _NOT_PUBLIC if network.version == address.version):
        return False
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return address.version == 4 or address in _UNICAST_V6  # noqa: PLR2004 - IP version 4


def choose_address(host: str, found: Sequence[str], *, denied: Sequence[IPNetwork]) -> IPAddress:
    """Return the address to connect to.

    Args:
        host: for the message.
        found: what its name stands for, in the resolver's order.
        denied: networks that are public but near, such as a cluster with public addresses.

    Raises:
        RefusedAddressError: one of them is not public. A name that stands for both kinds is
            somebody's attempt, not an accident.
    """
    try:
        addresses = [ipaddress.ip_address(each) for each in found]
    except ValueError:
        raise RefusedAddressError(f"{host} stands for no usable address") from None
    if not addresses:
        raise RefusedAddressError(f"{host} stands for no address")
    for address in addresses:
        is_near = any(
            address in network for network in denied if network.version == address.version
        )
        if is_near or not is_public(address):
            raise RefusedAddressError(
                f"{host} does not lie in the public internet, and nothing else may be fetched"
            )
    return addresses[0]
