"""Addresses in gRPC's notation, and sockets that listen on them."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

__all__ = ["BACKLOG", "listen"]

BACKLOG = 1024


def listen(address: str, *, reuse_port: bool = False) -> socket.socket:
    """
    ``host:port``, ``[::1]:port`` or ``unix:/path``; port 0 picks a free one. ``OSError`` if it cannot be had.

    ``[::]`` takes IPv4 too. A socket file that was left behind is replaced.
    """
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:").removeprefix("//"))
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        where: object = str(path)
    else:
        host, _, port = address.rpartition(":")
        if not port.isdigit():
            raise OSError(f"{address}: not host:port or unix:/path")
        host = host.strip("[]") or "::"
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
    try:
        listener.bind(where)  # type: ignore[arg-type]  # as getaddrinfo gave it
        listener.listen(BACKLOG)  # now, because only this finds out whether somebody else listens there
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
