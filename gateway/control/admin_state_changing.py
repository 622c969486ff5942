"""
The admin API's changes of what is served.

A change of something whole must say in ``If-Match`` which version it was made for, and a change of weights may. The
answer tells what has become of it: of a refused one with the reason, and the status that such a reason has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from gateway.control import changes
from gateway.control.admin_answer import StatusOf, caller_of
from gateway.control.admin_body import read_body
from gateway.control.admin_operation import Operation
from gateway.control.admin_precondition import seen_version, versioned
from gateway.control.admin_query import endpoint_of, wait_of
from gateway.control.admin_state_forms import STATE_BYTES, Applied, RollbackBody, StateBody
from gateway.control.change_errors import ChangeRefused
from gateway.control.document import Document
from gateway.control.state_writer import StateWriter, Written
from gateway.core.errors import InvalidInput

__all__ = ["Changing"]

_BODY_BYTES = 64 * 1024
_SHOWN = 64
"""Characters of a name from a body that an error repeats."""


class Changing:
    """``handlers`` by the name of the operation."""

    def __init__(self, writer: StateWriter, status_of: StatusOf) -> None:
        self._writer, self._status_of = writer, status_of
        self.handlers: dict[str, Callable[[web.Request, Operation], Awaitable[web.Response]]] = {
            "putState": self._put_state,
            "mergeState": self._merge_state,
            "rollback": self._rollback,
            "loadModel": partial(self._set_loaded, is_loaded=True),
            "unloadModel": partial(self._set_loaded, is_loaded=False),
            "putEndpoint": self._put_endpoint,
            "deleteEndpoint": self._delete_endpoint,
            "setTraffic": partial(self._set_percents, change=changes.set_traffic),
            "setMirror": partial(self._set_percents, change=changes.set_mirror),
            "putDeployment": self._put_deployment,
            "deleteDeployment": self._delete_deployment,
        }

    async def _put_state(self, request: web.Request, operation: Operation) -> web.Response:
        seen = seen_version(request, operation.precondition)
        body = await read_body(request, StateBody, STATE_BYTES)
        written = await self._writer.replace(caller_of(request), body.endpoints, body.views, seen)
        return await self._applied(request, written)

    async def _merge_state(self, request: web.Request, operation: Operation) -> web.Response:
        seen = seen_version(request, operation.precondition)
        body = await read_body(request, StateBody, STATE_BYTES)
        written = await self._writer.merge(caller_of(request), body.endpoints, body.views, seen)
        return await self._applied(request, written)

    async def _rollback(self, request: web.Request, operation: Operation) -> web.Response:
        seen = seen_version(request, operation.precondition)
        body = await read_body(request, RollbackBody, _BODY_BYTES)
        written = await self._writer.rollback(
            caller_of(request), body.version, seen, with_new_files=body.with_new_files
        )
        return await self._applied(request, written)

    async def _set_loaded(self, request: web.Request, operation: Operation, *, is_loaded: bool) -> web.Response:
        seen, endpoint, caller = seen_version(request, operation.precondition), endpoint_of(request), caller_of(request)
        if is_loaded:
            return await self._applied(request, await self._writer.load(caller, endpoint, seen))
        written = await self._writer.change_endpoint(
            caller, endpoint, seen, lambda document: changes.set_loaded(document, endpoint, is_loaded=False)
        )
        return await self._applied(request, written)

    async def _put_endpoint(self, request: web.Request, operation: Operation) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), endpoint_of(request)
        settings = await read_body(request, dict[str, Any], STATE_BYTES)
        written = await self._writer.change_endpoint(
            caller_of(request),
            endpoint,
            seen,
            lambda document: changes.put_endpoint(document, endpoint, settings),
            settings,
        )
        return await self._applied(request, written)

    async def _delete_endpoint(self, request: web.Request, operation: Operation) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), endpoint_of(request)
        written = await self._writer.change_endpoint(
            caller_of(request), endpoint, seen, lambda document: changes.delete_endpoint(document, endpoint)
        )
        return await self._applied(request, written)

    async def _set_percents(
        self,
        request: web.Request,
        operation: Operation,
        *,
        change: Callable[[Document, str, Mapping[str, int]], Document],
    ) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), endpoint_of(request)
        percents = await read_body(request, dict[str, Any], _BODY_BYTES)
        for name, percent in percents.items():
            if type(percent) is not int or not 0 <= percent <= 100:  # nor a boolean
                raise InvalidInput(f"{name[:_SHOWN]}: expected a whole number from 0 to 100")
        written = await self._writer.change_endpoint(
            caller_of(request), endpoint, seen, lambda document: change(document, endpoint, percents)
        )
        return await self._applied(request, written)

    async def _put_deployment(self, request: web.Request, operation: Operation) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), endpoint_of(request)
        name = request.match_info["name"]
        settings = await read_body(request, dict[str, Any], _BODY_BYTES)
        written = await self._writer.change_endpoint(
            caller_of(request),
            endpoint,
            seen,
            lambda document: changes.put_deployment(document, endpoint, name, settings),
            {"deployments": {name: settings}},
        )
        return await self._applied(request, written)

    async def _delete_deployment(self, request: web.Request, operation: Operation) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), endpoint_of(request)
        name = request.match_info["name"]
        written = await self._writer.change_endpoint(
            caller_of(request), endpoint, seen, lambda document: changes.delete_deployment(document, endpoint, name)
        )
        return await self._applied(request, written)

    async def _applied(self, request: web.Request, written: Written) -> web.Response:
        version = written.document.version
        outcome, progress = await self._writer.outcome(written, wait_of(request))
        refused = progress.refused.reason if outcome == "refused" and progress.refused else ""
        answer = Applied(
            version=version,
            what=written.document.entry.what,
            changes=written.changes,
            outcome=outcome,
            running=progress.running,
            reason=refused,
        )
        if outcome != "refused":
            return versioned(answer, written.document, 202 if outcome == "pending" else 200)
        status, word = self._status_of(ChangeRefused(refused))
        told = {"error": {"code": word, "message": refused}, **msgspec.to_builtins(answer)}
        return versioned(told, written.document, status)
