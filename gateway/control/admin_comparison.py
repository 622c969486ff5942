"""
What shadows answer otherwise than their primaries, on the admin API.

It takes a caller with the role ``read`` on the endpoint. ``…/comparison`` is the report; ``…/comparison/state`` is what
it is made from, which can be added up: a supervisor asks its gateways for that.

Every role brings ``read``, also that of who may only score. What others have sent is not theirs to see: inputs of rows,
where they are kept, are for who holds ``deploy`` on the endpoint, and left out for everybody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from gateway.control.admin_answer import StatusOf, caller_of, json_answer, refusal
from gateway.control.admin_operation import Operation
from gateway.core.access import Access, Role
from gateway.core.errors import GatewayError

__all__ = ["COMPARISON_OPERATIONS", "comparison_routes"]

_PATH = "/endpoints/{endpoint}/comparison"

COMPARISON_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="getComparison",
        method="GET",
        path=_PATH,
        summary="What the endpoint's shadows answer otherwise than its primary",
        role=Role.READ,
        answer=dict[str, Any],
        errors=(404, 503),
    ),
    Operation(
        name="getComparisonState",
        method="GET",
        path=f"{_PATH}/state",
        summary="What the report is made from, which can be added up over processes",
        role=Role.READ,
        answer=dict[str, Any],
        errors=(404, 503),
    ),
)


def comparison_routes(
    access: Access,
    state: Callable[[str, str | None], Awaitable[Any]],
    report: Callable[[Any], Any],
    without_inputs: Callable[[Any], Any],
    status_of: StatusOf,
) -> list[web.RouteDef]:
    """
    The routes, for ``serve_admin``. ``state`` is given the endpoint and the caller's credential, to ask others with it;
    ``without_inputs`` makes another state of one, and leaves that one as it is.
    """

    async def answer(request: web.Request, shown: Callable[[Any], Any]) -> web.Response:
        endpoint, caller = request.match_info["endpoint"], caller_of(request)
        try:
            principal = await access(caller, endpoint, Role.READ)
            found = await state(endpoint, caller.credential)
            return json_answer(shown(found if principal.may(Role.DEPLOY, endpoint) else without_inputs(found)))
        except GatewayError as error:
            return refusal(error, status_of)

    async def reported(request: web.Request) -> web.Response:
        return await answer(request, report)

    async def plain(request: web.Request) -> web.Response:
        return await answer(request, lambda value: value)

    return [
        operation.route(handler) for operation, handler in zip(COMPARISON_OPERATIONS, (reported, plain), strict=True)
    ]
