"""What counts as one address of a caller, whatever engine and protocol told of it."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote

__all__ = ["network_of"]


def network_of(peer: str) -> str:
    """
    Of IPv6 the first 64 bits, since whoever has one address there has them all.

    ``peer`` is a bare address, or gRPC's ``ipv4:10.0.0.7:51234`` or ``ipv6:%5B::1%5D:51234``.
    """
    family, _, rest = peer.partition(":")
    if family in ("ipv4", "ipv6"):
        peer = unquote(rest).rpartition(":")[0].strip("[]")
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer[:64]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)
