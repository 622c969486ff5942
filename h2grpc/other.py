"""A request over HTTP/2 that is no gRPC, and its answer: small values, so that any REST handler can serve them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["OtherAnswer", "OtherHandler", "OtherRequest"]


@dataclass(slots=True)
class OtherRequest:
    """Whole, body included. ``headers`` are without those that begin with a colon."""

    stream_id: int
    method: bytes
    path: bytes
    """With its query."""
    authority: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    peer: str = ""
    owner: Any = None
    held: int = 0
    """Bytes of the body, as long as it is not whole."""


@dataclass(frozen=True, slots=True)
class OtherAnswer:
    status: int
    headers: Sequence[tuple[bytes, bytes]] = ()
    """Names in lower case; none that belongs to a connection of HTTP/1.1."""
    body: bytes = b""


OtherHandler: TypeAlias = Callable[[OtherRequest], Awaitable[OtherAnswer]]
