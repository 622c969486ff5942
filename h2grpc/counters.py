"""What a server or channel has seen since it started, for its owner's metrics."""

from __future__ import annotations

from collections import Counter

__all__ = ["Counters"]


class Counters(Counter[str]):
    """
    Numbers by name; a name that never happened reads 0.

    ``connections`` and ``held_bytes`` are how many there are now. Everything else only grows: ``accepted``,
    ``started``, ``cancelled``, ``expired``, ``refused``, ``late`` for requests that did not arrive in time, ``unread``
    for answers that were not taken in time, and ``abuse.<kind>`` for each connection closed for it.
    """
