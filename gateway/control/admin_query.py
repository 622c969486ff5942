"""What the address of a request to the admin API says beside its route. Everything raises ``InvalidInput``."""

from __future__ import annotations

from aiohttp import web

from gateway.control.admin_state_operations import LONGEST_WAIT
from gateway.core.errors import InvalidInput

__all__ = ["endpoint_of", "flag", "number", "wait_of"]


def endpoint_of(request: web.Request) -> str:
    return request.match_info["endpoint"]


def wait_of(request: web.Request) -> int:
    """Seconds to wait for the outcome of a change."""
    return number(request, "wait", 0, LONGEST_WAIT, 0)


def number(request: web.Request, name: str, least: int, most: int, otherwise: int) -> int:
    text = request.query.get(name)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise InvalidInput(f"{name}: expected a whole number from {least} to {most}")
    return int(text)


def flag(request: web.Request, name: str) -> bool:
    text = request.query.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidInput(f"{name}: expected true or false")
    return text == "true"
