"""What counts as one address of a caller, whatever engine and protocol told of it."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote

__all__ = ["address_of", "network_of"]


def address_of(peer: str) -> str:
    """``peer`` without a port: it is a bare address, or gRPC's ``ipv4:10.0.0.7:51234`` or ``ipv6:%5B::1%5D:51234``."""
    family, _, rest = peer.partition(":")
    if family not in ("ipv4", "ipv6"):
        return peer
    host, colon, _ = unquote(rest).rpartition(":")
    return host.strip("[]") if colon else peer


def network_of(peer: str) -> str:
    """The address; of IPv6 the first 64 bits, since whoever has one address there has them all."""
    peer = address_of(peer)
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:64]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)
