"""What two documents say differently, and what it takes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.control.diff import WORKER_KEYS, Change, differences, sentence, summary
from gateway.control.document import Document, Entry
from gateway.control.endpoints import DeploymentConfig

PRICE: dict[str, Any] = {
    "name": "price",
    "traffic": {"blue": 90, "green": 10},
    "deployments": {"blue": {"model": "/m/blue"}, "green": {"model": "/m/green", "max_rows": 32}},
}


def document(
    endpoints: dict[str, Any] | None = None, models: dict[str, str] | None = None, views: dict[str, Any] | None = None
) -> Document:
    return Document(
        entry=Entry(version=1, at=0, by="", what=""),
        endpoints={"price": PRICE} if endpoints is None else endpoints,
        models=models or {},
        views=views or {},
    )


def told(new: Document, old: Document | None = None) -> list[tuple[str, str]]:
    """Sentence and effect of each."""
    return [(sentence(change), change.effect) for change in differences(old or document(), new)]


def changed(**settings: Any) -> Document:
    return document({"price": {**PRICE, **settings}})


def deployed(name: str, **settings: Any) -> Document:
    deployments = {**PRICE["deployments"], name: {**PRICE["deployments"].get(name, {}), **settings}}
    return changed(deployments=deployments)


def test_two_equal_documents_differ_in_nothing() -> None:
    assert told(document()) == []
    assert summary([]) == "nothing changes"


def test_a_weight_is_named_with_both_values_and_takes_no_workers() -> None:
    new = changed(traffic={"blue": 80, "green": 20})

    assert told(new) == [("price: traffic.blue 90 → 80", "none"), ("price: traffic.green 10 → 20", "none")]
    assert summary(differences(document(), new)) == "no new workers"


def test_what_is_new_and_what_is_gone_starts_and_stops_workers() -> None:
    assert told(document({"new": PRICE})) == [("new: added", "start"), ("price: removed", "stop")]


def test_deployments_that_come_and_go_are_named_by_their_endpoint() -> None:
    deployments = {"blue": PRICE["deployments"]["blue"], "red": {"model": "/m/red"}}

    assert told(changed(deployments=deployments)) == [("price/red: added", "start"), ("price/green: removed", "stop")]


def test_another_model_replaces_the_workers() -> None:
    new = deployed("green", model="/m/other")

    assert told(new) == [("price/green: model /m/green → /m/other", "replace")]
    assert summary(differences(document(), new)) == "new workers: price/green"


def test_other_files_in_a_model_replace_the_workers_of_every_deployment_that_has_it() -> None:
    old, new = document(models={"/m/blue": "a", "/m/green": "b"}), document(models={"/m/blue": "c", "/m/green": "b"})

    assert told(new, old) == [("price/blue: model files changed", "replace")]


def test_a_digest_that_was_not_known_before_is_no_change() -> None:
    assert told(document(models={"/m/blue": "a"})) == []


def test_batch_limits_of_the_gateway_take_no_workers() -> None:
    assert told(deployed("green", max_queue_rows=10)) == [("price/green: max_queue_rows (unset) → 10", "none")]


def test_a_setting_that_is_not_given_any_more_is_unset() -> None:
    old = deployed("green", device="cpu")

    assert told(document(), old) == [("price/green: device cpu → (unset)", "replace")]


def test_unloading_stops_and_loading_starts_workers() -> None:
    unloaded = changed(loaded=False)

    assert told(unloaded) == [("price: loaded (unset) → false", "stop")]
    assert told(document(), unloaded) == [("price: loaded false → (unset)", "start")]


def test_of_an_unloaded_endpoint_nothing_takes_workers() -> None:
    old = changed(loaded=False)
    new = document({"price": {**old.endpoints["price"], "deployments": {"blue": {"model": "/m/new", "workers": 2}}}})

    assert {effect for _, effect in told(new, old)} == {"none"}


def test_true_and_one_are_not_the_same() -> None:
    assert told(deployed("green", max_rows=True), deployed("green", max_rows=1)) == [
        ("price/green: max_rows 1 → true", "replace")
    ]


def test_keys_inside_keys_are_named_by_their_path() -> None:
    assert told(changed(sticky={"header": "x"}), changed(sticky={"column": "c"})) == [
        ("price: sticky.header (unset) → x", "none"),
        ("price: sticky.column c → (unset)", "none"),
    ]


def test_views_are_told_apart_from_endpoints() -> None:
    old, new = document(views={"a": {"ttl": 1}, "b": {}}), document(views={"a": {"ttl": 2}, "c": {}})

    assert told(new, old) == [
        ("view a: ttl 1 → 2", "none"),
        ("view c: added", "none"),
        ("view b: removed", "none"),
    ]


def test_a_long_value_is_cut_in_a_sentence_and_whole_in_the_change() -> None:
    (change,) = differences(document(), changed(description="d" * 500))

    assert len(sentence(change)) < 100
    assert msgspec.json.decode(msgspec.json.encode(change), type=Change) == change


@pytest.mark.parametrize("key", DeploymentConfig.__struct_fields__)
def test_of_every_key_it_is_known_whether_workers_are_started_with_it(key: str) -> None:
    of_the_gateway = {"latency_goal_ms", "max_queue_rows", "idempotent", "features"}

    assert (key in WORKER_KEYS) != (key in of_the_gateway)
