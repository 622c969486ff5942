"""
Admission: refuse at once when full. A queue here would only hide the delay.

It is the first stage, before anybody knows the caller or has decoded the body, so it counts what is known by then:
requests and their bytes. Rows and predicted waits are for the dispatch stage, which knows the model.
"""

from __future__ import annotations

from gateway.core.errors import Overloaded
from gateway.core.request import Answer, Received
from gateway.core.service import Service, function_of

__all__ = ["Admit"]


class Admit:
    """At most ``max_in_flight`` requests at a time whose bodies have at most ``max_bytes`` together."""

    def __init__(self, inner: Service[Received, Answer], *, max_in_flight: int, max_bytes: int) -> None:
        self._inner, self._max_in_flight, self._max_bytes = function_of(inner), max_in_flight, max_bytes
        self._in_flight = 0
        self._bytes = 0

    @property
    def in_flight(self) -> int:
        return self._in_flight

    @property
    def bytes_in_flight(self) -> int:
        return self._bytes

    async def __call__(self, request: Received, /) -> Answer:
        in_flight, size = self._in_flight, request.size
        together = self._bytes + size
        if in_flight >= self._max_in_flight:
            raise Overloaded(f"{in_flight} requests are in flight")
        # A body that is over the limit alone is let in alone: its size is the listener's business.
        if together > self._max_bytes and in_flight:
            raise Overloaded(f"{self._bytes} bytes of requests are in flight")
        self._in_flight = in_flight + 1
        self._bytes = together
        try:
            return await self._inner(request)
        finally:
            self._in_flight -= 1
            self._bytes -= size
