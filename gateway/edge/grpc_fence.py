"""
One gRPC call in, one reply out: what every method has in common.

Errors become statuses through the one table, ids and timings go out as trailing metadata, and whoever keeps the record
of requests is told once. This is the edge's broad fence for gRPC: what escapes a handler is a defect, answered with
INTERNAL and logged with the id that the caller got.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import NoReturn, TypeVar

import structlog

from gateway.core.errors import Cancelled, Forbidden, GatewayError, Overloaded, Unauthenticated
from gateway.core.request import Received
from gateway.edge.grpc_call import GrpcCall
from gateway.edge.http_intake import DEPLOYMENT_HEADER
from gateway.edge.http_route import OnDone
from gateway.edge.status import status_of

__all__ = ["MAX_DETAILS", "GrpcFence"]

log = structlog.get_logger()

Reply = TypeVar("Reply")

_DEPLOYMENT = DEPLOYMENT_HEADER.encode()

MAX_DETAILS = 2000
"""Characters of an error: details travel as a header, and clients take 8 KiB of those by default."""


class GrpcFence:
    """Ends calls. ``on_done`` gets the number of the gRPC status where the HTTP server gives an HTTP status."""

    def __init__(self, *, new_id: Callable[[], str], on_done: OnDone, server_timing: bool) -> None:
        self._new_id, self._on_done, self._server_timing = new_id, on_done, server_timing

    async def control(self, call: GrpcCall, method: str, work: Callable[[], Awaitable[Reply]]) -> Reply:
        """A method that scores nothing: the reply of ``work``, or its error as a status."""
        try:
            reply = await work()
        except asyncio.CancelledError:
            self.gone(None)
            raise
        except GatewayError as error:
            failure, request_id = error.with_traceback(None), self._new_id()
        except Exception as crash:  # noqa: BLE001  # the fence
            request_id = self._new_id()
            failure = self.crashed(method, crash, request_id)
        else:
            self._on_done(None, 0, None)
            return reply
        return await self.refuse(call, None, failure, request_id)

    def answered(self, call: GrpcCall, received: Received, deployment: str) -> None:
        """Tell the caller, beside the answer, who gave it and where the time went."""
        timing = ""
        if self._server_timing:
            timeline = received.timeline
            timeline.answer = perf_counter_ns()
            timing = timeline.server_timing()
        if not received.request_id and hasattr(call, "set_trailing_headers"):
            # All of it was made here, in letters that need no check; see ``NAME`` of deployments.
            names = (b"x-request-id", received.id.encode()), (_DEPLOYMENT, deployment.encode())
            call.set_trailing_headers((*names, (b"server-timing", timing.encode())) if timing else names)
        else:
            trailers = [("x-request-id", received.id), (DEPLOYMENT_HEADER, deployment)]
            if received.request_id:
                trailers.append(("x-ms-client-request-id", received.request_id))
            if timing:
                trailers.append(("server-timing", timing))
            call.set_trailing_metadata(trailers)
        self._on_done(received, 0, None)

    def done(self, received: Received | None, error: GatewayError | None) -> None:
        """One request of a stream was answered; a stream has no metadata of its own for each."""
        self._on_done(received, 0 if error is None else _number(error), error)

    def gone(self, received: Received | None) -> None:
        """The caller left, or its deadline passed; either way nobody reads an answer."""
        error = Cancelled("the caller went away")
        self._on_done(received, _number(error), error)

    def crashed(self, method: str, crash: Exception, request_id: str) -> GatewayError:
        """What a caller hears of a defect; the rest is in the log."""
        log.error("edge.handler_crashed", request_id=request_id, method=method, exc_info=crash)
        return GatewayError("an unexpected error occurred; it is logged under the x-request-id of this answer")

    async def refuse(self, call: GrpcCall, received: Received | None, error: GatewayError, request_id: str) -> NoReturn:
        """End the call with the error's status."""
        trailers = [("x-request-id", request_id)]
        if isinstance(error, Overloaded):
            # gRPC's own word for Retry-After (gRFC A6); clients that retry obey it.
            trailers.append(("grpc-retry-pushback-ms", str(max(1, round(error.retry_after * 1000)))))
        elif isinstance(error, (Unauthenticated, Forbidden)):
            trailers.append(("www-authenticate", error.challenge))
        if received is not None:
            if received.request_id:
                trailers.append(("x-ms-client-request-id", received.request_id))
            if self._server_timing:
                received.timeline.answer = perf_counter_ns()
                trailers.append(("server-timing", received.timeline.server_timing()))
        call.set_trailing_metadata(trailers)
        self._on_done(received, _number(error), error)
        await call.abort(status_of(error).grpc, str(error)[:MAX_DETAILS])

    def id_of(self, received: Received | None) -> str:
        """The request's id, or a fresh one where it never became a request."""
        return received.id if received is not None else self._new_id()


def _number(error: GatewayError) -> int:
    number: int = status_of(error).grpc.value[0]
    return number
