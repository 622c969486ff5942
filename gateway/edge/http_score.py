"""
Azure ML's ``/score`` family: scoring, liveness at ``/``, and the API document at ``/swagger.json``.

An error body is ``{"error": {"code", "message"}}``. Azure's SDK reads ``body["error"]["message"]`` from whatever has an
``error``, so a plain string there would raise in the client instead of saying what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import parse_qs

import msgspec

from gateway.core.access import Access, Role
from gateway.core.catalog import Catalog, EndpointState
from gateway.core.errors import GatewayError, NotFound
from gateway.core.payload import Payload
from gateway.edge.config import EdgeConfig
from gateway.edge.http_intake import DEPLOYMENT_HEADER, Intake
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.http_route import Route
from gateway.edge.json_answer import predictions
from gateway.edge.json_body import json_value, text_of
from gateway.edge.json_forms import score_payload
from gateway.edge.openapi import VERSIONS, document
from gateway.edge.status import Personality, status_of
from gateway.edge.text_model import takes_text, text_payload, text_result

__all__ = ["encode_score_error", "score_routes"]

_encode = msgspec.json.Encoder().encode


def score_routes(intake: Intake, catalog: Catalog, access: Access, config: EdgeConfig) -> list[Route]:
    """The routes of this family."""
    family = _ScoreFamily(intake, catalog, access, config)
    encode_error = partial(encode_score_error, config.personality)
    return [
        Route(method=method, pattern=pattern, handler=handler, encode_error=encode_error)
        for method, pattern, handler in (
            ("POST", "/score", family.score),
            ("GET", "/", family.healthy),
            ("GET", "/swagger.json", family.swagger),
        )
    ]


def encode_score_error(personality: Personality, error: GatewayError) -> HttpResponse:
    """The status that ``personality`` gives the error; with a 424, Azure's two headers about the model."""
    status = status_of(error)
    code = status.score(personality)
    body = msgspec.json.encode({"error": {"code": status.word, "message": str(error)}})
    headers = []
    if code == 424:
        headers = [("ms-azureml-model-error-statuscode", "500"), ("ms-azureml-model-error-reason", "model_error")]
    return HttpResponse(code, body, headers=headers)


class _ScoreFamily:
    def __init__(self, intake: Intake, catalog: Catalog, access: Access, config: EdgeConfig) -> None:
        self._intake, self._catalog, self._access, self._limit = intake, catalog, access, config.max_body_bytes
        self._takes_text: dict[tuple[str | None, str | None], tuple[EndpointState, bool]] = {}
        """By endpoint and pin, of those that exist: so there are few."""

    async def score(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        endpoint = self._intake.endpoint_of(request, captures)
        answer = await self._intake.score(request, partial(self._read, request, endpoint), endpoint=endpoint)
        body = text_result(answer) if answer.rows.texts else None
        if body is None:
            body = _encode(predictions(answer))
        return HttpResponse(200, body, headers=[(DEPLOYMENT_HEADER, answer.deployment.name)])

    async def healthy(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:  # noqa: ARG002
        return HttpResponse(200, b"Healthy", content_type="text/plain; charset=utf-8")

    async def swagger(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        endpoint = self._intake.endpoint_of(request, captures)
        headers = request.headers
        # Unknown and closed endpoints must look alike to whoever has no credential.
        known = [state for state in self._catalog.endpoints() if endpoint in (None, state.name)]
        if len(known) != 1 or not known[0].is_open:
            await self._access(request, endpoint, Role.READ)
        state = self._catalog.endpoint(endpoint)
        version = parse_qs(request.query).get("version", ["2"])[-1]
        if version not in VERSIONS:
            raise NotFound(f"swagger.json: expected a version of {', '.join(VERSIONS)}, got {version[:20]!r}")
        pin = headers.get(DEPLOYMENT_HEADER)
        if pin and pin not in state.deployments:
            raise NotFound(f'no deployment "{pin[:64]}" of endpoint "{state.name}"')
        described = state.deployments[pin] if pin else state.default
        base = f"/api/v1/endpoint/{state.name}" if "endpoint" in captures else ""
        return HttpResponse(200, msgspec.json.encode(document(state, described, version=version, base=base)))

    def _read(self, request: HttpRequest, endpoint: str | None) -> Payload:
        state = self._catalog.endpoint(endpoint)
        pin = request.headers.get(DEPLOYMENT_HEADER)
        known = self._takes_text.get((endpoint, pin))
        # Looked up anew only when the catalog has replaced the endpoint's state.
        is_text = known[1] if known is not None and known[0] is state else self._learn(state, endpoint, pin)
        if is_text:
            return text_payload(text_of(request, self._limit))
        return score_payload(json_value(request, self._limit))

    def _learn(self, state: EndpointState, endpoint: str | None, pin: str | None) -> bool:
        if pin not in state.deployments:
            pin = None
        is_text = takes_text(state, pin)
        self._takes_text[endpoint, pin] = state, is_text
        return is_text
