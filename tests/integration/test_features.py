"""
Features through the whole of Lockgate: keys in, answers out, and what is left when the store is not.

The example shows that every wire gives the answer of the full row. A small folder of its own has the policies, once
with the store that ``serve`` brings along and once with one from outside that can be paused and killed.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from feature_cache.embedded import EmbeddedOptions
from gateway.wire.v1 import grpc_service_pb2 as wire
from tests.support.https import Https, Reply
from tests.support.onnx_models import DOUBLE, constant, save
from tests.support.samples import EXAMPLES, Frame, expected, sample
from tests.support.stack import PATIENCE, Stack, gone, run_lockgate, serving, start
from tests.support.valkey import Valkey, private_valkey
from tests.support.wires import WIRES, Client, Target, Wire

STONES = json.loads((EXAMPLES / "requests" / "diamond-price.rows.json").read_bytes())["row"]
TYPES = {"diamond_id": "INT64", "carat": "FP64"}

VIEW = """\
name: {name}
entities: [{{name: stone_id, type: int64}}]
features:
  - {{name: a, type: float64, freshness: 24h}}
  - {{name: b, type: float64, on_missing: default, default: 5.0, on_stale: stale_ok, freshness: 24h}}
{more}
"""
OLD = 1_600_000_000_000_000


@pytest.fixture(scope="module")
def client(examples: Stack) -> Iterator[Client]:
    with Client(examples) as client:
        yield client


# The example


@pytest.mark.parametrize("deployment", ["blue", "green"])
@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
def test_every_wire_form_with_keys_alone_gives_the_answer_of_the_full_row(
    client: Client, wire: Wire, deployment: str
) -> None:
    target = Target("diamond-price", deployment, types=TYPES)
    answer = wire.ask(client, target, Frame(["diamond_id"], [[stone] for stone in STONES[:20]]))

    assert answer.values == {name: values[:20] for name, values in expected("diamond-price", deployment).items()}


@pytest.mark.parametrize("wire", [wire for wire in WIRES if not wire.is_positional], ids=lambda wire: wire.name)
def test_a_value_that_is_sent_wins_on_every_wire(client: Client, wire: Wire) -> None:
    target = Target("diamond-price", "blue", types=TYPES)
    full = sample("diamond-price").head(3)
    rows = [[stone, 0.77] for stone in STONES[:3]]
    answer = wire.ask(client, target, Frame(["diamond_id", "carat"], rows))
    for row in range(3):
        full = full.with_value(row, "carat", 0.77)
    wanted = WIRES[0].ask(client, Target("diamond-price", "blue"), full)

    assert answer.values == wanted.values


def test_the_openapi_document_asks_for_the_key_and_its_example_is_answered(client: Client) -> None:
    target = Target("diamond-price", "blue")
    document = client.https.ask("GET", "/api/v1/endpoint/diamond-price/swagger.json?version=3").json
    schema = document["components"]["schemas"]["ServiceInput"]
    reply = client.post(target, "/api/v1/endpoint/diamond-price/score", schema["example"])

    assert schema["properties"]["input_data"]["items"]["required"] == ["diamond_id"]
    assert reply.json == expected("diamond-price", "blue")["price"][:1]


def test_oip_metadata_shows_the_key_over_http_and_grpc(client: Client) -> None:
    http = client.https.ask("GET", "/v2/models/diamond-price").json
    request = wire.ModelMetadataRequest(name="diamond-price")
    over_grpc = client.stub.ModelMetadata(request, metadata=client.metadata(Target("diamond-price", "blue")))

    assert http["inputs"] == [{"name": "diamond_id", "datatype": "INT64", "shape": [-1, 1]}]
    assert [(each.name, each.datatype) for each in over_grpc.inputs] == [("diamond_id", "INT64")]


def test_an_unknown_key_is_the_callers_mistake(client: Client) -> None:
    reply = client.post(Target("diamond-price", "blue"), "/score", {"input_data": [{"diamond_id": 1}]})

    assert reply.status == 400
    assert "nothing is stored for this entity" in reply.json["error"]["message"]


# A folder of its own: y = a + 100 b


def folder(root: Path, settings: str = "") -> Path:
    """Endpoints ``price`` and ``strict``, which is bound to a view that is cache_only."""
    model = root / "model"
    model.mkdir(parents=True)
    nodes = [helper.make_node("Mul", ["b", "hundred"], ["c"]), helper.make_node("Add", ["a", "c"], ["y"])]
    shape = [None, 1]
    inputs = [("a", DOUBLE, shape), ("b", DOUBLE, shape)]
    save(model / "model.onnx", nodes, inputs, [("y", DOUBLE, shape)], [constant("hundred", 100.0)])
    scalars = [{"name": name, "type": "float", "datatype": "FP64"} for name in "aby"]
    signature = {"inputs": scalars[:2], "outputs": scalars[2:], "example": [[1.0, 2.0]]}
    (model / "signature.json").write_text(json.dumps(signature))
    (root / "features").mkdir()
    (root / "features" / "stones.csv").write_text(
        f"stone_id,a,b,event_time\n1,1,2,{fresh()}\n2,1,,{fresh()}\n3,1,2,{OLD}\n"
    )
    (root / "endpoints").mkdir()
    for endpoint, view, more in (("price", "stones", ""), ("strict", "closed", "source: cache_only")):
        text = VIEW.format(name=view, more=f"seed: stones.csv\n{more}")
        (root / "features" / f"{view}.yaml").write_text(text)
        deployment = {"model": "../model", "features": {"a": f"{view}:a", "b": f"{view}:b"}}
        (root / "endpoints" / f"{endpoint}.yaml").write_text(
            json.dumps({"name": endpoint, "deployments": {"blue": deployment}})
        )
    if settings:
        (root / "lockgate.yaml").write_text(settings)
    return root


def fresh() -> int:
    return time.time_ns() // 1000 - 60_000_000


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("own") / "served")


@pytest.fixture(scope="module")
def own(own_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With the store that serve brings along."""
    with serving(own_folder, tmp_path_factory.mktemp("state")) as stack:
        yield stack


