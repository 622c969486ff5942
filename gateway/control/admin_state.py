"""
What is served, on the admin API: the desired state as a whole and by its parts, its history, and how far it has come.

Reading takes the role ``read``, changing ``deploy``, on the endpoint that is meant or, for what concerns more than one,
on all. Everything brings an ``ETag``, the version of the whole state; a change of something whole must say in
``If-Match`` which one it was made for, and a change of weights may. ``?wait=<seconds>`` answers a change when every
process runs it, or when it was refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from gateway.control.admin_answer import StatusOf, caller_of, refusal
from gateway.control.admin_api import Readiness
from gateway.control.admin_operation import Handler, Operation
from gateway.control.admin_precondition import etag
from gateway.control.admin_query import wait_of
from gateway.control.admin_state_changing import Changing
from gateway.control.admin_state_forms import WorkerShown
from gateway.control.admin_state_operations import STATE_OPERATIONS
from gateway.control.admin_state_reading import Reading
from gateway.control.source import Conflict, ReadOnly
from gateway.control.state_desk import StateDesk
from gateway.core.errors import GatewayError, InvalidInput

__all__ = ["state_routes"]


def state_routes(
    desk: StateDesk,
    status_of: StatusOf,
    *,
    readiness: Callable[[], Awaitable[Readiness]],
    workers: Callable[[], Sequence[WorkerShown]],
) -> list[web.RouteDef]:
    """The routes, for ``serve_admin``. ``readiness`` tells how deployments do, ``workers`` of every process."""
    handlers = Reading(desk.reader, readiness, workers).handlers | Changing(desk.writer, status_of).handlers

    def fenced(operation: Operation) -> Handler:
        """Nobody gets in unknown, whatever they send; errors become answers."""
        handler = handlers[operation.name]

        async def handle(request: web.Request) -> web.Response:
            try:
                await desk.reader.looker(caller_of(request), request.match_info.get("endpoint"))
                wait_of(request)  # what is wrong with it is told before anything is changed
                return await handler(request, operation)
            except RecursionError:
                return refusal(InvalidInput("the body is nested too deeply"), status_of)
            except GatewayError as error:
                return _refused(error, status_of)

        return handle

    return [operation.route(fenced(operation)) for operation in STATE_OPERATIONS]


def _refused(error: GatewayError, status_of: StatusOf) -> web.Response:
    response = refusal(error, status_of)
    if isinstance(error, Conflict):
        response.headers["ETag"] = etag(error.found)
    elif isinstance(error, ReadOnly):
        response.headers["Allow"] = "GET, HEAD"
    return response
