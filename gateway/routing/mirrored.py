"""The stage before which a mirror stands: it answers as if there were none, and shows the mirror what it answered."""

from __future__ import annotations

from gateway.core.deadline import Clock
from gateway.core.errors import ModelFailed, WorkerFailed
from gateway.core.request import Answer, Enriched
from gateway.core.service import Service, function_of
from gateway.routing.mirror import Mirror

__all__ = ["Mirrored"]


class Mirrored:
    """``inner``, and its answers offered to the mirror. It stands where the rows are complete."""

    def __init__(self, mirror: Mirror, inner: Service[Enriched, Answer], clock: Clock) -> None:
        self._mirror, self._inner, self._clock = mirror, function_of(inner), clock

    async def __call__(self, request: Enriched, /) -> Answer:
        started = self._clock()
        try:
            answer = await self._inner(request)
        except (ModelFailed, WorkerFailed):
            self._mirror.offer(request, None, self._clock() - started)
            raise
        self._mirror.offer(request, answer, self._clock() - started)
        return answer
