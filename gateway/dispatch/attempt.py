"""
One try at scoring some tickets together, and what follows when it fails.

Pure. A batch that the model refuses is halved until only the guilty request is left: log2(n) rounds, the halves of a
round side by side. What a worker took with it is tried once more elsewhere, each request alone: whoever killed the
worker may be among them, and shall not take the others with it again. Everything else is final.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.core.deadline import Deadline
from gateway.core.errors import GatewayError, InvalidInput, ModelFailed
from gateway.core.scoring import WorkerLost
from gateway.dispatch.ticket import Ticket

__all__ = ["Attempt", "following"]


class Attempt(msgspec.Struct, eq=False):
    """Sent once at most: what is tried again is another attempt."""

    tickets: list[Ticket]
    """Those that are done by then are dropped as it leaves."""
    avoid: str = ""
    """The worker that was lost with these tickets before."""
    is_retry: bool = False
    # From here on of one that has left.
    deadline: Deadline = 0.0
    """Of its most patient caller."""
    counts: Sequence[int] = ()
    """Rows per ticket; nothing where there is only one."""
    rows: int = 0
    sent: float = 0.0
    is_over: bool = False


def following(failed: Attempt, error: GatewayError, is_idempotent: bool) -> list[Attempt]:
    """What to try next for the tickets that still wait; for those that are in none of these ``error`` is the answer."""
    waiting = [ticket for ticket in failed.tickets if not ticket.is_done]
    if not waiting:
        return []
    if isinstance(error, WorkerLost):
        if failed.is_retry or not is_idempotent:
            return []
        return [Attempt([ticket], error.worker, is_retry=True) for ticket in waiting if not ticket.has_one_try]
    if isinstance(error, (ModelFailed, InvalidInput)) and len(failed.tickets) > 1:
        # A batch of many of which one waits still: it may well be innocent.
        middle = (len(waiting) + 1) // 2
        halves = [half for half in (waiting[:middle], waiting[middle:]) if half]
        return [Attempt(half, failed.avoid, failed.is_retry) for half in halves]
    return []
