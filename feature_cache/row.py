"""What a read gives for one entity: values in the order of the view's features, and whether they may be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from feature_cache.schema import Value

__all__ = ["ABSENT", "NOT_FOUND", "Row", "RowState"]


class RowState(Enum):
    """Where the values come from."""

    FOUND = "found"
    """Read from the store, or from a local copy that is known to agree with it."""
    NOT_FOUND = "not_found"
    """The store holds nothing for this entity."""
    LAST_KNOWN = "last_known"
    """The store cannot be asked; these are the values that it had before."""
    UNAVAILABLE = "unavailable"
    """The store cannot be asked, and nothing is known from before."""
    CORRUPT = "corrupt"
    """The store holds something else than a row of this view."""


class _Absent(Enum):
    ABSENT = "absent"


ABSENT = _Absent.ABSENT
"""Written in place of a value that there is none of; null is a value (None)."""


@dataclass(slots=True, eq=False)
class Row:
    """
    One entity's features. Shared between all who asked for it: never change one.

    Not frozen, because that would double what it costs to make; one is made per row.
    """

    state: RowState
    values: tuple[Value, ...] = ()
    """In the order of the view's features, None also where a value is missing. Empty when there are none at all."""
    event_time_us: int | None = None
    """When the values were true: microseconds since 1970, UTC."""
    missing: int = 0
    """A bit for each feature that has no value, 1 << its place."""
    error: str = ""
    """What is wrong with a corrupt row, or why the store cannot be asked."""


NOT_FOUND = Row(RowState.NOT_FOUND)
"""The same for every entity, so that a miss costs no object."""
