"""Every error has a status on every wire, and the ones that clients act on are written down here a second time."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from gateway.control.change_errors import ChangeRefused, VersionRequired
from gateway.control.source import Conflict, ReadOnly, SourceUnavailable
from gateway.core import errors
from gateway.core.errors import GatewayError
from gateway.core.scoring import WorkerLost
from gateway.edge.status import STATUS, status_of

ALL = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_of_the_core_has_a_row_of_its_own(kind: type[GatewayError]) -> None:
    assert kind in STATUS


def test_a_change_on_another_version_is_told_from_one_that_names_none_and_from_one_that_cannot_run() -> None:
    rows = [status_of(error) for error in (Conflict(1, 2), VersionRequired("which"), ChangeRefused("no such file"))]

    assert [row.http for row in rows] == [412, 428, 422]
    assert {row.grpc for row in rows} == {StatusCode.FAILED_PRECONDITION}


def test_what_cannot_be_written_here_is_said_of_the_method_and_not_of_the_caller() -> None:
    row = status_of(ReadOnly("it is declared in files"))

    assert (row.http, row.grpc) == (405, StatusCode.UNIMPLEMENTED)


def test_a_source_that_does_not_answer_may_be_asked_again() -> None:
    error = SourceUnavailable("no answer")

    assert (status_of(error).http, status_of(error).grpc, error.retryable) == (503, StatusCode.UNAVAILABLE, True)


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
