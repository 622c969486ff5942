"""
What something usually takes: an average that follows a lasting change and is hardly moved by one outlier.

A worker that stops to collect garbage says little about its next batch; one that has become slower is believed after
some. Pure.
"""

from __future__ import annotations

__all__ = ["Usual"]

OUTLIER = 3.0
"""Times the average that one value counts for at most."""


class Usual:
    """Exponentially weighted; ``weight`` is that of the newest value."""

    __slots__ = ("_weight", "value")

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self.value = 0.0
        """0 until something was learnt."""

    def learn(self, value: float) -> None:
        usual = self.value
        if value < OUTLIER * usual:
            self.value = usual + self._weight * (value - usual)
        elif usual:
            self.value = usual + self._weight * (OUTLIER * usual - usual)
        else:
            self.value = value
