"""One shadow as its mirror sees it: how often it is asked, and what became of the requests that it was sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import structlog

__all__ = ["Shadow", "ShadowCounts", "drop", "renewed"]

log = structlog.get_logger()

_EVENTS = 1.0
"""Seconds between two events about one shadow: one that fails always shall not fill the disk."""


class ShadowCounts(msgspec.Struct):
    """What became of the requests of one shadow."""

    shadow: str
    percent: int
    mirrored: int = 0
    """Sent to it."""
    dropped: dict[str, int] = {}
    """Drawn but not sent, by reason."""
    failed: dict[str, int] = {}
    """Sent and not answered well, by class of error."""

    def merge(self, other: ShadowCounts) -> None:
        """Count what ``other`` has counted too."""
        self.mirrored += other.mirrored
        for counts, more in ((self.dropped, other.dropped), (self.failed, other.failed)):
            for key, times in more.items():
                counts[key] = counts.get(key, 0) + times


class Shadow:
    """``name`` is empty where the primary itself stands for one, because its answers are replayed."""

    __slots__ = ("_logged_at", "_not_logged", "counts", "model", "name", "share")

    def __init__(self, name: str, model: str = "") -> None:
        self.name, self.model, self.share = name, model, 0.0
        self.counts = ShadowCounts(name, 0)
        self._logged_at, self._not_logged = float("-inf"), 0

    def send(self, percent: int) -> None:
        """From now on so much; what was counted stays."""
        self.share, self.counts.percent = percent / 100, percent

    def dropped(self, reason: str) -> None:
        """It is not sent what it was drawn for."""
        counts = self.counts.dropped
        counts[reason] = counts.get(reason, 0) + 1

    def failed(self, kind: str) -> None:
        """It has not answered what it was sent."""
        counts = self.counts.failed
        counts[kind] = counts.get(kind, 0) + 1

    def tell(self, now: float, endpoint: str, deployment: str, error: str, request_id: str) -> None:
        """The log about a failure, marked as nobody's request; once a second."""
        if now - self._logged_at < _EVENTS:
            self._not_logged += 1
            return
        more = {"not_logged": self._not_logged} if self._not_logged else {}
        self._logged_at, self._not_logged = now, 0
        log.warning(
            "mirror.failed",
            endpoint=endpoint,
            deployment=deployment,
            mirrored=True,
            error=error,
            request_id=request_id,
            **more,
        )


def renewed(known: Mapping[str, Shadow], percents: Mapping[str, int], models: Mapping[str, str]) -> dict[str, Shadow]:
    """
    Those of another configuration. One whose model stays is the same, and is remembered also when it is sent nothing
    any more; one with another model begins anew.
    """
    shadows: dict[str, Shadow] = {}
    for name, model in models.items():
        shadow = known.get(name)
        if shadow is None or shadow.model != model:
            if name not in percents:
                continue
            shadow = Shadow(name, model)
        shadow.send(percents.get(name, 0))
        shadows[name] = shadow
    for shadow in known.values():
        if shadows.get(shadow.name) is not shadow:
            shadow.send(0)
    return shadows


def drop(shadows: Iterable[Shadow], reason: str) -> None:
    """The same for each of them."""
    for shadow in shadows:
        shadow.dropped(reason)
