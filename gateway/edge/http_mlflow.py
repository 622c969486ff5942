"""
MLflow's scoring server: ``/invocations`` with JSON or CSV, ``/health`` and ``/version``.

Its ``/ping`` is answered with vetiver's body (``http_vetiver``): MLflow's clients look at the status only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import msgspec

from gateway.core.errors import GatewayError, UnsupportedMedia
from gateway.core.payload import Payload
from gateway.edge.config import EdgeConfig
from gateway.edge.csv_body import csv_table
from gateway.edge.http_intake import DEPLOYMENT_HEADER, Intake
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.http_route import Route
from gateway.edge.json_answer import predictions
from gateway.edge.json_body import json_value, text_of
from gateway.edge.json_forms import invocations_payload
from gateway.edge.status import status_of

__all__ = ["encode_mlflow_error", "mlflow_routes"]

_encode = msgspec.json.Encoder().encode


def mlflow_routes(intake: Intake, config: EdgeConfig, version: str) -> list[Route]:
    """The routes of this family; ``version`` is what ``/version`` says."""
    family = _MlflowFamily(intake, config.max_body_bytes, version)
    return [
        Route(method=method, pattern=pattern, handler=handler, encode_error=encode_mlflow_error)
        for method, pattern, handler in (
            ("POST", "/invocations", family.invocations),
            ("GET", "/health", family.health),
            ("GET", "/version", family.version),
        )
    ]


def encode_mlflow_error(error: GatewayError) -> HttpResponse:
    status = status_of(error)
    return HttpResponse(status.http, msgspec.json.encode({"error_code": status.mlflow, "message": str(error)}))


class _MlflowFamily:
    def __init__(self, intake: Intake, limit: int, version: str) -> None:
        self._intake, self._limit, self._version = intake, limit, version.encode()

    async def invocations(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        is_csv = _is_csv(request.headers.get("content-type", ""))
        endpoint = self._intake.endpoint_of(request, captures)
        answer = await self._intake.score(request, partial(self._read, request, is_csv), endpoint=endpoint)
        body = _encode({"predictions": predictions(answer)})
        return HttpResponse(200, body, headers=[(DEPLOYMENT_HEADER, answer.deployment.name)])

    async def health(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:  # noqa: ARG002
        return HttpResponse(200, b"\n")

    async def version(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:  # noqa: ARG002
        return HttpResponse(200, self._version, content_type="text/plain; charset=utf-8")

    def _read(self, request: HttpRequest, is_csv: bool) -> Payload:
        if is_csv:
            return csv_table(text_of(request, self._limit))
        return invocations_payload(json_value(request, self._limit))


def _is_csv(content_type: str) -> bool:
    """MLflow's rule: JSON or CSV, and no parameter but ``charset=utf-8``. Nothing at all means JSON."""
    if content_type in ("application/json", ""):
        return False
    media, *parameters = [part.strip().lower() for part in content_type.split(";")]
    if media not in ("", "application/json", "text/csv"):
        raise UnsupportedMedia(f"content-type: expected application/json or text/csv, got {media[:80]!r}")
    for parameter in parameters:
        if parameter.replace('"', "") not in ("", "charset=utf-8"):
            raise UnsupportedMedia("content-type: expected no parameter but charset=utf-8")
    return media == "text/csv"
