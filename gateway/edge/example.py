"""
A row that a deployment answers: what API documents show, what the protocol's model configuration tells, and what
``lockgate invoke --example`` therefore sends. It is the model's own example, or blanks of the right types.
"""

from __future__ import annotations

from math import prod
from typing import Any

from gateway.core.request import Deployment
from gateway.core.signature import Column, Kind, Signature

__all__ = ["example_row", "known_row"]

_BLANKS: dict[Kind, Any] = {Kind.FLOAT: 0.0, Kind.INTEGER: 0, Kind.BOOLEAN: False, Kind.STRING: ""}
_MOST_VALUES = 10_000
"""In a row that is told besides something else: an image has millions, and clients of gRPC take 4 MiB."""


def example_row(signature: Signature) -> dict[str, Any]:
    """Input → value."""
    if signature.example:
        return dict(zip((column.name for column in signature.inputs), signature.example[0], strict=True))
    return {column.name: _blank(column) for column in signature.inputs}


def known_row(deployment: Deployment) -> dict[str, Any] | None:
    """
    The same. None for a script that takes a text and brought none, because only the script knows what it takes; and for
    a row of more values than anybody wants to be told besides.
    """
    if deployment.takes_text and not deployment.signature.example:
        return None
    if sum(prod(max(1, length) for length in column.shape) for column in deployment.signature.inputs) > _MOST_VALUES:
        return None
    return example_row(deployment.signature)


def _blank(column: Column) -> Any:
    value = column.levels[0] if column.levels else _BLANKS[column.kind]
    for length in reversed(column.shape):
        value = [value] * max(1, length)
    return value
