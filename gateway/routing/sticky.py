"""
The key by which a request sticks to a deployment: from a header, from a column, or the caller's name.

A column is in the body, which is otherwise decoded only when the deployment is known, because its signature says what
the values mean. So an endpoint that asks for it, and no other, has its body decoded here; what was decoded is kept for
the stage after. A request without the key is split at random: it is no reason to refuse anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gateway.control.rollout_config import StickyConfig
from gateway.core.payload import Named, Payload, Records, Table, Tensor, Tensors
from gateway.core.request import Authenticated
from gateway.core.tensor import BY_NAME
from gateway.routing.split import by_key

__all__ = ["KeyOf", "key_of"]

KeyOf = Callable[[Authenticated, Sequence[str]], bytes | None]
"""The key of a request, or None; the names are of the columns that come without any."""


def key_of(config: StickyConfig) -> KeyOf:
    """What the configuration asks for, as a function."""
    if config.header is not None:
        return _from_header(config.header)
    if config.column is not None:
        return _from_column(config.column)
    return lambda request, _: request.principal.name.encode()


def _from_header(name: str) -> KeyOf:
    def of(request: Authenticated, _: Sequence[str]) -> bytes | None:
        value = request.received.headers.get(name)
        return by_key(value) if value else None

    return of


def _from_column(name: str) -> KeyOf:
    def of(request: Authenticated, positional: Sequence[str]) -> bytes | None:
        received = request.received
        payload = received.read()
        received.read = lambda: payload
        value = _first(payload, name, positional)
        return None if value is None else by_key(value)

    return of


def _first(payload: Payload, name: str, positional: Sequence[str]) -> Any:
    """
    The value of a column in the first row, or None. What does not look as it should is left to whoever makes the rows,
    and has the words for it.
    """
    if isinstance(payload, Tensors):
        return next((_of_tensor(tensor) for tensor in payload.tensors if tensor.name == name), None)
    if isinstance(payload, Named):
        values: Any = payload.columns.get(name)
        return _single(values[0] if type(values) is list and values else None)
    if not payload.rows:
        return None
    row = payload.rows[0]
    if isinstance(payload, Records):
        return _single(row.get(name))
    return _single(_of_table(payload, row, name, positional))


def _of_table(table: Table, row: Any, name: str, positional: Sequence[str]) -> Any:
    names: Sequence[str] = positional if table.columns is None else table.columns
    if type(row) is not list:
        row = [row]
    if len(row) != len(names) or name not in names:
        return None
    value = row[names.index(name)]
    return None if table.is_text and value == "" else value


def _of_tensor(tensor: Tensor) -> Any:
    raw = tensor.raw
    if raw is None:
        value = tensor.values
        while type(value) is list and value:
            value = value[0]
        return _single(value)
    kind = BY_NAME.get(tensor.datatype)
    if kind is None:
        return None
    if not kind.size:
        length = int.from_bytes(raw[:4], "little")
        return bytes(raw[4 : 4 + length]) if 4 <= 4 + length <= len(raw) and len(raw) >= 4 else None
    return np.frombuffer(raw[: kind.size], kind.numpy)[0].item() if len(raw) >= kind.size else None


def _single(value: Any) -> Any:
    """A list of one may stand for its value; longer ones, and objects, are no keys."""
    if type(value) is list and len(value) == 1:
        value = value[0]
    return value if isinstance(value, (str, bytes, bool, int, float)) else None
