"""What a channel gives to a generated stub for each of its methods: objects that make a call when they are called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from h2grpc import metadata as wire_metadata
from h2grpc.calls import Requests, StreamStreamCall, StreamUnaryCall, UnaryStreamCall, UnaryUnaryCall
from h2grpc.client_call import ClientCall, Method

if TYPE_CHECKING:
    from h2grpc.channel import Channel

__all__ = ["StreamStream", "StreamUnary", "UnaryStream", "UnaryUnary"]

Pairs: TypeAlias = Iterable[tuple[str, str | bytes]]


class _MultiCallable:
    __slots__ = ("_channel", "_method")

    def __init__(self, channel: Channel, method: Method) -> None:
        self._channel, self._method = channel, method

    def _make(
        self, timeout: float | None, metadata: Pairs | None, wait_for_ready: bool | None, compression: str | None
    ) -> ClientCall:
        channel = self._channel
        headers = wire_metadata.encode(metadata, channel.config.limits.max_metadata) if metadata else []
        return ClientCall(
            channel,
            self._method,
            headers,
            deadline=None if timeout is None else channel.clock() + timeout,
            waits_for_ready=bool(wait_for_ready),
            compression=channel.compression if compression is None else compression,
        )

    def _make_unary(
        self,
        request: Any,
        timeout: float | None,
        metadata: Pairs | None,
        wait_for_ready: bool | None,
        compression: str | None,
    ) -> ClientCall:
        call = self._make(timeout, metadata, wait_for_ready, compression)
        call.send(request)
        call.end()
        self._channel.submit(call)
        return call


class UnaryUnary(_MultiCallable):
    __slots__ = ()

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Pairs | None = None,
        wait_for_ready: bool | None = None,
        compression: str | None = None,
    ) -> UnaryUnaryCall:
        call = self._make_unary(request, timeout, metadata, wait_for_ready, compression)
        return UnaryUnaryCall(call, self._channel.clock)


class UnaryStream(_MultiCallable):
    __slots__ = ()

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Pairs | None = None,
        wait_for_ready: bool | None = None,
        compression: str | None = None,
    ) -> UnaryStreamCall:
        call = self._make_unary(request, timeout, metadata, wait_for_ready, compression)
        return UnaryStreamCall(call, self._channel.clock)


class StreamUnary(_MultiCallable):
    __slots__ = ()

    def __call__(
        self,
        request_iterator: Requests | None = None,
        *,
        timeout: float | None = None,
        metadata: Pairs | None = None,
        wait_for_ready: bool | None = None,
        compression: str | None = None,
    ) -> StreamUnaryCall:
        call = self._make(timeout, metadata, wait_for_ready, compression)
        self._channel.submit(call)
        return StreamUnaryCall(call, self._channel.clock, request_iterator)


class StreamStream(_MultiCallable):
    __slots__ = ()

    def __call__(
        self,
        request_iterator: Requests | None = None,
        *,
        timeout: float | None = None,
        metadata: Pairs | None = None,
        wait_for_ready: bool | None = None,
        compression: str | None = None,
    ) -> StreamStreamCall:
        call = self._make(timeout, metadata, wait_for_ready, compression)
        self._channel.submit(call)
        return StreamStreamCall(call, self._channel.clock, request_iterator)
