from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from time import perf_counter_ns
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.core.catalog import DeploymentState, EndpointState
from gateway.core.errors import Forbidden, GatewayError, InvalidInput, ModelFailed, NotFound, NotReady, Overloaded
from gateway.core.request import Deployment
from gateway.telemetry.recorder import Recorder
from tests.support.requests import FixedCatalog, deployment, received


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def recorder(time: Time) -> Recorder:
    return Recorder(FixedCatalog("price", "tumor"), time, events_per_second=3)


@pytest.fixture
def events() -> Iterator[list[Any]]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


def test_a_success_is_counted_under_the_deployment_that_answered(recorder: Recorder, events: list[Any]) -> None:
    blue = deployment("price", "blue")
    for _ in range(3):
        recorder.on_done(received(routed=blue), 200, None)

    assert {key: series.count for key, series in recorder.series.items()} == {("price", "blue", "rest", "200"): 3}
    assert events == []


def test_a_deployment_that_was_replaced_keeps_its_series(recorder: Recorder) -> None:
    recorder.on_done(received(routed=deployment()), 200, None)
    recorder.on_done(received(routed=deployment()), 200, None)

    assert [series.count for series in recorder.series.values()] == [2]


def test_every_stage_has_its_own_histogram(recorder: Recorder) -> None:
    request = received(routed=deployment())
    request.timeline.auth = perf_counter_ns()
    request.timeline.compute = 2_000_000
    recorder.on_done(request, 200, None)
    (series,) = recorder.series.values()

    assert {stage: sum(histogram.counts) for stage, histogram in series.stages.items()} == {"auth": 1, "compute": 1}
    assert series.stages["compute"].sum == 0.002
    assert sum(series.seconds.counts) == 1


def test_a_request_lasts_until_its_answer_and_one_without_until_it_is_counted(recorder: Recorder) -> None:
    for answer in (2_000_000_000, 0):
        request = received(routed=deployment())
        request.timeline.started -= 5_000_000_000
        request.timeline.answer = answer and request.timeline.started + answer
        recorder.on_done(request, 200, None)
    (series,) = recorder.series.values()

    assert 7.0 <= series.seconds.sum < 12.0


def test_a_name_that_a_client_made_up_never_becomes_a_label(recorder: Recorder) -> None:
    recorder.on_done(received(endpoint="made-up"), 404, NotFound("no such endpoint"))
    recorder.on_done(received(endpoint="price", pinned="made-up"), 404, NotFound("no such deployment"))

    assert set(recorder.series) == {("", "", "rest", "404"), ("price", "", "rest", "404")}
    assert set(recorder.errors) == {("", "", "rest", "NotFound"), ("price", "", "rest", "NotFound")}


def test_a_request_without_a_scoring_call_is_counted_without_names(recorder: Recorder) -> None:
    recorder.on_done(None, 200, None)

    assert set(recorder.series) == {("", "", "", "200")}


def test_a_failed_request_is_one_event_with_its_facts(recorder: Recorder, events: list[Any]) -> None:
    request = received(pinned="green", protocol="grpc", request_id="abc")
    request.timeline.queue = request.timeline.started + 1_500_000
    recorder.on_done(request, 14, NotReady("no worker"))
    (event,) = events
    event.pop("ms")

    assert event == {
        "event": "request.failed",
        "log_level": "warning",
        "endpoint": "price",
        "deployment": "green",
        "protocol": "grpc",
        "status": "14",
        "error": "NotReady",
        "message": "no worker",
        "client_request_id": "abc",
        "stages": {"queue": 1.5},
    }


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput('column "cut": no level "secret value"'),
        ModelFailed("bad secret value", "simpleError"),
        NotFound('no endpoint "secret key"'),
        Forbidden('the key does not hold the role score on endpoint "secret key"'),
    ],
)
def test_an_error_that_may_quote_the_request_is_logged_without_its_text(
    recorder: Recorder, events: list[Any], error: GatewayError
) -> None:
    recorder.on_done(received(), 400, error)

    assert "secret" not in str(events)
    assert events[0]["error"] == type(error).__name__


