"""
What one route of the admin API is: its path and handler, and what is to be known to call it.

Routes and the OpenAPI document are made from the same operations, so that neither can know of a route that the other
does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from aiohttp import web

from gateway.core.access import Role

__all__ = ["Handler", "Method", "Operation", "Precondition"]

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.Response]]

Method: TypeAlias = Literal["GET", "PUT", "POST", "PATCH", "DELETE"]

Precondition: TypeAlias = Literal["none", "optional", "required"]
"""Whether the header ``If-Match`` says which version was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    name: str
    """Unique; what generated clients call it."""
    method: Method
    path: str
    """With ``{name}`` for what is to be filled in."""
    summary: str
    role: Role | None = None
    """What a caller must hold; None: no key is asked for."""
    body: Any = None
    """The type of the JSON body; None for no body."""
    answer: Any = None
    """The type of the JSON answer; None for none."""
    media_type: str = "application/json"
    statuses: Mapping[int, str] = field(default_factory=lambda: {200: "Done"})
    """Those of success, and what they say."""
    errors: tuple[int, ...] = ()
    """Beside those that every operation can end with."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Name → what it does."""
    precondition: Precondition = "none"
    is_versioned: bool = False
    """Whether the answer brings an ``ETag``."""

    def route(self, handler: Handler) -> web.RouteDef:
        """What is asked with GET may be asked with HEAD."""
        if self.method == "GET":
            return web.get(self.path, handler)
        return web.route(self.method, self.path, handler)
