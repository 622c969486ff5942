"""The admin API of a running server: what probes and scrapers read, before and after something went wrong."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.conftest import IllTreated
from tests.support.https import Https
from tests.support.rough import body
from tests.support.samples import sample
from tests.support.stack import Stack, kill

ROWS = 70


def score(stack: Stack, endpoint: str, asked: object, **headers: str) -> int:
    with Https(stack) as https:
        return https.post(f"/api/v1/endpoint/{endpoint}/score", asked, headers).status


def family(stack: Stack, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """All series of one family, without the label that tells gateways apart."""
    _, text = stack.ask_admin("/metrics")
    found: Counter[tuple[tuple[str, str], ...]] = Counter()
    for metric in text_string_to_metric_families(text):
        for series in metric.samples:
            if series.name == name:
                labels = {key: value for key, value in series.labels.items() if key != "gateway"}
                found[tuple(sorted(labels.items()))] += series.value  # type: ignore[assignment]
    return dict(found)


def one(stack: Stack, name: str, **labels: str) -> float:
    return family(stack, name).get(tuple(sorted(labels.items())), 0.0)


def test_the_server_says_that_it_lives(examples: Stack) -> None:
    assert examples.ask_admin("/livez") == (200, "ok\n")


def test_readiness_lists_every_deployment_gateway_and_process(examples: Stack) -> None:
    status, text = examples.ask_admin("/readyz")
    page = json.loads(text)
    deployments = {
        (endpoint, name): (state["ready"], state["weight"])
        for endpoint, states in page["endpoints"].items()
        for name, state in states.items()
    }

    assert (status, page["ready"], page["gateways"]) == (200, True, {"0": True})
    assert deployments == {
        ("diamond-price", "blue"): (True, 90),
        ("diamond-price", "green"): (True, 10),
        ("tumor", "blue"): (True, 50),
        ("tumor", "green"): (True, 50),
    }
    assert {process["phase"] for process in page["processes"].values()} == {"ready"}
    assert {process["restarts"] for process in page["processes"].values()} == {0}


def test_the_admin_port_is_on_loopback_only(examples: Stack) -> None:
    outside = socket.gethostbyname(socket.gethostname())
    if outside.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((outside, examples.admin_port), timeout=10)


def test_rows_requests_and_stages_are_counted(examples: Stack) -> None:
    where = {"endpoint": "diamond-price", "deployment": "green"}
    wire = {**where, "protocol": "rest", "code": "200"}
    names = {"lockgate_rows_total": where, "lockgate_requests_total": wire}
    before = {name: one(examples, name, **labels) for name, labels in names.items()}
    asked = {"input_data": sample("diamond-price").head(ROWS).records()}
    score(examples, "diamond-price", asked, **{"azureml-model-deployment": "green"})
    after = {name: one(examples, name, **labels) for name, labels in names.items()}
    stages = {dict(labels)["stage"] for labels in family(examples, "lockgate_stage_seconds_count")}

    assert {name: after[name] - before[name] for name in names} == {
        "lockgate_rows_total": ROWS,
        "lockgate_requests_total": 1,
    }
    assert {"receive", "auth", "route", "features", "queue", "worker", "compute", "answer"} <= stages


def test_refusals_are_counted_by_what_went_wrong(examples: Stack) -> None:
    labels = {"endpoint": "tumor", "deployment": "green", "protocol": "rest", "error": "InvalidInput"}
    before = one(examples, "lockgate_request_errors_total", **labels)
    asked = {"input_data": sample("tumor").without("worst_area").head(1).records()}
    status = score(examples, "tumor", asked, **{"azureml-model-deployment": "green"})

    assert status == 400
    assert one(examples, "lockgate_request_errors_total", **labels) - before == 1


def failed(stack: Stack) -> tuple[str, dict[str, Any]]:
    """The id of a request that was refused, and what was logged about it."""
    since = stack.mark()
    frame = sample("diamond-price").head(1).with_value(0, "cut", "Unheard-of")
    with Https(stack) as https:
        reply = https.post("/api/v1/endpoint/diamond-price/score", {"input_data": frame.records()})
    return reply.headers["x-request-id"], stack.event("request.failed", since, endpoint="diamond-price")


def test_a_failed_request_is_one_event_without_the_callers_values(examples: Stack) -> None:
    _, event = failed(examples)

    assert (event["status"], event["error"]) == ("400", "InvalidInput")
    assert "Unheard-of" not in json.dumps(event)
    assert examples.key not in examples.output()


def test_a_failed_request_is_logged_under_the_id_that_the_caller_was_told(examples: Stack) -> None:
    request_id, event = failed(examples)

    assert request_id in event.values()


def test_a_worker_that_was_killed_is_counted_and_the_process_is_up_again(rough: IllTreated) -> None:
    before = one(rough.stack, "lockgate_worker_restarts_total", process="lone/blue")
    since = rough.stack.mark()
    kill(rough.stack.workers("lone/blue")[0])
    rough.stack.reconnected("lone/blue", since)
    status = score(rough.stack, "lone", body(2.0))
    restarts = one(rough.stack, "lockgate_worker_restarts_total", process="lone/blue")
    page = json.loads(rough.stack.ask_admin("/readyz")[1])

    assert (status, restarts - before) == (200, 1)
    assert one(rough.stack, "lockgate_process_up", process="lone/blue") == 1
    assert page["processes"]["lone/blue"]["restarts"] >= restarts


def test_a_group_that_was_killed_is_counted(rough: IllTreated) -> None:
    def shown() -> int:
        restarts: int = json.loads(rough.stack.ask_admin("/readyz")[1])["processes"]["net-lone/blue"]["restarts"]
        return restarts

    before = one(rough.stack, "lockgate_process_restarts_total", process="net-lone/blue"), shown()
    since = rough.stack.mark()
    kill(rough.stack.group("net-lone/blue"))
    rough.stack.reconnected("net-lone/blue", since)

    assert one(rough.stack, "lockgate_process_restarts_total", process="net-lone/blue") - before[0] == 1
    assert shown() - before[1] == 1


def test_every_worker_is_pinned_and_runs_on_the_cores_it_was_given(examples: Stack) -> None:
    allowed = os.sched_getaffinity(0)
    pins = {
        deployment: [os.sched_getaffinity(worker) for worker in examples.workers(deployment)]
        for deployment in ("diamond-price/blue", "tumor/green")
    }

    assert all(pin <= allowed and len(pin) == 1 for pinned in pins.values() for pin in pinned)
