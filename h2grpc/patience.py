"""
How long one request may take to arrive, and its answer to be taken: a peer that trickles is let go in the end.

Nothing of it is done for a call: what is overdue is found by looking around now and then, from the first time that it
was seen. So limits are kept late, by up to half of their length, and never early. A call that streams its requests has
the time that it likes, as its deadline says when it is over; so has a streamed answer until its status is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import ngh2

from h2grpc.call_state import OPEN, State
from h2grpc.counters import Counters
from h2grpc.limits import Limits
from h2grpc.other_protocol import OtherConnection

__all__ = ["PatientConnection"]

_LOOKS: Final = 4
"""How often to look in the time of a limit."""
_LEAST: Final = 0.02
"""Seconds between looks, however short the limit."""
_MANY: Final = 64
"""Answers before it is worth asking whether they have left."""


class PatientConnection(OtherConnection):
    __slots__ = ("_arriving", "_credit", "_credited", "_leaving", "_many")

    def __init__(self, limits: Limits, counters: Counters, now: float, *, serves_others: bool) -> None:
        super().__init__(limits, counters, now, serves_others=serves_others)
        self._arriving: dict[int, float] = {}
        """Streams whose request was not whole when last looked at, and since when."""
        self._leaving: dict[int, float] = {}
        """Likewise of answers."""
        self._many = _MANY
        self._credit = self._credited = 0
        """Answers that nobody has counted yet and that are not in the list any more; those in it that were counted."""

    def _late(self, stream_id: int, details: str) -> None:
        """The request did not arrive in time."""
        raise NotImplementedError

    def _check_patience(self, now: float) -> float:
        """Whoever has had all of his time; when to look again."""
        limits, at = self.limits, float("inf")
        if (most := limits.request_timeout) is not None:
            calls = [call.stream_id for call in self.calls.values() if _is_awaited(call.receiving, call.is_stream)]
            others = [request.stream_id for request in self._others.values() if request.parts is not None]
            self._arriving = _seen(self._arriving, [*calls, *others], now)
            for stream_id in [each for each, since in self._arriving.items() if now - since >= most]:
                self.counters["late"] += 1
                self._late(stream_id, f"the request did not arrive within {most:g} s")
            at = now + max(_LEAST, most / _LOOKS)
        if (most := limits.answer_timeout) is not None:
            self._settle()
            self._leaving = _seen(self._leaving, self._answered, now)
            for stream_id in [each for each, since in self._leaving.items() if now - since >= most]:
                self.counters["unread"] += 1
                self._reset_stream(stream_id, ngh2.ErrorCode.CANCEL)
            at = min(at, now + max(_LEAST, most / _LOOKS))
        return at

    def _settle(self) -> None:
        """Forget the answers that have left."""
        answered, unsent = self._answered, self._engine.queued_body_size
        self._credit += len(answered) - self._credited
        self._answered = [stream_id for stream_id in answered if unsent(stream_id)] if unsent() else []
        self._credited = len(self._answered)
        self._many = max(_MANY, 2 * self._credited)

    def _take_credit(self) -> int:
        """How many answers were made since the last time."""
        credit, self._credit = self._credit + len(self._answered) - self._credited, 0
        self._credited = len(self._answered)
        return credit


def _is_awaited(receiving: State, is_stream: bool) -> bool:
    return receiving is OPEN and not is_stream


def _seen(before: dict[int, float], streams: Iterable[int], now: float) -> dict[int, float]:
    return {stream_id: before.get(stream_id, now) for stream_id in streams}
