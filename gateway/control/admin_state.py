"""
What is served, on the admin API: the desired state as a whole and by its parts, its history, and how far it has come.

Reading takes the role ``read``, changing ``deploy``, on the endpoint that is meant or, for what concerns more than one,
on all. Everything brings an ``ETag``, the version of the whole state; a change of something whole must say in
``If-Match`` which one it was made for, and a change of weights may. ``?wait=<seconds>`` answers a change when every
process runs it, or when it was refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from gateway.control import changes
from gateway.control.admin_answer import StatusOf, caller_of, json_answer, refusal
from gateway.control.admin_api import Readiness
from gateway.control.admin_body import read_body
from gateway.control.admin_operation import Handler, Operation
from gateway.control.admin_precondition import etag, seen_version
from gateway.control.admin_shown import (
    endpoints_shown,
    mirror_of,
    models_shown,
    state_shown,
    traffic_of,
    workers_shown,
)
from gateway.control.admin_state_forms import (
    Applied,
    Differences,
    History,
    PastState,
    RollbackBody,
    StateBody,
    StatusShown,
    WorkerShown,
)
from gateway.control.admin_state_operations import ENTRIES, LONGEST_WAIT, MOST_ENTRIES, STATE_OPERATIONS
from gateway.control.change_errors import ChangeRefused
from gateway.control.document import Document
from gateway.control.source import Conflict, ReadOnly
from gateway.control.state_desk import StateDesk, Written
from gateway.core.errors import GatewayError, InvalidInput, NotFound

__all__ = ["state_routes"]

_STATE_BYTES = 1024 * 1024
_BODY_BYTES = 64 * 1024


def state_routes(
    desk: StateDesk,
    status_of: StatusOf,
    *,
    readiness: Callable[[], Awaitable[Readiness]],
    workers: Callable[[], Sequence[WorkerShown]],
) -> list[web.RouteDef]:
    """The routes, for ``serve_admin``. ``readiness`` tells how deployments do, ``workers`` of every process."""
    made = _Routes(desk, status_of, readiness, workers)
    return [operation.route(made.fenced(operation)) for operation in STATE_OPERATIONS]


class _Routes:
    def __init__(
        self,
        desk: StateDesk,
        status_of: StatusOf,
        readiness: Callable[[], Awaitable[Readiness]],
        workers: Callable[[], Sequence[WorkerShown]],
    ) -> None:
        self._desk, self._status_of, self._readiness, self._workers = desk, status_of, readiness, workers
        load = partial(self._set_loaded, is_loaded=True)
        unload = partial(self._set_loaded, is_loaded=False)
        self._handlers: dict[str, Callable[[web.Request, Operation], Awaitable[web.Response]]] = {
            "getState": self._state,
            "putState": self._put_state,
            "mergeState": self._merge_state,
            "diff": self._diff,
            "getStatus": self._status,
            "listHistory": self._history,
            "getVersion": self._past,
            "rollback": self._rollback,
            "listWorkers": self._list_workers,
            "listModels": self._models,
            "loadModel": load,
            "unloadModel": unload,
            "listEndpoints": self._endpoints,
            "getEndpoint": self._endpoint,
            "putEndpoint": self._put_endpoint,
            "deleteEndpoint": self._delete_endpoint,
            "getTraffic": partial(self._percents, shown=traffic_of),
            "setTraffic": partial(self._set_percents, change=changes.set_traffic),
            "getMirror": partial(self._percents, shown=mirror_of),
            "setMirror": partial(self._set_percents, change=changes.set_mirror),
            "getDeployment": self._deployment,
            "putDeployment": self._put_deployment,
            "deleteDeployment": self._delete_deployment,
        }

    def fenced(self, operation: Operation) -> Handler:
        """Nobody gets in unknown, whatever they send; errors become answers."""
        handler = self._handlers[operation.name]

        async def handle(request: web.Request) -> web.Response:
            try:
                await self._desk.reader(caller_of(request), request.match_info.get("endpoint"))
                _wait(request)  # what is wrong with it is told before anything is changed
                return await handler(request, operation)
            except RecursionError:
                return refusal(InvalidInput("the body is nested too deeply"), self._status_of)
            except GatewayError as error:
                return self._refused(error)

        return handle

    async def _state(self, request: web.Request, _: Operation) -> web.Response:
        document = await self._desk.state(caller_of(request))
        return _versioned(state_shown(document), document)

    async def _put_state(self, request: web.Request, operation: Operation) -> web.Response:
        seen = seen_version(request, operation.precondition)
        body = await read_body(request, StateBody, _STATE_BYTES)
        written = await self._desk.replace(caller_of(request), body.endpoints, body.views, seen)
        return await self._applied(request, written)

    async def _merge_state(self, request: web.Request, operation: Operation) -> web.Response:
        seen = seen_version(request, operation.precondition)
        body = await read_body(request, StateBody, _STATE_BYTES)
        written = await self._desk.merge(caller_of(request), body.endpoints, body.views, seen)
        return await self._applied(request, written)

    async def _diff(self, request: web.Request, _: Operation) -> web.Response:
        is_whole = _flag(request, "whole")
        body = await read_body(request, StateBody, _STATE_BYTES)
        document, found, problem = await self._desk.compare(
            caller_of(request), body.endpoints, body.views, is_whole=is_whole
        )
        return _versioned(Differences(version=document.version, changes=found, problem=problem), document)

    async def _status(self, request: web.Request, _: Operation) -> web.Response:
        progress, newest, problem, read_only = await self._desk.status(caller_of(request))
        readiness = await self._readiness()
        return json_answer(
            StatusShown(
                newest=newest, progress=progress, ready=readiness.is_ready, problem=problem, read_only=read_only
            )
        )

    async def _history(self, request: web.Request, _: Operation) -> web.Response:
        limit = _number(request, "limit", 1, MOST_ENTRIES, ENTRIES)
        entries = await self._desk.history(caller_of(request), limit)
        return json_answer(History(running=self._desk.progress.running, entries=entries))

    async def _past(self, request: web.Request, _: Operation) -> web.Response:
        text = request.match_info["version"]
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise InvalidInput("version: expected a whole number")
        past, found = await self._desk.past(caller_of(request), int(text))
        return json_answer(PastState(state=state_shown(past), changes=found))

    async def _rollback(self, request: web.Request, operation: Operation) -> web.Response:
        seen = seen_version(request, operation.precondition)
        body = await read_body(request, RollbackBody, _BODY_BYTES)
        written = await self._desk.rollback(caller_of(request), body.version, seen, with_new_files=body.with_new_files)
        return await self._applied(request, written)

    async def _list_workers(self, request: web.Request, _: Operation) -> web.Response:
        principal = await self._desk.reader(caller_of(request))
        return json_answer(workers_shown(self._workers(), principal))

    async def _models(self, request: web.Request, _: Operation) -> web.Response:
        document = await self._desk.running(caller_of(request))
        return json_answer(models_shown(document, await self._health()))

    async def _set_loaded(self, request: web.Request, operation: Operation, *, is_loaded: bool) -> web.Response:
        seen, endpoint, caller = seen_version(request, operation.precondition), _endpoint(request), caller_of(request)
        if is_loaded:
            return await self._applied(request, await self._desk.load(caller, endpoint, seen))
        written = await self._desk.change_endpoint(
            caller, endpoint, seen, lambda document: changes.set_loaded(document, endpoint, is_loaded=False)
        )
        return await self._applied(request, written)

    async def _endpoints(self, request: web.Request, _: Operation) -> web.Response:
        document = await self._desk.running(caller_of(request))
        return json_answer(endpoints_shown(document, await self._health()))

    async def _endpoint(self, request: web.Request, _: Operation) -> web.Response:
        document = await self._desk.endpoint(caller_of(request), _endpoint(request))
        return _versioned(document.endpoints[_endpoint(request)], document)

    async def _put_endpoint(self, request: web.Request, operation: Operation) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), _endpoint(request)
        settings = await read_body(request, dict[str, Any], _STATE_BYTES)
        written = await self._desk.change_endpoint(
            caller_of(request),
            endpoint,
            seen,
            lambda document: changes.put_endpoint(document, endpoint, settings),
            settings,
        )
        return await self._applied(request, written)

    async def _delete_endpoint(self, request: web.Request, operation: Operation) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), _endpoint(request)
        written = await self._desk.change_endpoint(
            caller_of(request), endpoint, seen, lambda document: changes.delete_endpoint(document, endpoint)
        )
        return await self._applied(request, written)

    async def _percents(
        self, request: web.Request, _: Operation, *, shown: Callable[[Mapping[str, Any]], dict[str, int]]
    ) -> web.Response:
        document = await self._desk.endpoint(caller_of(request), _endpoint(request))
        return _versioned(shown(document.endpoints[_endpoint(request)]), document)

    async def _set_percents(
        self,
        request: web.Request,
        operation: Operation,
        *,
        change: Callable[[Document, str, Mapping[str, int]], Document],
    ) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), _endpoint(request)
        percents = await read_body(request, dict[str, int], _BODY_BYTES)
        written = await self._desk.change_endpoint(
            caller_of(request), endpoint, seen, lambda document: change(document, endpoint, percents)
        )
        return await self._applied(request, written)

    async def _deployment(self, request: web.Request, _: Operation) -> web.Response:
        endpoint, name = _endpoint(request), request.match_info["name"]
        document = await self._desk.endpoint(caller_of(request), endpoint)
        found = document.endpoints[endpoint]["deployments"].get(name)
        if found is None:
            raise NotFound(f'endpoint "{endpoint}" has no deployment "{name[:64]}"')
        return _versioned(found, document)

    async def _put_deployment(self, request: web.Request, operation: Operation) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), _endpoint(request)
        name = request.match_info["name"]
        settings = await read_body(request, dict[str, Any], _BODY_BYTES)
        written = await self._desk.change_endpoint(
            caller_of(request),
            endpoint,
            seen,
            lambda document: changes.put_deployment(document, endpoint, name, settings),
            {"deployments": {name: settings}},
        )
        return await self._applied(request, written)

    async def _delete_deployment(self, request: web.Request, operation: Operation) -> web.Response:
        seen, endpoint = seen_version(request, operation.precondition), _endpoint(request)
        name = request.match_info["name"]
        written = await self._desk.change_endpoint(
            caller_of(request), endpoint, seen, lambda document: changes.delete_deployment(document, endpoint, name)
        )
        return await self._applied(request, written)

    async def _applied(self, request: web.Request, written: Written) -> web.Response:
        version = written.document.version
        outcome, progress = await self._desk.outcome(written, _wait(request))
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
            return _versioned(answer, written.document, 202 if outcome == "pending" else 200)
        status, word = self._status_of(ChangeRefused(refused))
        told = {"error": {"code": word, "message": refused}, **msgspec.to_builtins(answer)}
        return _versioned(told, written.document, status)

    async def _health(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await self._readiness()).details.get("endpoints", {})
        return found

    def _refused(self, error: GatewayError) -> web.Response:
        response = refusal(error, self._status_of)
        if isinstance(error, Conflict):
            response.headers["ETag"] = etag(error.found)
        elif isinstance(error, ReadOnly):
            response.headers["Allow"] = "GET, HEAD"
        return response


def _versioned(value: object, document: Document, status: int = 200) -> web.Response:
    response = json_answer(value, status)
    response.headers["ETag"] = etag(document.version)
    return response


def _endpoint(request: web.Request) -> str:
    return request.match_info["endpoint"]


def _wait(request: web.Request) -> int:
    return _number(request, "wait", 0, LONGEST_WAIT, 0)


def _number(request: web.Request, name: str, least: int, most: int, otherwise: int) -> int:
    text = request.query.get(name)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= most):
        raise InvalidInput(f"{name}: expected a whole number from {least} to {most}")
    return int(text)


def _flag(request: web.Request, name: str) -> bool:
    text = request.query.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidInput(f"{name}: expected true or false")
    return text == "true"
