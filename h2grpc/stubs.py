"""What a generated stub asks of a channel: an object to call for each of its methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from h2grpc.client_call import Method
from h2grpc.multicallable import StreamStream, StreamUnary, UnaryStream, UnaryUnary

if TYPE_CHECKING:
    from h2grpc.channel import Channel

__all__ = ["Stubs"]


class Stubs:
    """The part of ``grpc.aio.Channel`` that makes them; a ``Channel`` is one."""

    @property
    def _caller(self) -> Channel:
        raise NotImplementedError

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> UnaryUnary:
        return UnaryUnary(self._caller, Method(method.encode(), request_serializer, response_deserializer, True))

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> UnaryStream:
        return UnaryStream(self._caller, Method(method.encode(), request_serializer, response_deserializer, False))

    def stream_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> StreamUnary:
        return StreamUnary(self._caller, Method(method.encode(), request_serializer, response_deserializer, True))

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> StreamStream:
        return StreamStream(self._caller, Method(method.encode(), request_serializer, response_deserializer, False))
