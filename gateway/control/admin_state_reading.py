"""The admin API's answers to whoever asks what is served, and what was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from gateway.control.admin_answer import caller_of, json_answer
from gateway.control.admin_api import Readiness
from gateway.control.admin_body import read_body
from gateway.control.admin_operation import Operation
from gateway.control.admin_precondition import versioned
from gateway.control.admin_query import endpoint_of, flag, number
from gateway.control.admin_shown import (
    endpoints_shown,
    mirror_of,
    models_shown,
    state_shown,
    traffic_of,
    workers_shown,
)
from gateway.control.admin_state_forms import (
    STATE_BYTES,
    Differences,
    EntryShown,
    History,
    PastState,
    StateBody,
    StatusShown,
    WorkerShown,
)
from gateway.control.admin_state_operations import ENTRIES, MOST_ENTRIES
from gateway.control.state_reader import StateReader
from gateway.core.errors import InvalidInput, NotFound

__all__ = ["Reading"]


class Reading:
    """``handlers`` by the name of the operation. ``readiness`` tells how deployments do, ``workers`` of processes."""

    def __init__(
        self,
        reader: StateReader,
        readiness: Callable[[], Awaitable[Readiness]],
        workers: Callable[[], Sequence[WorkerShown]],
    ) -> None:
        self._reader, self._readiness, self._workers = reader, readiness, workers
        self.handlers: dict[str, Callable[[web.Request, Operation], Awaitable[web.Response]]] = {
            "getState": self._state,
            "diff": self._diff,
            "getStatus": self._status,
            "listHistory": self._history,
            "getVersion": self._past,
            "listWorkers": self._list_workers,
            "listModels": self._models,
            "listEndpoints": self._endpoints,
            "getEndpoint": self._endpoint,
            "getTraffic": partial(self._percents, shown=traffic_of),
            "getMirror": partial(self._percents, shown=mirror_of),
            "getDeployment": self._deployment,
        }

    async def _state(self, request: web.Request, _: Operation) -> web.Response:
        document = await self._reader.state(caller_of(request))
        return versioned(state_shown(document), document)

    async def _diff(self, request: web.Request, _: Operation) -> web.Response:
        is_whole = flag(request, "whole")
        body = await read_body(request, StateBody, STATE_BYTES)
        document, found, problem = await self._reader.compare(
            caller_of(request), body.endpoints, body.views, is_whole=is_whole
        )
        return versioned(Differences(version=document.version, changes=found, problem=problem), document)

    async def _status(self, request: web.Request, _: Operation) -> web.Response:
        progress, newest, problem, read_only = await self._reader.status(caller_of(request))
        readiness = await self._readiness()
        return json_answer(
            StatusShown(
                newest=newest, progress=progress, ready=readiness.is_ready, problem=problem, read_only=read_only
            )
        )

    async def _history(self, request: web.Request, _: Operation) -> web.Response:
        limit = number(request, "limit", 1, MOST_ENTRIES, ENTRIES)
        entries = await self._reader.history(caller_of(request), limit)
        shown = [
            EntryShown(**msgspec.structs.asdict(each), refused=self._reader.why_refused(each.version))
            for each in entries
        ]
        return json_answer(History(running=self._reader.progress.running, entries=shown))

    async def _past(self, request: web.Request, _: Operation) -> web.Response:
        text = request.match_info["version"]
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise InvalidInput("version: expected a whole number")
        past, found = await self._reader.past(caller_of(request), int(text))
        return json_answer(PastState(state=state_shown(past), changes=found))

    async def _list_workers(self, request: web.Request, _: Operation) -> web.Response:
        principal = await self._reader.looker(caller_of(request))
        return json_answer(workers_shown(self._workers(), principal))

    async def _models(self, request: web.Request, _: Operation) -> web.Response:
        document = await self._reader.running(caller_of(request))
        return json_answer(models_shown(document, await self._health()))

    async def _endpoints(self, request: web.Request, _: Operation) -> web.Response:
        document = await self._reader.running(caller_of(request))
        return json_answer(endpoints_shown(document, await self._health()))

    async def _endpoint(self, request: web.Request, _: Operation) -> web.Response:
        document = await self._reader.endpoint(caller_of(request), endpoint_of(request))
        return versioned(document.endpoints[endpoint_of(request)], document)

    async def _percents(
        self, request: web.Request, _: Operation, *, shown: Callable[[Mapping[str, Any]], dict[str, int]]
    ) -> web.Response:
        document = await self._reader.endpoint(caller_of(request), endpoint_of(request))
        return versioned(shown(document.endpoints[endpoint_of(request)]), document)

    async def _deployment(self, request: web.Request, _: Operation) -> web.Response:
        endpoint, name = endpoint_of(request), request.match_info["name"]
        document = await self._reader.endpoint(caller_of(request), endpoint)
        found = document.endpoints[endpoint]["deployments"].get(name)
        if found is None:
            raise NotFound(f'endpoint "{endpoint}" has no deployment "{name[:64]}"')
        return versioned(found, document)

    async def _health(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await self._readiness()).details.get("endpoints", {})
        return found
