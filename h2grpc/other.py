"""A request over HTTP/2 that is no gRPC, and its answer: small values, so that any REST handler can serve them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["OtherAnswer", "OtherHandler", "OtherRefusal", "OtherRequest", "refuse"]


@dataclass(slots=True)
class OtherRequest:
    """Whole, body included, unless there is a ``refusal``. ``headers`` are without those that begin with a colon."""

    stream_id: int
    method: bytes
    path: bytes
    """With its query."""
    authority: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""
    peer: str = ""
    auth_context: Mapping[str, Sequence[bytes]] | None = None
    """What TLS knows of the peer, as calls have it; one value for all requests of a connection."""
    is_whole: bool = False
    refusal: int = 0
    """The status of its answer, if the request could not be taken whole: 408, 413, 431 or 503."""
    owner: Any = None
    parts: list[bytes] | None = None
    """What is here of the body, as long as it is not whole."""
    held: int = 0
    """Bytes of that."""


@dataclass(frozen=True, slots=True)
class OtherAnswer:
    status: int
    headers: Sequence[tuple[bytes, bytes]] = ()
    """Names in lower case; none that belongs to a connection of HTTP/1.1."""
    body: bytes = b""


OtherHandler: TypeAlias = Callable[[OtherRequest], Awaitable[OtherAnswer]]
OtherRefusal: TypeAlias = Callable[[OtherRequest], OtherAnswer]
"""Finds the words for a request with a ``refusal``."""


def refuse(request: OtherRequest) -> OtherAnswer:
    """Without words."""
    return OtherAnswer(request.refusal)
