"""
How far the desired state has come: which version every process runs, which one is on its way, and what was refused.

Whoever makes a state real tells it here; the admin API shows it and waits for it, and knows nothing of workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

import msgspec

__all__ = ["Outcome", "Progress", "Refused", "Running", "outcome_of"]

Outcome: TypeAlias = Literal["running", "refused", "superseded", "pending"]
"""Of one version. ``superseded``: a later one was taken up before this one ran."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A version that will not run; what ran before goes on."""

    version: int
    reason: str


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot."""

    running: int
    """The version that was committed last: the one that a process would start with now."""
    wanted: int
    """The newest that is known of."""
    phase: str = "settled"
    """What is being done at the moment: ``settled``, ``starting``, ``preparing`` or ``draining``."""
    refused: Refused | None = None
    """The newest refusal, until a later version runs."""
    problem: str = ""
    """Why the newest cannot be read, or be made to run, at the moment; that refuses nothing: it is tried again."""
    gateways: Mapping[str, int | None] = {}
    """Index of a gateway → the version that it runs; None while it does not answer."""
    needs_restart: Sequence[str] = ()
    """Settings that were changed and are read at the start only."""


class Running(Protocol):
    """Whoever makes the desired state real."""

    @property
    def progress(self) -> Progress: ...

    async def moved(self) -> None:
        """
        Return when ``progress`` is another one than at the call. It must begin to listen before it first waits, so
        that nothing is missed by whoever looks, decides and calls without waiting in between.
        """


def outcome_of(progress: Progress, version: int) -> Outcome:
    """What has become of ``version``."""
    behind = [running for running in progress.gateways.values() if running is None or running < version]
    if progress.running == version and not behind:
        return "running"
    if progress.running > version:
        return "superseded"
    if progress.refused is not None and progress.running < version:
        if progress.refused.version == version:
            return "refused"
        if progress.refused.version > version:
            return "superseded"
    return "pending"
