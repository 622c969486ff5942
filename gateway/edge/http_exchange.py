"""
One request in, one response out: what every route has in common.

Errors become the family's error body, the headers that all answers carry are added, and whoever keeps the record of
requests is told once. This is the edge's broad fence: what escapes a handler is a defect, answered with 500 and logged
with the id that the caller got.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil
from time import perf_counter_ns

import structlog

from gateway.core.errors import (
    Cancelled,
    Forbidden,
    GatewayError,
    InvalidInput,
    MethodNotAllowed,
    Overloaded,
    Unauthenticated,
)
from gateway.edge.cors import Cors
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.http_route import EncodeError, OnDone, Route
from gateway.edge.http_router import HttpRouter
from gateway.edge.status import status_of

__all__ = ["HttpExchange"]

log = structlog.get_logger()

_MAX_TEXT = 2000
"""Characters of an error, as over gRPC."""


class HttpExchange:
    """Answers any request."""

    def __init__(
        self,
        router: HttpRouter,
        *,
        new_id: Callable[[], str],
        on_done: OnDone,
        server_timing: bool = True,
        cors: Cors | None = None,
    ) -> None:
        self._router, self._new_id, self._on_done, self._server_timing = router, new_id, on_done, server_timing
        self._cors, self._remembered = cors, router.remembered

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        """Never raises but ``CancelledError``."""
        request.id = self._new_id()
        if self._cors is not None and (allowed := self._cors.preflight(request)) is not None:
            return self._finish(request, allowed, None)
        route: Route | None = None
        error: GatewayError
        try:
            asked = request.method, request.path
            route, captures = self._remembered.get(asked) or self._router.resolve(*asked)
            response = await route.handler(request, captures)
        except asyncio.CancelledError:
            # The caller left, or the drain ran out of time; either way nobody reads an answer.
            gone = Cancelled("the caller went away")
            call, request.call = request.call, None
            self._on_done(call, status_of(gone).http, gone)
            raise
        except MethodNotAllowed as wrong:
            if request.method == "OPTIONS":
                allow = HttpResponse(204, content_type="", headers=[("Allow", ", ".join(wrong.allowed))])
                return self._finish(request, allow, None)
            error = wrong.with_traceback(None)
        except GatewayError as expected:
            # Its traceback holds this frame, which holds the error: under overload thousands of such circles a second
            # would wait for the garbage collector, which then stops everything for tens of milliseconds.
            error = expected.with_traceback(None)
        except RecursionError:
            # Nesting that the decoder still took can be too deep for whoever walks through it.
            error = InvalidInput("the body is nested too deeply")
        except Exception:
            log.exception("edge.handler_crashed", request_id=request.id, method=request.method, path=request.path[:200])
            error = GatewayError("an unexpected error occurred; it is logged under the x-request-id of this answer")
        else:
            return self._finish(request, response, None)
        refusal = self._refusal(request, error, route.encode_error if route is not None else None)
        return self._finish(request, refusal, error)

    def refuse(self, request: HttpRequest, error: GatewayError) -> HttpResponse:
        """The answer to a request that could not even be read."""
        request.id = self._new_id()
        return self._finish(request, self._refusal(request, error, None), error)

    def _refusal(self, request: HttpRequest, error: GatewayError, encode_error: EncodeError | None) -> HttpResponse:
        text = str(error)
        if len(text) > _MAX_TEXT:  # it repeats a name, and names can be as long as a body
            error.args = (text[:_MAX_TEXT] + "…",)
        response = (encode_error or self._router.encode_error_for(request.path))(error)
        headers = response.headers
        if isinstance(error, Overloaded):
            headers.append(("Retry-After", str(max(1, ceil(error.retry_after)))))
        elif response.status in (429, 503):
            headers.append(("Retry-After", "1"))
        if isinstance(error, (Unauthenticated, Forbidden)):
            # Managed endpoints answer 401 to what is forbidden, and no 401 may be without it.
            headers.append(("WWW-Authenticate", error.challenge))
        elif isinstance(error, MethodNotAllowed):
            headers.append(("Allow", ", ".join(error.allowed)))
        return response

    def _finish(self, request: HttpRequest, response: HttpResponse, error: GatewayError | None) -> HttpResponse:
        response.id = request.id
        if self._cors is not None:
            self._cors.mark(request, response)
        call = request.call
        if call is not None:
            response.caller_id = call.request_id
            if self._server_timing:
                timeline = call.timeline
                timeline.answer = perf_counter_ns()
                response.timing = timeline.server_timing()
            # Each may know the other, and the body with them: it is not to wait for the garbage collector.
            request.call = None
        self._on_done(call, response.status, error)
        return response
