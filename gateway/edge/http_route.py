"""
The seam between the router and the families of routes: a route is data.

A family (``/score``, ``/invocations``, ``/predict``, ``/v2``) is a function that returns a list of these. Its handlers
raise ``GatewayError``; its own ``encode_error`` says how that family's clients read an error.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from gateway.core.errors import GatewayError
from gateway.core.request import Answer, Received
from gateway.core.service import Service
from gateway.edge.http_message import HttpRequest, HttpResponse

__all__ = ["EncodeError", "Handler", "OnDone", "Route", "Score"]

Handler: TypeAlias = Callable[[HttpRequest, Mapping[str, str]], Awaitable[HttpResponse]]
"""Answers one request; the mapping holds what the pattern's ``{name}`` parts matched, percent-decoded."""

EncodeError: TypeAlias = Callable[[GatewayError], HttpResponse]
"""Status and body of an error; the headers that all families share are added by the router."""

OnDone: TypeAlias = Callable[["Received | None", int, "GatewayError | None"], None]
"""Called once per request after its answer is known: request (None if it never became one), HTTP status, error."""

Score: TypeAlias = Service[Received, Answer]
"""The rest of the gateway, seen from the edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    One method on one path.

    ``pattern`` is a path whose parts in braces match one segment each, such as ``/v2/models/{model}/infer``. A model
    name that was sent percent-encoded arrives decoded; a segment never contains a slash.
    """

    method: str
    pattern: str
    handler: Handler
    encode_error: EncodeError
