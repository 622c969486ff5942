"""Every decoder that outsiders reach, bounded; ``make fuzz`` goes on for longer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from gateway.edge.http_message import HttpRequest
from tests.support.decoder_fuzz import check_grpc, check_oip, check_score, grpc_message, oip_request, score_request

BOUNDED = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@BOUNDED
@given(request=score_request)
def test_any_body_of_a_rest_route_is_answered_or_refused(request: HttpRequest) -> None:
    check_score(request)


@BOUNDED
@given(request=oip_request)
def test_any_inference_request_over_http_is_answered_or_refused(request: HttpRequest) -> None:
    check_oip(request)


@BOUNDED
@given(message=grpc_message)
def test_any_inference_request_over_grpc_is_answered_or_refused(message: bytes) -> None:
    check_grpc(message)


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (check_score, HttpRequest("POST", "/score", "", {}, b'[{"carat": 1, "cut": "Fair"}]')),
        (check_oip, HttpRequest("GET", "/v2/health/live", "", {}, b"")),
    ],
)
def test_what_is_right_passes(check: Callable[[Any], None], good: HttpRequest) -> None:
    check(good)
