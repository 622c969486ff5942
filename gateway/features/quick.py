"""
One row, one view, one key, all in the local copy: what most requests with features are, and what their cost is about.

Everything that can be decided beforehand is, and whatever is remarkable (a miss, a gap, an old value, NaN, another
type) is left to the careful way, which knows what to do or say about it: here None stands for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from feature_cache.errors import BadEntity
from feature_cache.store import FeatureStore
from gateway.core.rows import Rows
from gateway.features.assemble import Assembler
from gateway.features.plan import Fill, Pick

__all__ = ["Quick", "are_finite", "quick_row"]

Quick = Callable[[Sequence[Any]], Rows | None]
"""From the values of a request's only row to the model's row, or None."""

_PYTHON = {"int64": int, "int32": int, "timestamp": int, "string": str}


def quick_row(fill: Fill, assembler: Assembler, store: FeatureStore, wall_clock: Callable[[], float]) -> Quick | None:
    """Compiled for one set of columns; None where it is not that simple."""
    if len(fill.asks) != 1 or len(fill.asks[0].keys) != 1:
        return None
    (ask,) = fill.asks
    (place,) = ask.keys
    kind = _PYTHON.get(ask.view.entities[0].type)
    if kind is None:
        return None
    name, plain, is_ageless = ask.view.name, ask.policy.plain, ask.policy.is_ageless
    pick, may_be_nan, peek, pack = fill.pick, fill.may_be_nan, store.peek, assembler.one

    def quick(row: Sequence[Any]) -> Rows | None:
        key = row[place]
        if type(key) is not kind:
            return None
        try:
            found = peek(name, ((key,),))
        except BadEntity:
            return None
        if found is None:
            return None
        read = plain(found[0], 0 if is_ageless else int(wall_clock() * 1_000_000))
        if read is None:
            return None
        values = pick((*row, *read))
        if may_be_nan is not None and not are_finite(may_be_nan, values):
            return None
        return pack(values)

    return quick


def are_finite(may_be_nan: Pick, values: Sequence[Any]) -> bool:
    """Whether none of these is NaN, infinite or no number at all: the packer alone would take NaN for a number."""
    try:
        total = sum(may_be_nan(values))
    except TypeError:
        return False
    return bool(total - total == 0.0)
