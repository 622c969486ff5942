"""
What a connection tells its driver, in the order in which it happened. Slotted, unfrozen: they are made for each call.

A server's ``ServerCall`` is one of them itself: it says that the call has begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from h2grpc.status import Status

if TYPE_CHECKING:
    from h2grpc.call import Call
    from h2grpc.other import OtherRequest
    from h2grpc.server_call import ServerCall

__all__ = [
    "CallEnded",
    "CallHeaders",
    "CallLost",
    "ConnectionEnded",
    "Event",
    "GoingAway",
    "HalfClosed",
    "Message",
    "OtherArrived",
    "OtherLost",
]

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


class _OfCall:
    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call


class CallHeaders(_OfCall):
    """Client: the answer begins; its headers are in ``call.headers``."""

    __slots__ = ()


class Message(_OfCall):
    """
    One whole message, decompressed. Say ``consumed`` once its reader has it.

    Server: with ``is_last`` the caller sends no more: no ``HalfClosed`` follows, and no window waits for ``consumed``.
    """

    __slots__ = ("data", "is_last")

    def __init__(self, call: Call, data: bytes, is_last: bool = False) -> None:
        self.call, self.data, self.is_last = call, data, is_last


class HalfClosed(_OfCall):
    """Server: the caller sends no more."""

    __slots__ = ()


class CallLost(_OfCall):
    """
    Server: nobody waits for the answer any more, and none can be sent.

    ``status`` is CANCELLED if the caller left, DEADLINE_EXCEEDED if its time is up, UNAVAILABLE if the connection is
    gone, and another if the peer broke a rule and was told so.
    """

    __slots__ = ("details", "status")

    def __init__(self, call: Call, status: Status, details: str) -> None:
        self.call, self.status, self.details = call, status, details


class CallEnded(_OfCall):
    """Client: the outcome, from the server or, where it sent none, as the specification maps what happened instead."""

    __slots__ = ("details", "is_unprocessed", "status", "trailers")

    def __init__(
        self, call: Call, status: Status, details: str, trailers: Headers = (), *, is_unprocessed: bool = False
    ) -> None:
        self.call, self.status, self.details, self.trailers = call, status, details, trailers
        self.is_unprocessed = is_unprocessed
        """The server says that it did nothing with the call, so it may be sent again elsewhere."""


class OtherArrived:
    """Server: a request that is no gRPC, with its whole body."""

    __slots__ = ("request",)

    def __init__(self, request: OtherRequest) -> None:
        self.request = request


class OtherLost:
    """Server: the one that asked has left."""

    __slots__ = ("request",)

    def __init__(self, request: OtherRequest) -> None:
        self.request = request


class GoingAway:
    """The peer takes no new calls on this connection."""

    __slots__ = ("error_code",)

    def __init__(self, error_code: int) -> None:
        self.error_code = error_code


class ConnectionEnded:
    """Write what is left to send, then close the transport. The last event of a connection."""

    __slots__ = ("error_code", "reason")

    def __init__(self, error_code: int, reason: str) -> None:
        self.error_code, self.reason = error_code, reason


Event: TypeAlias = (
    "ServerCall | CallHeaders | Message | HalfClosed | CallLost | CallEnded"
    " | OtherArrived | OtherLost | GoingAway | ConnectionEnded"
)
