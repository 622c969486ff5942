"""
One caller's place in line: its rows, its deadline and the future it waits on.

A ticket resolves exactly once. Whoever comes later, be it the reply after the deadline or the deadline after the
reply, finds it done and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from gateway.core.deadline import Deadline
from gateway.core.errors import GatewayError
from gateway.core.rows import Rows
from gateway.core.timeline import Timeline

__all__ = ["Ticket", "TicketOfOneTry", "fresh"]


class Ticket(msgspec.Struct, eq=False):
    """
    Compared by identity, so that it can be a key.

    One is made per request, and a struct of msgspec takes a third of the time of a class with ``__init__``.
    """

    has_one_try: ClassVar[bool] = False
    """Whether its rows are not scored again when a worker was lost with them. Of the class: it costs others nothing."""

    rows: Rows
    deadline: Deadline
    reply: asyncio.Future[Rows]
    born: float
    """When it came, on the batcher's clock."""
    timeline: Timeline | None = None
    """Told when the rows first leave and when it is over. A part has none: its whole's is told."""
    parent: Ticket | None = None
    parts: Sequence[Ticket] = ()
    """Of a request larger than one batch: the tickets that really stand in line."""
    answered: int = 0
    """So many of its parts, from the first on, were found answered; they are not looked at again."""
    compute: float = 0.0
    """Seconds that the model took for those of its parts that are answered."""
    left: float = 0.0
    """When its rows first left for a worker; 0 while they wait."""

    @property
    def is_done(self) -> bool:
        return self.reply.done()

    @property
    def is_answered(self) -> bool:
        """Done, and well so."""
        reply = self.reply
        return reply.done() and not reply.cancelled() and reply.exception() is None

    def fail(self, error: GatewayError) -> bool:
        """Whether this was news to the caller, who gets a copy of his own."""
        if self.reply.done():
            return False
        self.reply.set_exception(fresh(error))
        return True

    def leave(self, now: float, mark: int) -> None:
        """A part of it is on its way to a worker, and the first one counts; ``mark`` is for the timeline."""
        if not self.left:
            self.left = now
            if self.timeline is not None:
                self.timeline.queue = mark

    def give_up(self, mark: int) -> None:
        """It is over without an answer, unless there is one already."""
        timeline = self.timeline
        if timeline is None:
            return
        if not self.left:
            timeline.queue = mark
        elif not timeline.worker:
            timeline.worker = mark


class TicketOfOneTry(Ticket, eq=False):
    """Of whoever would rather have no answer: a mirror, whose request may be what kills workers."""

    has_one_try: ClassVar[bool] = True


def fresh(error: GatewayError) -> GatewayError:
    """
    An equal error that nobody else raises: a shared one would gather the tracebacks of every caller.

    Not ``copy.copy``, which calls the class with ``args`` alone and fails where the constructor wants more.
    """
    twin = type(error).__new__(type(error))
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    return twin
