"""
Where the time of one request went: a mark at the end of each stage, read when the answer is encoded and when requests
are counted.

There is one slot per stage, in the order of the way of a request. A stage writes the clock there, ``timeline.auth =
perf_counter_ns()``, which costs little more than reading the clock, so it is always on; what took how long is computed
by those who ask. A request that ended early has empty slots.
"""

from __future__ import annotations

from time import perf_counter_ns

from msgspec import Struct, field

__all__ = ["MARKS", "Timeline"]

MARKS = ("receive", "auth", "route", "features", "queue", "worker", "answer")
"""The stages that are marked, in the order in which they end."""

_NS = 1_000_000_000

_SHORT = 10_000
_SHORT_NS = _SHORT * 1000
_TEXTS = tuple([f"{us / 1000:.3f}" for us in range(_SHORT)])
"""Microseconds → milliseconds as text. To look up a text takes a tenth of the time that making it takes."""


class Timeline(Struct, gc=False):
    """
    The marks of one request: nanoseconds on the clock ``perf_counter_ns``, 0 where there is none.

    A ``Struct`` because those are made without a line of Python, and ``gc=False`` because nothing in it refers to
    anything.
    """

    started: int = field(default_factory=perf_counter_ns)
    receive: int = 0
    """The request is read, but for its body."""
    auth: int = 0
    route: int = 0
    features: int = 0
    queue: int = 0
    """Its rows leave for a worker, or it is over and they never did."""
    worker: int = 0
    answer: int = 0
    done: int = 0
    """When it was counted, where there is no ``answer``; no stage ends there."""
    compute: int = -1
    """How long, not when; the worker's own figure, within ``worker``. Negative where there is none."""

    @property
    def stages(self) -> list[tuple[str, float]]:
        """Those that ended, in their order, each with its seconds."""
        found, at = [], self.started
        for stage in MARKS:
            ended: int = getattr(self, stage)
            if ended:
                found.append((stage, (ended - at) / _NS))
                at = ended
            if stage == "worker" and self.compute >= 0:
                found.append(("compute", self.compute / _NS))
        return found

    def total(self) -> float:
        """Seconds since the request was received."""
        return (perf_counter_ns() - self.started) / _NS

    def server_timing(self) -> str:
        """The ``Server-Timing`` header's value (W3C Server Timing): durations in milliseconds, cut to microseconds."""
        if self.compute >= 0:
            texts = _TEXTS
            try:
                if self.answer - self.started < _SHORT_NS:
                    return (
                        f"receive;dur={texts[(self.receive - self.started) // 1000]}"
                        f", auth;dur={texts[(self.auth - self.receive) // 1000]}"
                        f", route;dur={texts[(self.route - self.auth) // 1000]}"
                        f", features;dur={texts[(self.features - self.route) // 1000]}"
                        f", queue;dur={texts[(self.queue - self.features) // 1000]}"
                        f", worker;dur={texts[(self.worker - self.queue) // 1000]}"
                        f", compute;dur={texts[self.compute // 1000]}"
                        f", answer;dur={texts[(self.answer - self.worker) // 1000]}"
                    )
                # What the load and the model decide about may be long.
                receive = (self.receive - self.started) // 1000
                queue = (self.queue - self.features) // 1000
                worker = (self.worker - self.queue) // 1000
                compute = self.compute // 1000
                answer = (self.answer - self.worker) // 1000
                return (
                    f"receive;dur={texts[receive] if receive < _SHORT else f'{receive / 1000:.3f}'}"
                    f", auth;dur={texts[(self.auth - self.receive) // 1000]}"
                    f", route;dur={texts[(self.route - self.auth) // 1000]}"
                    f", features;dur={texts[(self.features - self.route) // 1000]}"
                    f", queue;dur={texts[queue] if queue < _SHORT else f'{queue / 1000:.3f}'}"
                    f", worker;dur={texts[worker] if worker < _SHORT else f'{worker / 1000:.3f}'}"
                    f", compute;dur={texts[compute] if compute < _SHORT else f'{compute / 1000:.3f}'}"
                    f", answer;dur={texts[answer] if answer < _SHORT else f'{answer / 1000:.3f}'}"
                )
            except IndexError:
                # Another stage took long, or one has no mark: then the difference is not of this table either, because
                # the clock does not begin at 0.
                pass
        return self._spelled()

    def _spelled(self) -> str:
        """The same for any request; under overload most are refused, so this is not slow either."""
        parts, at = [], self.started
        marks = (self.receive, self.auth, self.route, self.features, self.queue, self.worker, self.answer)
        for stage, ended in zip(MARKS, marks, strict=True):
            if ended:
                us = (ended - at) // 1000
                parts.append(f"{stage};dur={_TEXTS[us] if 0 <= us < _SHORT else f'{us / 1000:.3f}'}")
                at = ended
        if self.compute >= 0:
            us = self.compute // 1000
            place = -1 if self.answer else len(parts)
            parts.insert(place, f"compute;dur={_TEXTS[us] if 0 <= us < _SHORT else f'{us / 1000:.3f}'}")
        return ", ".join(parts)
