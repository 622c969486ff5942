"""Both ends of an h2grpc connection joined in memory: no socket, no clock, chunks cut where a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from h2grpc.call import Call
from h2grpc.client_protocol import ClientConnection
from h2grpc.counters import Counters
from h2grpc.events import CallEnded, Event
from h2grpc.limits import Limits
from h2grpc.server_call import ServerCall
from h2grpc.server_protocol import ServerConnection

__all__ = ["Wire", "calls_of", "of"]

E = TypeVar("E")

Cut = Callable[[bytes], Iterable[bytes]]


class Wire:
    """``pump`` carries bytes until neither side has more to say; events gather in ``at_server`` and ``at_client``."""

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        client_limits: Limits | None = None,
        serves_others: bool = False,
        cut: Cut = lambda data: [data],
        greet: bool = True,
    ) -> None:
        self.now = 100.0
        self.counters = Counters()
        self.server = ServerConnection(limits or Limits(), self.counters, self.now, serves_others=serves_others)
        self.client = ClientConnection(client_limits or Limits(), Counters(), self.now, authority="test")
        self.at_server: list[Event] = []
        self.at_client: list[Event] = []
        self._cut = cut
        if greet:
            self.pump()

    def pump(self) -> None:
        while True:
            up = self.client.data_to_send()
            for chunk in self._cut(up) if up else ():
                self.server.receive(chunk, self.now)
            down = self.server.data_to_send()
            for chunk in self._cut(down) if down else ():
                self.client.receive(chunk, self.now)
            self.at_server += self.server.events()
            self.at_client += self.client.events()
            if not up and not down:
                return

    def later(self, seconds: float) -> None:
        """Time passes at both ends, in the steps that they ask for."""
        end = self.now + seconds
        while True:
            self.now = min(end, max(self.now, min(self.server.next_wake, self.client.next_wake)))
            self.server.tick(self.now)
            self.client.tick(self.now)
            self.pump()
            if self.now >= end:
                return

    def begin(self, *messages: bytes, ends: bool = True, **options: Any) -> tuple[Call, ServerCall]:
        """The same call as each end sees it."""
        call = self.client.start(b"/t.Echo/echo", self.now, **options)
        for message in messages:
            self.client.send_message(call, message)
        if ends:
            self.client.end(call)
        self.pump()
        return call, calls_of(self.at_server)[-1]

    @property
    def outcome(self) -> CallEnded:
        return of(self.at_client, CallEnded)[-1]


def of(events: list[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def calls_of(events: list[Event]) -> list[ServerCall]:
    return of(events, ServerCall)