def test_the_models_own_class_of_error_is_logged(recorder: Recorder, events: list[Any]) -> None:
    recorder.on_done(received(), 500, ModelFailed("x", "subscriptOutOfBoundsError"))

    assert events[0]["kind"] == "subscriptOutOfBoundsError"


def test_only_a_fault_of_ours_is_a_warning(recorder: Recorder, events: list[Any]) -> None:
    for error in (GatewayError("a defect"), Overloaded("full"), InvalidInput("x"), NotReady("no worker")):
        recorder.on_done(received(), 0, error)

    assert [event["log_level"] for event in events] == ["warning", "info", "info", "warning"]


def test_a_flood_of_refusals_is_counted_whole_and_logged_in_part(
    recorder: Recorder, events: list[Any], time: Time
) -> None:
    for _ in range(10):
        recorder.on_done(received(), 429, Overloaded("full"))
    time.now += 1.0
    recorder.on_done(received(), 429, Overloaded("full"))

    assert [event.get("not_logged") for event in events] == [None, None, None, 7]
    assert recorder.refused == {("price", "rest"): 11}


def test_a_flood_of_one_kind_does_not_hide_another(recorder: Recorder, events: list[Any]) -> None:
    for _ in range(10):
        recorder.on_done(received(), 429, Overloaded("full"))
    recorder.on_done(received(), 503, NotReady("no worker"))

    assert events[-1]["error"] == "NotReady"


class Changing:
    """A catalog that changes: endpoint → its deployments."""

    def __init__(self, **endpoints: Sequence[str]) -> None:
        self.served = endpoints

    def endpoints(self) -> list[EndpointState]:
        return [self.endpoint(name) for name in self.served]

    def endpoint(self, name: str | None) -> EndpointState:
        if name not in self.served:
            raise NotFound("no such endpoint")
        states = {each: DeploymentState(name=each, deployment=None, is_ready=True) for each in self.served[name]}
        return EndpointState(name=name, deployments=states)


def changed_a_hundred_times(catalog: Changing, recorder: Recorder, stays: str = "blue") -> None:
    """Each time with a deployment of a new name beside the one that stays."""
    for number in range(100):
        catalog.served = {"price": (stays, f"v{number}")}
        for name in (stays, f"v{number}"):
            request = received("price", routed=deployment("price", name))
            recorder.on_done(request, 200, None)
            recorder.on_done(request, 429, Overloaded("full"))


def test_figures_of_what_is_gone_are_told_for_a_while_and_then_forgotten(time: Time, events: list[Any]) -> None:
    catalog = Changing()
    recorder = Recorder(catalog, time)
    changed_a_hundred_times(catalog, recorder)
    told = {deployment for _, deployment, _, _ in recorder.series}

    assert told == {"blue"} | {f"v{number}" for number in range(49, 100)}
    assert {deployment for _, deployment, _, _ in recorder.errors} == told


def test_what_stays_loses_nothing_when_others_are_forgotten(time: Time, events: list[Any]) -> None:
    catalog = Changing()
    recorder = Recorder(catalog, time)
    changed_a_hundred_times(catalog, recorder)

    assert recorder.series["price", "blue", "rest", "200"].count == 100
    assert recorder.errors["price", "blue", "rest", "Overloaded"] == 100
    assert recorder.refused["price", "rest"] == 200


def test_who_was_there_from_the_beginning_and_goes_last_is_told_of_longest(time: Time, events: list[Any]) -> None:
    catalog = Changing()
    recorder = Recorder(catalog, time)
    changed_a_hundred_times(catalog, recorder)
    catalog.served = {"claims": ("blue",)}
    recorder.on_done(received("claims", routed=deployment("claims", "blue")), 200, None)

    assert ("price", "blue", "rest", "200") in recorder.series
    assert ("price", "v49", "rest", "200") not in recorder.series


def test_deployments_that_were_replaced_are_not_kept_alive(recorder: Recorder) -> None:
    def alive() -> int:
        gc.collect()
        return sum(isinstance(each, Deployment) for each in gc.get_objects())

    before = alive()
    for _ in range(100):
        replaced = deployment()
        recorder.on_done(received(routed=replaced), 200, None)
        recorder.on_done(received(routed=replaced), 404, None)

    assert alive() - before == 1
    assert recorder.series["price", "blue", "rest", "200"].count == 100
