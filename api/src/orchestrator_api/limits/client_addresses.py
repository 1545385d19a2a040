"""Whose request it is before anybody has logged in: the address it came from.

Anybody can write ``X-Forwarded-For``, so it counts only beside the key that the
edge alone knows. nginx overwrites both headers with its own.

Before: uvicorn says who the peer is.
After: ``requests`` has the name of a bucket; an IPv6 user can't have one per address.
"""

import hmac
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

_KEY_HEADER = b"x-edge-key"
_ADDRESS_HEADER = b"x-forwarded-for"
_USER_PREFIX_BITS = 64
"""What one subscriber gets at least (RFC 6177); within it he chooses addresses freely."""


class ClientAddresses:
    """Finds out where requests come from."""

    def __init__(self, edge_key: str | None) -> None:
        self._edge_key = edge_key.encode() if edge_key else None

    def find(self, scope: Scope) -> str:
        """Return the client's address: IPv4 as it is, IPv6 as its /64."""
        peer: tuple[str, int] | None = scope.get("client")
        address = self._find_forwarded(scope["headers"]) or _parse(peer[0] if peer else "")
        # A peer without an address comes through a local socket: they share one bucket.
        return _to_subscriber(address) if address else "local"

    def _find_forwarded(
        self, headers: list[tuple[bytes, bytes]]
    ) -> IPv4Address | IPv6Address | None:
        if self._edge_key is None:
            return None
        key = forwarded = b""
        for name, value in headers:
            if name == _KEY_HEADER:
                key = value
            elif name == _ADDRESS_HEADER:
                forwarded = value
        if not hmac.compare_digest(key, self._edge_key):
            return None
        # Exactly one address; a list would mean that the edge had appended instead of overwritten.
        return _parse(forwarded.decode("latin-1"))


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.strip())
    except ValueError:
        return None


def _to_subscriber(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), _USER_PREFIX_BITS), strict=False))
