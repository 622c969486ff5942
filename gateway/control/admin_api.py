"""
The admin API, on loopback or a Unix socket only.

What probes and scrapers ask (``/livez``, ``/readyz`` and ``/metrics``) takes no key, so it must not be reachable from
outside, and it says nothing that is the callers': names of endpoints, whether they can serve and why not, and counters.
Whatever changes or reveals more comes as ``routes``, and judges its callers by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
from aiohttp import web

from gateway.control.admin_answer import json_answer
from gateway.control.admin_operation import Operation
from gateway.telemetry.metrics import CONTENT_TYPE

__all__ = ["LARGEST_LOCAL", "PROBE_OPERATIONS", "AdminSource", "Readiness", "serve_admin"]

_LARGEST = 64 * 1024
"""Bytes of a body, where a route has no bound of its own."""
LARGEST_LOCAL = 8 * 1024 * 1024
"""On a Unix socket, where the supervisor sends all that is to be served."""
_SHUTDOWN = 1.0
"""Seconds for a scrape that is under way when the process leaves."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this process can serve, and the details as JSON values."""

    is_ready: bool
    details: Mapping[str, Any]


class AdminSource(Protocol):
    """Whoever knows."""

    async def readiness(self) -> Readiness: ...

    async def metrics(self) -> bytes: ...


PROBE_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="livez",
        method="GET",
        path="/livez",
        summary="Whether the process runs",
        answer=str,
        media_type="text/plain",
    ),
    Operation(
        name="readyz",
        method="GET",
        path="/readyz",
        summary="Whether everything with traffic can serve, and why not",
        answer=dict[str, Any],
        statuses={200: "It can", 503: "It cannot"},
    ),
    Operation(
        name="metrics",
        method="GET",
        path="/metrics",
        summary="Counters and gauges, as Prometheus reads them",
        answer=str,
        media_type="text/plain",
    ),
)


@asynccontextmanager
async def serve_admin(
    source: AdminSource,
    *,
    port: int | None = None,
    path: Path | None = None,
    extra: Mapping[str, Callable[[], Awaitable[Any]]] | None = None,
    routes: Iterable[web.AbstractRouteDef] = (),
) -> AsyncIterator[int]:
    """
    Serve the three routes for the length of the block, on ``port`` of loopback (0: any) or the Unix socket ``path``;
    gives the port, or 0. ``extra`` are further paths with what is answered there as JSON, without a key; ``routes``
    judge their callers. Raises ``OSError``.
    """
    app = web.Application(middlewares=[_in_json], client_max_size=_LARGEST if path is None else LARGEST_LOCAL)
    app.add_routes(routes)
    handlers = {"livez": _alive, "readyz": _ready(source), "metrics": _metrics(source)}
    app.add_routes(operation.route(handlers[operation.name]) for operation in PROBE_OPERATIONS)
    for route, answer in (extra or {}).items():
        app.router.add_get(route, _json(answer))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    try:
        if path is not None:
            path.unlink(missing_ok=True)  # noqa: ASYNC240  # left over by a process that was killed
            await web.UnixSite(runner, str(path)).start()
        if port is not None:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        yield next((address[1] for address in runner.addresses if isinstance(address, tuple)), 0)
    finally:
        await runner.cleanup()


@web.middleware
async def _in_json(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
    """What is no route is told in the form of all errors."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        lists_all = any(resource.canonical == "/" for resource in request.app.router.resources())
        hint = "; GET / lists what there is" if lists_all else ""  # a gateway's own has no such page
        error = {"code": "NotFound", "message": f"there is no such path here{hint}"}
        return json_answer({"error": error}, 404)
    except web.HTTPMethodNotAllowed as wrong:
        allowed = wrong.headers["Allow"]
        error = {"code": "MethodNotAllowed", "message": f"{wrong.method}: expected {allowed.replace(',', ', ')}"}
        response = json_answer({"error": error}, 405)
        response.headers["Allow"] = allowed
        return response


async def _alive(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def _ready(source: AdminSource) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        readiness = await source.readiness()
        body = {"ready": readiness.is_ready, **readiness.details}
        return web.Response(
            status=200 if readiness.is_ready else 503,
            body=msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n",
            content_type="application/json",
        )

    return handle


def _metrics(source: AdminSource) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=await source.metrics(), headers={"Content-Type": CONTENT_TYPE})

    return handle


def _json(answer: Callable[[], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(await answer()), content_type="application/json")

    return handle
