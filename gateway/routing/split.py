"""
Which of several deployments gets a request, when nobody insists on one: by weight, at random or by a key. Pure.

A split is made with the table and never changes. For keys it is weighted rendezvous hashing: every deployment draws a
number from the key and its own name, scaled by its weight, and the smallest wins. So each key has a place that depends
on nothing but names and weights (not on the process, the machine or the order of the file), a deployment gets its
percentage of all keys, and when weights change, a key moves only to a deployment whose share has grown relative to the
one that it leaves: from 90/10 to 80/20 a tenth of the keys moves, and none the other way.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from hashlib import blake2b
from itertools import accumulate
from math import log

__all__ = ["Split", "by_key"]

_HALF = 0.5
_RANGE = 2.0**64


class Split:
    """The deployments with traffic, in the order of the file. ``endpoint`` keeps the draws of two endpoints apart."""

    __slots__ = ("_hashes", "bounds", "names")

    def __init__(self, endpoint: str, weights: Mapping[str, int]) -> None:
        weighted = {name: weight for name, weight in weights.items() if weight > 0}
        self.names = tuple(weighted)
        self.bounds = tuple(accumulate(weighted.values()))
        """Running sums of their weights."""
        self._hashes = tuple(
            (name, weight, blake2b(f"{endpoint}\0{name}\0".encode(), digest_size=8))
            for name, weight in weighted.items()
        )

    def at(self, draw: float) -> str:
        """The deployment that ``draw`` (0 ≤ draw < 1) falls on; there must be one."""
        names = self.names
        return names[0] if len(names) == 1 else names[bisect_right(self.bounds, draw * self.bounds[-1])]

    def of(self, key: bytes) -> str:
        """The deployment of a key; there must be one."""
        names = self.names
        if len(names) == 1:
            return names[0]
        best, least = "", float("inf")
        for name, weight, hashed in self._hashes:
            own = hashed.copy()
            own.update(key)
            # An exponential draw of rate ``weight``: the chance to be the least is the share of the weight.
            drawn = -log((int.from_bytes(own.digest(), "big") + _HALF) / _RANGE) / weight
            if drawn < least:
                best, least = name, drawn
        return best


def by_key(value: object) -> bytes:
    """
    A key in one form, whatever form it came in: the number 17, the number 17.0 and the text "17" are the same key.
    """
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogatepass")
