"""
What vetiver's R client calls: ``/predict`` with a data frame as JSON, and ``/ping``.

The client sends no content type and reads the answer as a data frame by rows, errors by ``message``. ``/metadata`` and
``/prototype`` describe an R session and are left out; the client does without them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial

import msgspec

from gateway.core.errors import GatewayError
from gateway.core.payload import Payload
from gateway.edge.config import EdgeConfig
from gateway.edge.http_intake import DEPLOYMENT_HEADER, Intake
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.http_route import Route
from gateway.edge.json_answer import predictions_by_vetiver_name
from gateway.edge.json_body import json_value
from gateway.edge.json_forms import predict_payload
from gateway.edge.status import status_of

__all__ = ["encode_vetiver_error", "vetiver_routes"]


def vetiver_routes(intake: Intake, config: EdgeConfig, now: Callable[[], datetime]) -> list[Route]:
    """The routes of this family; ``now`` is the wall clock, in UTC."""
    family = _VetiverFamily(intake, config.max_body_bytes, now)
    return [
        Route(method="POST", pattern="/predict", handler=family.predict, encode_error=encode_vetiver_error),
        Route(method="GET", pattern="/ping", handler=family.ping, encode_error=encode_vetiver_error),
    ]


def encode_vetiver_error(error: GatewayError) -> HttpResponse:
    """plumber's two keys: ``error`` is the status in words, ``message`` says what is wrong."""
    status = status_of(error)
    body = msgspec.json.encode({"error": f"{status.http} - {status.word}", "message": str(error)})
    return HttpResponse(status.http, body)


class _VetiverFamily:
    def __init__(self, intake: Intake, limit: int, now: Callable[[], datetime]) -> None:
        self._intake, self._limit, self._now = intake, limit, now

    async def predict(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        endpoint = self._intake.endpoint_of(request, captures)
        answer = await self._intake.score(request, partial(self._read, request), endpoint=endpoint)
        body = msgspec.json.encode(predictions_by_vetiver_name(answer))
        return HttpResponse(200, body, headers=[(DEPLOYMENT_HEADER, answer.deployment.name)])

    async def ping(self, request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:  # noqa: ARG002
        return HttpResponse(200, msgspec.json.encode({"status": "online", "time": self._now().isoformat()}))

    def _read(self, request: HttpRequest) -> Payload:
        return predict_payload(json_value(request, self._limit))
