"""
The Open Inference Protocol's HTTP routes, with Triton's binary, configuration and statistics extensions.

Every success is 200, because tritonclient takes any other status for an error; every error body is
``{"error": "<text>"}``, which its clients read as a string. Requests need no content type: tritonclient sends none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from gateway.core.catalog import Catalog, EndpointState, StatsSource
from gateway.core.errors import GatewayError, NotFound, NotSupported
from gateway.core.payload import Payload
from gateway.core.repository import Repository
from gateway.core.signature import Signature
from gateway.edge import accept_encoding, oip_body, oip_metadata
from gateway.edge.config import EdgeConfig
from gateway.edge.content_coding import decoded
from gateway.edge.http_intake import DEPLOYMENT_HEADER, Intake
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.http_repository import load_parameters, only_ready
from gateway.edge.http_route import Handler, Route
from gateway.edge.json_body import json_value
from gateway.edge.oip_remembered_body import JsonBody, RememberedBodies
from gateway.edge.oip_repository import refuse_load_parameters
from gateway.edge.oip_view import OipView
from gateway.edge.status import status_of

__all__ = ["encode_oip_error", "oip_routes"]

_LENGTH_HEADER = "Inference-Header-Content-Length"
_LENGTH_LOWER = _LENGTH_HEADER.lower()

_LONG = 64 * 1024
"""Bytes from which an answer is compressed on another thread, where it delays nobody."""

_MODEL = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")

_REFUSED = (
    ("GET", "/v2/systemsharedmemory/status", "shared memory"),
    ("POST", "/v2/systemsharedmemory/region/{region}/register", "shared memory"),
    ("POST", "/v2/systemsharedmemory/unregister", "shared memory"),
    ("GET", "/v2/cudasharedmemory/status", "shared memory"),
    ("POST", "/v2/cudasharedmemory/region/{region}/register", "shared memory"),
    ("POST", "/v2/cudasharedmemory/unregister", "shared memory"),
    ("GET", "/v2/trace/setting", "trace settings: send a traceparent"),
    ("POST", "/v2/trace/setting", "trace settings: send a traceparent"),
    ("GET", "/v2/logging", "log settings"),
    ("POST", "/v2/logging", "log settings"),
)


def oip_routes(
    intake: Intake,
    catalog: Catalog,
    view: OipView,
    stats: StatsSource,
    config: EdgeConfig,
    *,
    is_ready: Callable[[], bool],
    repository: Repository | None = None,
) -> list[Route]:
    """
    The routes of this family; ``is_ready`` is what ``/v2/health/ready`` answers. Without a ``repository`` models are
    not loaded and unloaded.
    """
    family = _OipFamily(
        intake, catalog, view, stats, limit=config.max_body_bytes, is_ready=is_ready, repository=repository
    )
    found: list[tuple[str, str, Handler]] = [
        ("GET", "/v2", family.server),
        ("GET", "/v2/", family.server),
        ("GET", "/v2/health/live", family.live),
        ("GET", "/v2/health/ready", family.ready),
        ("GET", "/v2/models", family.models),
        ("GET", "/v2/models/stats", family.all_statistics),
        ("POST", "/v2/repository/index", family.index),
        ("POST", "/v2/repository/{repository}/index", family.index),
        ("POST", "/v2/repository/models/{model}/load", family.load),
        ("POST", "/v2/repository/models/{model}/unload", family.unload),
    ]
    for base in _MODEL:
        found += [
            ("GET", base, family.metadata),
            ("GET", f"{base}/ready", family.model_ready),
            ("GET", f"{base}/config", family.config),
            ("GET", f"{base}/stats", family.statistics),
            ("POST", f"{base}/infer", family.infer),
        ]
    found += [(method, pattern, _refusing(what)) for method, pattern, what in _REFUSED]
    return [
        Route(method=method, pattern=pattern, handler=handler, encode_error=encode_oip_error)
        for method, pattern, handler in found
    ]


def encode_oip_error(error: GatewayError) -> HttpResponse:
    """``{"error": "<text>"}``."""
    status = status_of(error)
    return HttpResponse(status.http, msgspec.json.encode({"error": str(error) or status.word}))


def _refusing(what: str) -> Handler:
    async def refuse(request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:  # noqa: ARG001
        raise NotSupported(f"not offered here: {what}")

    return refuse


class _OipFamily:
    def __init__(
        self,
        intake: Intake,
        catalog: Catalog,
        view: OipView,
        stats: StatsSource,
        *,
        limit: int,
        is_ready: Callable[[], bool],
        repository: Repository | None,
    ) -> None:
        self._intake, self._catalog, self._view, self._stats = intake, catalog, view, stats
        self._limit, self._is_ready, self._repository = limit, is_ready, repository
        self._bodies = RememberedBodies()

    async def infer(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        model = captures["model"] if "endpoint" not in captures else _model(captures)
        headers = request.headers
        pin = None
        if "version" in captures:
            pin = oip_metadata.pinned(self._catalog, model, captures["version"], headers.get(DEPLOYMENT_HEADER, ""))
        length = oip_body.header_length(headers[_LENGTH_LOWER]) if _LENGTH_LOWER in headers else None
        encoding = headers.get("content-encoding")
        budget = None
        body: JsonBody | _InferBody
        if length is None and not encoding and b'"timeout"' not in request.body:
            body = JsonBody(self._bodies, request.body)
        else:
            body = _InferBody(request.body, length, encoding, self._limit)
            if length == 0:
                body.signature = partial(self._signature_of, model, pin or headers.get(DEPLOYMENT_HEADER))
            elif encoding or request.body.find(b'"timeout"', 0, length) >= 0:
                # It stands in the body, and nobody's body is read before they are known: so that is asked here already.
                await self._view.check(model, request)
                budget = body.timeout_us() / 1e6 or None
        answer = await self._intake.score(request, body.read, endpoint=model, deployment=pin, budget=budget)
        content, json_bytes = oip_body.build_response(body.request or body.asked(), answer)
        response = HttpResponse(200, content, headers=[(DEPLOYMENT_HEADER, answer.deployment.name)])
        if json_bytes is not None:
            response.content_type = "application/octet-stream"
            response.headers.append((_LENGTH_HEADER, str(json_bytes)))
        if len(content) >= accept_encoding.WORTH_IT and "accept-encoding" in headers:
            await _compress(response, headers["accept-encoding"])
        return response

    async def live(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:  # noqa: ARG002
        return _json({"live": True})

    async def ready(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:  # noqa: ARG002
        is_ready = self._is_ready()
        return _json({"live": True, "ready": is_ready}, 200 if is_ready else 503)

    async def server(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:  # noqa: ARG002
        return _json(oip_metadata.server_metadata(has_repository=self._repository is not None))

    async def models(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        return _json({"models": [state.name for state in await self._visible(request, captures)]})

    async def metadata(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        endpoint = await self._endpoint(request, captures)
        return _json(oip_metadata.model_metadata(endpoint, captures.get("version", "")))

    async def config(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        endpoint = await self._endpoint(request, captures)
        return _json(oip_metadata.model_config(endpoint, captures.get("version", "")))

    async def model_ready(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        endpoint = await self._endpoint(request, captures)
        state = oip_metadata.find_version(endpoint, captures.get("version", ""))
        if state.is_ready:
            return _json({"name": endpoint.name, "ready": True})
        return _json({"name": endpoint.name, "ready": False, "error": state.reason or "not ready"}, 503)

    async def statistics(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        endpoint = await self._endpoint(request, captures)
        return _json(oip_metadata.statistics([endpoint], captures.get("version", ""), self._stats))

    async def all_statistics(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        return _json(oip_metadata.statistics(await self._visible(request, captures), "", self._stats))

    async def index(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        endpoints = await self._visible(request, captures)
        # tritonclient sends no body at all.
        asked = json_value(request, self._limit) if request.body else {}
        return _json(oip_metadata.repository_index(endpoints, only_ready=only_ready(asked)))

    async def load(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        repository, model = self._offered("loading"), _model(captures)
        await repository.check(model, request)
        asked = json_value(request, self._limit) if request.body else {}
        refuse_load_parameters(load_parameters(asked))
        await repository.load(model, request)
        return _json({"name": model, "load": True})  # KServe's answer; Triton's is empty, and nobody reads it

    async def unload(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        repository, model = self._offered("unloading"), _model(captures)
        await repository.check(model, request)
        await repository.unload(model, request)
        return _json({"name": model, "unload": True})

    def _offered(self, what: str) -> Repository:
        if self._repository is None:
            raise NotSupported(f"not offered here: {what}, by a gateway that runs alone")
        return self._repository

    async def _endpoint(self, request: HttpRequest, captures: Mapping[str, str]) -> EndpointState:
        return await self._view.endpoint(_model(captures), request)

    async def _visible(self, request: HttpRequest, captures: Mapping[str, str]) -> Sequence[EndpointState]:
        states = await self._view.endpoints(request)
        base = captures.get("endpoint")
        return states if base is None else [state for state in states if state.name == base]

    def _signature_of(self, model: str, pin: str | None) -> Signature:
        endpoint = self._catalog.endpoint(model)
        return oip_metadata.loaded(endpoint, pin or "").signature


class _InferBody(msgspec.Struct):
    """The body of one request that is not just JSON, or has a timeout; decoded once, when somebody asks."""

    body: bytes
    length: int | None
    """Of the JSON part; None for all of it, 0 for a raw-binary request."""
    encoding: str | None
    limit: int
    signature: Callable[[], Signature] | None = None
    """Of the model; asked for a raw-binary request."""
    request: oip_body.InferRequest | None = None
    binary: memoryview | None = None

    def asked(self) -> oip_body.InferRequest | None:
        """None for a raw-binary one."""
        return self.request if self.request is not None or self.length == 0 else self._parse()[0]

    def timeout_us(self) -> int:
        parameters = self._parse()[0].parameters or {}
        return oip_metadata.timeout_us(parameters["timeout"]) if "timeout" in parameters else 0

    def read(self) -> Payload:
        if self.signature is not None:
            return oip_body.raw_binary(decoded(self.body, self.encoding, self.limit), self.signature())
        return oip_body.tensors(*self._parse())

    def _parse(self) -> tuple[oip_body.InferRequest, memoryview]:
        request, binary = self.request, self.binary
        if request is None or binary is None:
            body = decoded(self.body, self.encoding, self.limit) if self.encoding else self.body
            request, binary = self.request, self.binary = oip_body.parse(body, self.length)
        return request, binary


def _model(captures: Mapping[str, str]) -> str:
    model, base = captures["model"], captures.get("endpoint")
    if base is not None and base != model:
        raise NotFound(f'endpoint "{base[:64]}" has no model "{model[:64]}"')
    return model


def _json(document: object, status: int = 200) -> HttpResponse:
    return HttpResponse(status, msgspec.json.encode(document))


async def _compress(response: HttpResponse, accepted: str) -> None:
    encoding = accept_encoding.choose(accepted)
    if encoding is None:
        return
    if len(response.body) < _LONG:
        response.body = accept_encoding.encode(response.body, encoding)
    else:
        response.body = await asyncio.to_thread(accept_encoding.encode, response.body, encoding)
    response.headers += [("Content-Encoding", encoding), ("Vary", "Accept-Encoding")]
