"""
Split, mirror and comparison on the real server: a planted bug is found, and shadows that misbehave harm nobody.

One server for all tests. What is mirrored is counted a moment after the answer, so tests ask until it is.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.wire.v1 import grpc_service_pb2 as wire
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.https import Https, Reply
from tests.support.mirrored import FLOWERS, Mirrored
from tests.support.stack import PATIENCE, Stack, run_lockgate, serving

PIN = "azureml-model-deployment"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Endpoints with shadows; what crashes and hangs in them is expected."""
    folder = Mirrored(tmp_path_factory.mktemp("mirrored") / "served")
    expected = ("worker.killed_itself", "caught segfault")
    with serving(folder.root, tmp_path_factory.mktemp("state"), expected=expected) as one:
        yield one


def comparison(stack: Stack, endpoint: str, key: str | None = None, path: str = "") -> tuple[int, Any]:
    """What the admin API says."""
    request = urllib.request.Request(  # noqa: S310
        f"{stack.admin_url}/endpoints/{endpoint}/comparison{path}",
        headers={"Authorization": f"Bearer {stack.key if key is None else key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def shadows(stack: Stack, endpoint: str) -> dict[str, Any]:
    """As who may see inputs is told of them."""
    key = (stack.state / "admin.key").read_text(encoding="ascii").strip()
    return {shadow["deployment"]: shadow for shadow in comparison(stack, endpoint, key)[1]["shadows"]}


def settled(shadow: dict[str, Any]) -> int:
    """Requests of which it is known what became of them."""
    found = sum(shadow["dropped"].values()) + sum(shadow["failed"].values())
    return int(found + sum(one["requests"] + one["errors"]["only_primary"] for one in shadow["comparisons"]))


def until(stack: Stack, endpoint: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The shadows, when it is so."""
    deadline = time.monotonic() + PATIENCE
    while not is_so(found := shadows(stack, endpoint)):
        assert time.monotonic() < deadline, found
    return found


def flower(row: dict[str, Any]) -> dict[str, Any]:
    return {"input_data": {"columns": list(row), "data": [list(row.values())]}}


def ask_all(stack: Stack, endpoint: str, rows: list[dict[str, Any]]) -> list[Reply]:
    with Https(stack) as https:
        return [https.post(f"/api/v1/endpoint/{endpoint}/score", flower(row)) for row in rows]


def over_grpc(stack: Stack, request: wire.ModelInferRequest, **metadata: str) -> tuple[Any, dict[str, Any]]:
    """The answer and its trailers."""
    credentials = grpc.ssl_channel_credentials(stack.ca.read_bytes())
    with grpc.secure_channel(stack.grpc_target, credentials) as channel:
        stub = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        sent = [("authorization", f"Bearer {stack.key}"), *metadata.items()]
        answer, call = stub.ModelInfer.with_call(request, metadata=sent, timeout=PATIENCE)
        return answer, dict(call.trailing_metadata())


def flower_tensors(endpoint: str, row: dict[str, Any]) -> wire.ModelInferRequest:
    request = wire.ModelInferRequest(model_name=endpoint)
    for name, value in row.items():
        if isinstance(value, str):
            request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(value.encode())
        else:
            request.inputs.add(name=name, datatype="FP64", shape=[1]).contents.fp64_contents.append(value)
    return request


@pytest.fixture(scope="module")
def compared(stack: Stack) -> dict[str, Any]:
    """The shadows of ``flower-length`` after every flower, half of them over gRPC."""
    half = len(FLOWERS) // 2
    replies = ask_all(stack, "flower-length", FLOWERS[:half])
    assert {reply.status for reply in replies} == {200}
    for row in FLOWERS[half:]:
        over_grpc(stack, flower_tensors("flower-length", row))
    return until(
        stack,
        "flower-length",
        lambda found: all(settled(shadow) == len(FLOWERS) for shadow in found.values()),
    )


def test_swapped_levels_are_found(compared: dict[str, Any]) -> None:
    (found,) = compared["swapped"]["comparisons"]

    assert found["differs"]
    # Only the flowers whose level kept its place are right.
    assert found["agreement"] == pytest.approx(1 / 3, abs=0.02)


def test_the_same_model_agrees_with_itself(compared: dict[str, Any]) -> None:
    (found,) = compared["again"]["comparisons"]

    assert (found["agreement"], found["noise_agreement"], found["differs"]) == (1.0, 1.0, False)
    assert found["columns"]["prediction"]["identical"] == 1.0


def test_the_worst_rows_show_the_inputs_that_the_endpoint_allows_to_be_kept(compared: dict[str, Any]) -> None:
    worst = compared["swapped"]["comparisons"][0]["worst"]

    assert len(worst) == 5
    assert {row["inputs"]["Species"] for row in worst} <= {"versicolor", "virginica"}
    assert all(row["request_id"] for row in worst)


@pytest.mark.parametrize("path", ["", "/state"])
def test_who_may_only_score_sees_the_comparison_without_what_others_sent(
    stack: Stack, compared: dict[str, Any], path: str
) -> None:
    status, told = comparison(stack, "flower-length", path=path)
    found = told["shadows"] if not path else [told]
    worst = [row for each in found for one in each["comparisons"] for row in one["worst"]]

    assert (status, {row["inputs"] for row in worst}) == (200, {None})
    assert told["has_withheld"] if path else "deploy" in told["inputs_withheld"]


def test_requests_of_both_protocols_are_mirrored(compared: dict[str, Any]) -> None:
    assert compared["swapped"]["mirrored"] + sum(compared["swapped"]["dropped"].values()) == len(FLOWERS)
    assert compared["swapped"]["mirrored"] > len(FLOWERS) / 2 + 1


def test_a_classifier_whose_levels_were_swapped_flips_every_class(stack: Stack) -> None:
    rows = [{"Sepal.Length": row["Sepal.Length"], "Petal.Length": row["Petal.Length"]} for row in FLOWERS[::4]]
    ask_all(stack, "flower-kind", rows)
    found = until(stack, "flower-kind", lambda found: settled(found["swapped"]) == len(rows))
    (one,) = found["swapped"]["comparisons"]
    flips = {(flip["primary"], flip["shadow"]) for flip in one["columns"]["label"]["flips"]}

    assert one["agreement"] == 0.0
    assert flips == {("versicolor", "virginica"), ("virginica", "versicolor")}
    assert all(row["inputs"] is None for row in one["worst"])


def test_the_command_prints_what_was_found(stack: Stack, compared: dict[str, Any]) -> None:
    options = ("--state-dir", str(stack.state), "--key-file", str(stack.state / "admin.key"))
    done = run_lockgate("compare", "flower-length", "--admin-port", str(stack.admin_port), *options)

    assert done.returncode == 0, done.stderr
    assert re.search(r"swapped against blue\s+DIFFERS", done.stdout)
    assert re.search(r"again against blue\s+agrees", done.stdout)
    assert "▁" in done.stdout or "█" in done.stdout
    assert "Species=" in done.stdout


def test_the_command_gives_json(stack: Stack, compared: dict[str, Any]) -> None:
    options = ("--state-dir", str(stack.state), "--admin-port", str(stack.admin_port), "--json")
    report = json.loads(run_lockgate("compare", "flower-length", *options).stdout)

    assert [shadow["deployment"] for shadow in report["shadows"]] == ["again", "swapped"]


def test_the_comparison_takes_a_key_and_a_known_endpoint(stack: Stack) -> None:
    status, body = comparison(stack, "nowhere")

    assert comparison(stack, "steady", key="lg_wrong")[0] == 401
    assert (status, body["error"]["message"]) == (404, 'no endpoint "nowhere" here')


def test_agreement_is_exported(stack: Stack, compared: dict[str, Any]) -> None:
    pair = {"gateway": "0", "endpoint": "flower-length", "primary": "blue", "deployment": "swapped"}
    found = compared["swapped"]["comparisons"][0]
    _, text = stack.ask_admin("/metrics")
    series = {
        frozenset(sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "lockgate_compared_rows_total"
    }

    assert series[frozenset(pair.items())] == found["rows"]


@pytest.mark.parametrize("act", ["none", "stop", "leak", "nap"])
def test_the_primary_answers_the_same_whatever_the_shadow_does(stack: Stack, act: str) -> None:
    before = settled(shadows(stack, "steady")["rough"])
    replies = ask_all(stack, "steady", [{"wt": 2.5, "act": act}] * 20)
    until(stack, "steady", lambda found: settled(found["rough"]) == before + 20)

    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
    assert replies[0].json == pytest.approx([23.92], abs=0.01)


@pytest.mark.parametrize(("act", "error"), [("crash", "WorkerFailed"), ("hang", "DeadlineExceeded")])
def test_a_shadow_that_crashes_or_hangs_costs_no_request_and_is_not_asked_again(
    stack: Stack, act: str, error: str
) -> None:
    before = shadows(stack, "steady")["rough"]
    since = stack.mark()
    replies = ask_all(stack, "steady", [{"wt": 2.5, "act": act}, *[{"wt": 2.5, "act": "none"}] * 20])
    found = until(stack, "steady", lambda found: settled(found["rough"]) == settled(before) + 21)["rough"]
    if act == "crash":
        stack.reconnected("steady/rough", since)

    assert {reply.status for reply in replies} == {200}
    assert found["failed"].get(error, 0) > before["failed"].get(error, 0)
    # Once, and not once more for a second try: the next worker lives.
    assert len([e for e in stack.events[since:] if e["event"] == "workers.worker_died"]) == (act == "crash")


def test_a_failure_of_a_shadow_is_logged_with_its_mark(stack: Stack) -> None:
    ask_all(stack, "steady", [{"wt": 2.5, "act": "stop"}])
    # The first of them, whoever caused it: they are not all logged.
    event = stack.event("mirror.failed", endpoint="steady", deployment="rough", error="ModelFailed")

    assert (event["mirrored"], event["level"]) == (True, "warning")
    assert event["request_id"]


def test_a_pinned_request_is_neither_split_nor_mirrored(stack: Stack) -> None:
    row = {"wt": 2.5, "act": "none"}
    before = shadows(stack, "steady")["rough"]["mirrored"]
    version = wire.ModelInferRequest()
    version.CopyFrom(flower_tensors("steady", row))
    version.model_version = "rough"
    with Https(stack) as https:
        path = "/api/v1/endpoint/steady/score"
        served = [https.post(path, flower(row), {PIN: name}).headers[PIN] for name in ("blue", "rough")]
        tensors = [{"name": "wt", "datatype": "FP64", "shape": [1], "data": [2.5]}]
        pinned = https.post("/v2/models/steady/versions/blue/infer", {"inputs": tensors})
    by_version, _ = over_grpc(stack, version)
    by_metadata, _ = over_grpc(stack, flower_tensors("steady", row), **{PIN: "rough"})

    assert served == ["blue", "rough"]
    assert (by_version.model_version, by_metadata.model_version, pinned.headers[PIN]) == ("rough", "rough", "blue")
    assert shadows(stack, "steady")["rough"]["mirrored"] == before


def net_tensors(endpoint: str, customer: str | None = None) -> wire.ModelInferRequest:
    request = wire.ModelInferRequest(model_name=endpoint)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([1, 2, 3, 4])
    if customer is not None:
        texts = request.inputs.add(name="customer", datatype="BYTES", shape=[1]).contents.bytes_contents
        texts.append(customer.encode())
    return request


def test_a_header_keeps_a_customer_with_one_deployment_over_both_protocols(stack: Stack) -> None:
    served: dict[str, set[str]] = {}
    with Https(stack) as https:
        for customer in (f"c{i}" for i in range(12)):
            body = {"input_data": [{"x": [1, 2, 3, 4]}]}
            path = "/api/v1/endpoint/by-header/score"
            names = {https.post(path, body, {"x-customer": customer}).headers[PIN] for _ in range(3)}
            names.add(over_grpc(stack, net_tensors("by-header"), **{"x-customer": customer})[0].model_version)
            served[customer] = names

    assert {len(names) for names in served.values()} == {1}
    assert {name for names in served.values() for name in names} == {"one", "other"}


def test_a_column_keeps_a_customer_with_one_deployment_in_every_form(stack: Stack) -> None:
    served: dict[str, set[str]] = {}
    with Https(stack) as https:
        for customer in (f"c{i}" for i in range(12)):
            path = "/api/v1/endpoint/by-column"
            record = {"x": [1, 2, 3, 4], "customer": customer}
            replies = [
                https.post(f"{path}/score", {"input_data": [record]}),
                https.post(
                    f"{path}/invocations",
                    {"dataframe_split": {"columns": list(record), "data": [list(record.values())]}},
                ),
            ]
            names = {reply.headers[PIN] for reply in replies}
            names.add(over_grpc(stack, net_tensors("by-column", customer))[0].model_version)
            served[customer] = names

    assert {len(names) for names in served.values()} == {1}
    assert {name for names in served.values() for name in names} == {"one", "other"}


def test_without_a_key_requests_are_split_at_random(stack: Stack) -> None:
    with Https(stack) as https:
        path, body = "/api/v1/endpoint/by-header/score", {"input_data": [{"x": [1, 2, 3, 4]}]}
        served = Counter(https.post(path, body).headers[PIN] for _ in range(60))

    assert set(served) == {"one", "other"}
