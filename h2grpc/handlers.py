"""
Which code answers which path.

Takes the handler objects that generated ``add_…Servicer_to_server`` functions make, by their attributes alone; grpcio
need not be there. A handler may be a coroutine function or an async generator function; a plain function
runs on the event loop and must not block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any, NamedTuple, Protocol, TypeAlias

from h2grpc.errors import WireError
from h2grpc.metadata import Metadata

__all__ = ["CallDetails", "GenericHandler", "Handlers", "Method", "MethodHandler"]

Deserializer: TypeAlias = Callable[[bytes], Any]
Serializer: TypeAlias = Callable[[Any], bytes]


class MethodHandler(Protocol):
    """As ``grpc.RpcMethodHandler``."""

    request_streaming: bool
    response_streaming: bool
    request_deserializer: Deserializer | None
    response_serializer: Serializer | None
    unary_unary: Callable[..., Any] | None
    unary_stream: Callable[..., Any] | None
    stream_unary: Callable[..., Any] | None
    stream_stream: Callable[..., Any] | None


class CallDetails(NamedTuple):
    """As ``grpc.HandlerCallDetails``."""

    method: str
    invocation_metadata: Metadata


class GenericHandler(Protocol):
    """As ``grpc.GenericRpcHandler``."""

    def service(self, handler_call_details: Any) -> Any:
        """A ``MethodHandler``, or None for a method that it does not know."""


class Method:
    """A handler as the server uses it; the attributes are read once."""

    __slots__ = (
        "behavior",
        "deserialize",
        "is_coroutine",
        "is_unary",
        "request_streaming",
        "response_streaming",
        "serialize",
    )

    def __init__(self, handler: MethodHandler) -> None:
        self.request_streaming, self.response_streaming = handler.request_streaming, handler.response_streaming
        self.deserialize: Deserializer = handler.request_deserializer or _as_it_is
        self.serialize: Serializer | None = handler.response_serializer
        """None where handlers answer in bytes."""
        if handler.request_streaming:
            behavior = handler.stream_stream if handler.response_streaming else handler.stream_unary
        else:
            behavior = handler.unary_stream if handler.response_streaming else handler.unary_unary
        if behavior is None:
            raise TypeError("a handler without a function for its kind of call")
        self.behavior: Callable[..., Any] = behavior
        self.is_unary = not (handler.request_streaming or handler.response_streaming)
        self.is_coroutine = iscoroutinefunction(behavior)

    def read(self, data: bytes | None) -> Any:
        """A request out of its bytes; ``UnreadableMessage`` if it is none."""
        try:
            return self.deserialize(data)  # type: ignore[arg-type]  # there is one when a handler starts
        except Exception as error:  # the fence around deserializers
            raise UnreadableMessage("the message cannot be read as what the method takes") from error


class UnreadableMessage(WireError):
    """Its status is the one that grpcio gives it."""


class Handlers:
    """Methods by path. Registered ones are found at once; generic ones are asked for each call, in order."""

    def __init__(self) -> None:
        self.at_once: dict[bytes, Method] = {}
        """Those by path for which nobody has to be asked; the others are what ``find`` is for."""
        self._handlers: dict[str, MethodHandler] = {}
        self._generic: list[GenericHandler] = []

    def register(self, service: str, handlers: Mapping[str, MethodHandler]) -> None:
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            self.at_once[path.encode()], self._handlers[path] = Method(handler), handler

    def add(self, handlers: Sequence[GenericHandler]) -> None:
        self._generic.extend(handlers)

    def find(self, path: bytes, metadata: Metadata) -> Method | None:
        if (method := self.at_once.get(path)) is not None:
            return method
        if not self._generic:
            return None
        handler = self.find_handler(CallDetails(path.decode("latin-1"), metadata))
        return None if handler is None else Method(handler)

    def find_handler(self, details: CallDetails) -> MethodHandler | None:
        """As it was given to the server."""
        if (handler := self._handlers.get(details.method)) is not None:
            return handler
        for generic in self._generic:
            found: MethodHandler | None = generic.service(details)
            if found is not None:
                return found
        return None


def _as_it_is(message: Any) -> Any:
    return message
