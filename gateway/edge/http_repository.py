"""
What the bodies of the model repository's HTTP calls ask for. No body asks for nothing, nor does a field that is null:
clients write one so that was left out. One that is not what it should be is refused by name, so that nobody takes what
they asked for to be done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.core.errors import InvalidInput

__all__ = ["load_parameters", "only_ready"]


def only_ready(asked: object) -> bool:
    """Whether the index is to list only what can serve. Raises ``InvalidInput``."""
    ready = _object(asked, "the body").get("ready")
    if ready is not None and not isinstance(ready, bool):
        raise InvalidInput("ready: expected true or false")
    return bool(ready)


def load_parameters(asked: object) -> Mapping[str, Any]:
    """Raises ``InvalidInput``."""
    parameters = _object(asked, "the body").get("parameters")
    return {} if parameters is None else _object(parameters, "parameters")


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}: expected a JSON object")
    return value
