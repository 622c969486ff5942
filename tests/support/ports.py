"""Ports for servers that have to be told one before they start."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress

__all__ = ["free_ports"]


def free_ports(count: int) -> list[int]:
    """
    Different ports that nobody listens on, from below those that the kernel gives to outgoing connections: one of these
    could be taken before the server has started.
    """
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = random.randrange(20_000, 32_000)
            with suppress(OSError):
                held.enter_context(socket.create_server(("0.0.0.0", port)))  # noqa: S104  # as servers will
                found.append(port)
        return found
