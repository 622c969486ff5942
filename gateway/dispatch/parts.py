"""
A request of more rows than a batch may have: in line as several tickets, and answered as one.

Pure, but for the futures that it makes. The parts are of one size, so that workers that take them side by side finish
together.
"""

from __future__ import annotations

import asyncio

from gateway.core.errors import GatewayError, WorkerFailed
from gateway.core.rows import Rows
from gateway.dispatch.merge import join
from gateway.dispatch.ticket import Ticket

__all__ = ["cut", "outcome"]


def cut(whole: Ticket, limit: int, loop: asyncio.AbstractEventLoop) -> list[Ticket]:
    """Tickets of at most ``limit`` rows in the place of ``whole``; they are its ``parts`` from now on."""
    rows, kind = whole.rows, type(whole)
    number = -(-rows.count // limit)
    size = -(-rows.count // number)
    whole.parts = parts = [
        kind(
            rows.cut(start, min(start + size, rows.count)),
            whole.deadline,
            loop.create_future(),
            whole.born,
            parent=whole,
        )
        for start in range(0, rows.count, size)
    ]
    return parts


def outcome(whole: Ticket, reply: asyncio.Future[Rows]) -> Rows | GatewayError | None:
    """What ``whole`` shall hear now that the part with this ``reply`` is done; None where there is nothing to say."""
    if reply.cancelled():
        return None
    error = reply.exception()  # asked for in any case: asyncio would complain of one that nobody saw
    if whole.is_done:
        return None
    if isinstance(error, GatewayError):
        return error
    answered, parts = whole.answered, whole.parts
    while answered < len(parts) and parts[answered].is_answered:
        answered += 1
    whole.answered = answered
    if answered < len(parts):
        return None
    try:
        return join([part.reply.result() for part in parts])
    except WorkerFailed as mismatch:
        return mismatch
