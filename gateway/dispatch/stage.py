"""
Dispatch as a stage of the request path: complete rows in, the model's answer out.

Its part of the timeline: ``queue`` ends when the rows leave for a worker and ``worker`` when the answer is back;
``compute`` is the worker's own figure, which lies within ``worker``. A request that never left spent all its time in
``queue``. All callers of a batch have the same marks, and are told by those who send it and take its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core.request import Answer, Deployment, Enriched
from gateway.dispatch.batcher import Batcher

__all__ = ["Dispatch"]


class Dispatch:
    """``Service[Enriched, Answer]``. ``batcher_of`` raises ``NotReady`` for a deployment that has left."""

    def __init__(self, batcher_of: Callable[[Deployment], Batcher]) -> None:
        self._batcher_of = batcher_of

    async def __call__(self, request: Enriched, /) -> Answer:
        deployment = request.deployment
        batcher = self._batcher_of(deployment)
        ticket = batcher.accept(request.rows, request.deadline, request.received.timeline)
        try:
            rows = await ticket.reply
        except asyncio.CancelledError:
            batcher.withdraw(ticket)
            raise
        return Answer(deployment, rows)
