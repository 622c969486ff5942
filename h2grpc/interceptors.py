"""
Server interceptors as ``grpc.aio`` has them: each may look at a call's path and metadata and give another handler.

Only a server that has some pays for them. There it is not known whether a call takes one message or many before the
last interceptor has answered, which may take time; until then messages wait as those of a stream do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from h2grpc.context import ServicerContext
from h2grpc.handlers import CallDetails, Deserializer, Handlers, Method, MethodHandler, Serializer
from h2grpc.metadata import Metadata
from h2grpc.run_call import run, run_unary
from h2grpc.status import Status

__all__ = ["InterceptedHandlers", "ServerInterceptor"]

Continuation: TypeAlias = Callable[[Any], Awaitable[Any]]


class ServerInterceptor(Protocol):
    """As ``grpc.aio.ServerInterceptor``; classes of that are ones."""

    async def intercept_service(self, continuation: Continuation, handler_call_details: Any) -> Any:
        """A method handler, which ``continuation`` gives; None for a method that is not known."""


class InterceptedHandlers(Handlers):
    def __init__(self, interceptors: Sequence[ServerInterceptor]) -> None:
        super().__init__()
        self._first: Continuation = self._look_up
        for interceptor in reversed(interceptors):
            self._first = _Link(interceptor, self._first)
        self._method = Method(_Any(self._intercept))

    def register(self, service: str, handlers: Mapping[str, MethodHandler]) -> None:
        super().register(service, handlers)
        self.at_once.clear()

    def find(self, path: bytes, metadata: Metadata) -> Method | None:  # noqa: ARG002
        """For every path, as an interceptor may know what nobody else does."""
        return self._method

    async def _look_up(self, details: Any) -> MethodHandler | None:
        return self.find_handler(details)

    async def _intercept(self, context: ServicerContext, _: ServicerContext) -> None:
        path = context.path.decode("latin-1")
        handler = await self._first(CallDetails(path, context.invocation_metadata()))
        if handler is None:
            await context.abort(Status.UNIMPLEMENTED, f"the method {path} is not known")
        method = Method(handler)
        if not method.request_streaming:
            context.is_stream = False
            context.request = await context.only_message()
        context.method = method  # only now: until then what comes is put where a stream's messages wait
        if method.is_unary:
            await run_unary(context.driver, context, context.request)
        else:
            await run(context.driver, context)


class _Link:
    """One interceptor with all behind it."""

    __slots__ = ("_interceptor", "_next")

    def __init__(self, interceptor: ServerInterceptor, following: Continuation) -> None:
        self._interceptor, self._next = interceptor, following

    async def __call__(self, details: Any) -> Any:
        return await self._interceptor.intercept_service(self._next, details)


class _Any:
    """A handler for whatever comes; says nothing by itself."""

    request_streaming = response_streaming = True

    def __init__(self, behavior: Callable[..., Any]) -> None:
        self.request_deserializer: Deserializer | None = None
        self.response_serializer: Serializer | None = None
        self.unary_unary: Callable[..., Any] | None = None
        self.unary_stream: Callable[..., Any] | None = None
        self.stream_unary: Callable[..., Any] | None = None
        self.stream_stream: Callable[..., Any] | None = behavior