@pytest.fixture(scope="module")
def outside() -> Iterator[Valkey]:
    with private_valkey(EmbeddedOptions(max_memory_mb=32)) as server:
        yield server


@pytest.fixture(scope="module")
def linked_folder(outside: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = json.dumps({"features": {"url": outside.url, "timeout_ms": 20, "local": {"last_known_ms": 0}}})
    return folder(tmp_path_factory.mktemp("linked") / "served", settings)


@pytest.fixture(scope="module")
def linked(linked_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With a store from outside, and rows in it."""
    fill(linked_folder)
    with serving(linked_folder, tmp_path_factory.mktemp("state")) as stack:
        yield stack


def fill(served: Path) -> None:
    done = run_lockgate("features", "load", str(served / "features" / "stones.csv"), "--view", "stones", cwd=served)
    assert done.returncode == 0, done.stderr


def ask(stack: Stack, *rows: dict[str, Any], endpoint: str = "price") -> Reply:
    with Https(stack) as https:
        return https.post(f"/api/v1/endpoint/{endpoint}/score", {"input_data": list(rows)})


def until_answered(stack: Stack, row: dict[str, Any], status: int = 200) -> Reply:
    """Ask until it is answered so: reconnecting takes the gateway some milliseconds."""
    deadline = time.monotonic() + PATIENCE
    while (reply := ask(stack, row)).status != status:
        assert time.monotonic() < deadline, reply.body
    return reply


def test_rows_with_and_without_keys_are_scored_together(own: Stack) -> None:
    reply = ask(own, {"stone_id": 1}, {"a": 3, "b": 4}, {"stone_id": 1, "b": 0})

    assert reply.json == [201, 403, 1]


def test_a_missing_value_is_the_views_default(own: Stack) -> None:
    assert ask(own, {"stone_id": 99, "a": 1}).json == [501]


def test_a_missing_value_without_a_default_is_refused_by_name(own: Stack) -> None:
    reply = ask(own, {"stone_id": 1}, {"stone_id": 99})

    assert reply.status == 400
    assert 'row 1: view "stones", feature "a"' in reply.json["error"]["message"]


def test_a_stale_value_is_used_where_the_view_allows_it_and_refused_by_name_elsewhere(own: Stack) -> None:
    refused = ask(own, {"stone_id": 3})

    assert ask(own, {"stone_id": 3, "a": 7}).json == [207]
    assert refused.status == 424
    assert 'feature "a": the stored value is older' in refused.json["error"]["message"]


def test_of_a_view_that_is_cache_only_nothing_may_be_sent(own: Stack) -> None:
    reply = ask(own, {"stone_id": 1, "a": 3}, endpoint="strict")

    assert ask(own, {"stone_id": 1}, endpoint="strict").json == [201]
    assert reply.status == 400
    assert 'column "a": it is read from view "closed" only' in reply.json["error"]["message"]


def test_a_row_that_is_loaded_while_it_serves_is_served_from_then_on(
    own: Stack, own_folder: Path, tmp_path: Path
) -> None:
    before = ask(own, {"stone_id": 1, "b": 0}).json
    (tmp_path / "new.csv").write_text(f"stone_id,a,b,event_time\n50,8,9,{fresh()}\n")
    options = ("--view", "stones", "--folder", str(own_folder), "--state-dir", str(own.state))
    done = run_lockgate("features", "load", str(tmp_path / "new.csv"), *options)

    assert done.returncode == 0, done.stderr
    assert before == [1]
    assert until_answered(own, {"stone_id": 50}).json == [908]


def test_the_state_and_the_figures_of_the_store_are_told(own: Stack) -> None:
    ask(own, {"stone_id": 1})
    hits = own.metric('lockgate_feature_rows_total{gateway="0",result="hit"}')
    ask(own, {"stone_id": 1})
    _, text = own.ask_admin("/readyz")

    assert json.loads(text)["features"]["0"] == {"ready": True, "local_copy": True, "problems": []}
    assert own.metric('lockgate_feature_store_up{gateway="0"}') == 1
    assert own.metric('lockgate_feature_rows_total{gateway="0",result="hit"}') == hits + 1


def test_a_store_of_its_own_that_dies_is_there_and_filled_again(own: Stack) -> None:
    since = own.mark()
    (store,) = [process for process in own.processes() if process.argv and "valkey-server" in process.argv[0]]
    os.kill(store.pid, signal.SIGKILL)
    own.event("features.store_exited", since)
    own.event("features.filled", since, view="stones")

    assert until_answered(own, {"stone_id": 1}).json == [201]


def test_check_shows_what_clients_send(own_folder: Path) -> None:
    done = run_lockgate("check", str(own_folder))

    assert done.returncode == 0, done.stdout
    assert "stone_id" in done.stdout


def test_a_store_that_dies_leaves_what_the_policies_say_and_comes_back(
    linked: Stack, linked_folder: Path, outside: Valkey
) -> None:
    assert ask(linked, {"stone_id": 1}).json == [201]
    outside.kill()
    refused = until_answered(linked, {"stone_id": 1}, 503)
    with_default = ask(linked, {"stone_id": 1, "a": 1})
    is_ready, text = linked.ask_admin("/readyz")
    outside.restart()
    fill(linked_folder)

    assert refused.json["error"]["code"] == "NoFeatures"
    assert 'view "stones", feature "a"' in refused.json["error"]["message"]
    assert with_default.json == [501]
    assert is_ready == 200
    assert json.loads(text)["features"]["0"]["ready"] is False
    assert until_answered(linked, {"stone_id": 1}).json == [201]


def test_a_store_that_does_not_answer_costs_no_request_more_than_the_timeout(linked: Stack, outside: Valkey) -> None:
    until_answered(linked, {"stone_id": 1})
    with outside.paused():
        start_at = time.monotonic()
        replies = [ask(linked, {"stone_id": number, "a": 1}) for number in range(100, 110)]
        took = time.monotonic() - start_at

    assert [reply.json for reply in replies] == [[501]] * 10
    assert took < 10
    assert until_answered(linked, {"stone_id": 1}).json == [201]


def test_a_binding_that_does_not_fit_the_model_is_told_by_check_and_by_a_running_server(tmp_path: Path) -> None:
    served = folder(tmp_path / "served")
    endpoint = served / "endpoints" / "price.yaml"
    endpoint.write_text(endpoint.read_text().replace('"a":', '"c":'))
    checked = run_lockgate("check", str(served))
    stack = start(served, tmp_path)
    try:
        stack.event("gateway.features_do_not_fit")
        status, text = stack.ask_admin("/readyz")
        reply = ask(stack, {"stone_id": 1})
    finally:
        stack.stop()
    told = "features.c: the model has no such input, it has a, b"

    assert checked.returncode == 1
    assert told in checked.stdout
    assert status == 503
    assert told in json.loads(text)["endpoints"]["price"]["blue"]["reason"]
    assert reply.status == 503


def test_its_own_store_does_not_outlive_a_server_that_is_killed(tmp_path: Path) -> None:
    stack = start(folder(tmp_path / "served"), tmp_path)
    try:
        stack.event("features.filled", view="stones")
        (store,) = [process for process in stack.processes() if process.argv and "valkey-server" in process.argv[0]]
        descriptor = os.pidfd_open(store.pid)
        stack.process.kill()

        gone([descriptor])
    finally:
        stack.stop()
