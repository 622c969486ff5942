"""
How many connections one address may have at a time; beyond it a new one is closed at once, without a word.

It is counted once per connection and never per request. Over TLS the handshake is over by then, so this keeps one
address from holding all places, not from costing handshakes: that is for whatever stands before the gateway.
"""

from __future__ import annotations

from gateway.core.network import network_of

__all__ = ["PerAddress"]


class PerAddress:
    """At most ``limit`` for each address; 0 for any number."""

    __slots__ = ("_limit", "_open")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[str, int] = {}
        """Only addresses that have a connection: no more than there are sockets."""

    def enters(self, peer: str) -> bool:
        """Whether another one from there may stay; then ``left`` must be called when it ends, and else not."""
        if not self._limit:
            return True
        address = network_of(peer)
        count = self._open.get(address, 0)
        if count >= self._limit:
            return False
        self._open[address] = count + 1
        return True

    def left(self, peer: str) -> None:
        if not self._limit:
            return
        address = network_of(peer)
        count = self._open.get(address, 0) - 1
        if count > 0:
            self._open[address] = count
        else:
            self._open.pop(address, None)
