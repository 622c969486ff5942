"""A stage of the request path is a service: one request type in, one reply type out, errors raised."""

from __future__ import annotations

from typing import Protocol, TypeVar

__all__ = ["Service"]

Req = TypeVar("Req", contravariant=True)
Rep = TypeVar("Rep", covariant=True)


class Service(Protocol[Req, Rep]):
    """Raises ``GatewayError`` and nothing else on purpose."""

    async def __call__(self, request: Req, /) -> Rep: ...
