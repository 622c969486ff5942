"""
What a primary is asked twice, to see how often it disagrees with itself.

A verdict rests on that as much as on the shadow's answers, and a percent of few requests is next to none: so the first
replays of a primary are not drawn for, and what is drawn for comes on top. Only what was sent counts among the first:
what was dropped says nothing. They begin anew with the comparisons that they are for: with another model of the
primary, and with another tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.core.request import Deployment
from gateway.routing.flight import Offer
from gateway.routing.shadow import Shadow
from gateway.routing.tally import Tolerance

__all__ = ["FIRST", "Replays"]

FIRST = 200
"""Requests. With as many a shadow of which every tenth row is wrong is told from a primary that never disagrees with
itself after 153 requests; with 100, and one percent from then on, it takes 4,500."""


class Replays:
    """Of one endpoint; ``target`` stands for the primary among the shadows."""

    def __init__(self, first: int = FIRST) -> None:
        self.target = Shadow("")
        self._first = first
        self._sent: dict[tuple[str, str], int] = {}
        """Name and model of a primary → how often; none has more than ``first``."""
        self._tolerance: Tolerance | None = None

    def install(self, percent: int, tolerance: Tolerance, models: Mapping[str, str]) -> None:
        """From now on; 0 percent is none at all."""
        self.target.send(percent)
        if tolerance != self._tolerance:
            self._tolerance = tolerance
            self._sent.clear()
        self._sent = {key: sent for key, sent in self._sent.items() if models.get(key[0]) == key[1]}

    def join(self, offer: Offer) -> None:
        """It is replayed too, where it is among the first of its primary."""
        primary = offer.request.deployment
        if (
            self.target.share > 0
            and self._sent.get((primary.name, primary.model), 0) < self._first
            and offer.answer is not None
            and primary.is_idempotent
            and self.target not in offer.targets
        ):
            offer.targets.append(self.target)

    def sent(self, primary: Deployment) -> None:
        """It was asked twice."""
        key = primary.name, primary.model
        self._sent[key] = min(self._sent.get(key, 0) + 1, self._first)
