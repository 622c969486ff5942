"""Every error has a status on every wire, and the ones that clients act on are written down here a second time."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.scoring import WorkerLost
from gateway.edge.status import STATUS, status_of

ALL = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_of_the_core_has_a_row_of_its_own(kind: type[GatewayError]) -> None:
    assert kind in STATUS


def test_a_subclass_takes_the_row_of_its_nearest_base() -> None:
    assert status_of(WorkerLost("gone", worker="w")) is STATUS[errors.WorkerFailed]


def test_what_is_no_error_of_ours_is_an_internal_error() -> None:
    status = status_of(ZeroDivisionError())

    assert (status.http, status.grpc) == (500, StatusCode.INTERNAL)


def test_not_ready_asks_grpc_clients_to_try_again() -> None:
    assert status_of(errors.NotReady("loading")).grpc is StatusCode.UNAVAILABLE


def test_an_endpoint_out_of_service_is_404_as_on_azure() -> None:
    assert status_of(errors.OutOfService("weights are 0")).managed == 404


@pytest.mark.parametrize(
    ("error", "managed", "kubernetes", "azmlinfsrv", "plain"),
    [
        (errors.ModelFailed("stop()"), 424, 502, 500, 500),
        (errors.DeadlineExceeded("late"), 408, 504, 500, 504),
        (errors.Overloaded("full"), 429, 503, 429, 429),
        (errors.Forbidden("not yours"), 401, 403, 403, 403),
        (errors.InvalidInput("bad"), 400, 400, 400, 400),
    ],
)
def test_each_personality_speaks_its_own_codes_on_score(
    error: GatewayError, managed: int, kubernetes: int, azmlinfsrv: int, plain: int
) -> None:
    status = status_of(error)
    codes = (status.score("managed"), status.score("kubernetes"), status.score("azmlinfsrv"), status.http)

    assert codes == (managed, kubernetes, azmlinfsrv, plain)
