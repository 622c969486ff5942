"""What each change makes of a document, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.control import changes
from gateway.control.document import Document, Entry, content_digest
from gateway.core.errors import GatewayError, InvalidInput, NotFound

PRICE = {
    "name": "price",
    "traffic": {"blue": 90, "green": 10},
    "mirror_traffic": {"next": 20},
    "deployments": {"blue": {"model": "/m/blue"}, "green": {"model": "/m/green"}, "next": {"model": "/m/next"}},
}
ONLY = {"name": "only", "deployments": {"blue": {"model": "/m/blue"}}}
BEFORE = Document(
    entry=Entry(version=7, at=1.0, by="ann", what="before"),
    endpoints={"price": PRICE, "only": ONLY},
    views={"stones": {"name": "stones", "features": []}},
    models={"/m/blue": "b1", "/m/green": "g1", "/m/next": "n1"},
)


def traffic(document: Document, endpoint: str = "price") -> Any:
    return document.endpoints[endpoint]["traffic"]


def test_weights_are_complete_so_what_is_not_named_gets_nothing() -> None:
    after = changes.set_traffic(BEFORE, "price", {"green": 100})

    assert traffic(after) == {"blue": 0, "green": 100, "next": 0}
    assert after.entry.what == "traffic of price: blue 0, green 100, next 0"


def test_weights_of_zero_take_the_endpoint_out_of_service() -> None:
    assert traffic(changes.set_traffic(BEFORE, "price", {})) == {"blue": 0, "green": 0, "next": 0}


def test_a_change_leaves_the_document_before_and_all_else_as_it_was() -> None:
    digest = content_digest(BEFORE)
    after = changes.set_traffic(BEFORE, "price", {"blue": 100})

    assert content_digest(BEFORE) == digest
    assert after.endpoints["only"] is ONLY
    assert {key: value for key, value in after.endpoints["price"].items() if key != "traffic"} == {
        key: value for key, value in PRICE.items() if key != "traffic"
    }


def test_the_mirror_is_what_was_named_and_nothing_else() -> None:
    after = changes.set_mirror(BEFORE, "price", {"green": 0, "next": 50})

    assert after.endpoints["price"]["mirror_traffic"] == {"next": 50}
    assert after.entry.what == "mirror of price: next 50"


def test_an_endpoint_without_shadows_says_nothing_of_them() -> None:
    off = changes.set_mirror(BEFORE, "price", {})

    assert "mirror_traffic" not in off.endpoints["price"]
    assert content_digest(changes.set_mirror(off, "price", {"next": 0})) == content_digest(off)


def test_an_unloaded_endpoint_says_so_and_a_loaded_one_says_nothing() -> None:
    unloaded = changes.set_loaded(BEFORE, "price", is_loaded=False)

    assert unloaded.endpoints["price"]["loaded"] is False
    assert changes.set_loaded(unloaded, "price", is_loaded=True).endpoints["price"] == PRICE
    assert unloaded.entry.what == "price unloaded"


def test_an_endpoint_gets_its_name_from_its_place() -> None:
    after = changes.put_endpoint(BEFORE, "new", {"deployments": {"blue": {"model": "/m/blue"}}})

    assert after.endpoints["new"]["name"] == "new"
    assert (after.entry.what, list(after.endpoints)) == ("new added", ["price", "only", "new"])


def test_a_deleted_endpoint_is_gone() -> None:
    after = changes.delete_endpoint(BEFORE, "price")

    assert list(after.endpoints) == ["only"]
    assert after.entry.what == "price deleted"


def test_a_new_deployment_has_no_traffic_and_takes_none_from_an_only_one() -> None:
    after = changes.put_deployment(BEFORE, "only", "green", {"model": "/m/green"})

    assert traffic(after, "only") == {"blue": 100, "green": 0}
    assert after.entry.what == "only/green added"


def test_a_replaced_deployment_keeps_its_traffic_and_nothing_of_what_it_said() -> None:
    before = changes.put_deployment(BEFORE, "price", "green", {"model": "/m/green", "workers": 3})
    after = changes.put_deployment(before, "price", "green", {"model": "/m/other"})

    assert after.endpoints["price"]["deployments"]["green"] == {"model": "/m/other"}
    assert traffic(after) == PRICE["traffic"]
    assert after.entry.what == "price/green replaced"


def test_a_deleted_deployment_is_nowhere_any_more() -> None:
    after = changes.delete_deployment(BEFORE, "price", "next").endpoints["price"]

    assert (list(after["deployments"]), after["mirror_traffic"]) == (["blue", "green"], {})


def test_a_merge_keeps_what_is_not_named_and_a_replacement_does_not() -> None:
    new = {"new": ONLY | {"name": "new"}}

    assert list(changes.merge(BEFORE, new, {}).endpoints) == ["price", "only", "new"]
    assert list(changes.merge(BEFORE, new, {}).views) == ["stones"]
    assert list(changes.replace(BEFORE, new, {}).endpoints) == ["new"]
    assert list(changes.replace(BEFORE, new, {}).views) == []


def test_a_rollback_says_what_the_past_said_as_a_change_of_the_present() -> None:
    now = changes.delete_endpoint(BEFORE, "price")
    after = changes.restore(now, BEFORE)

    assert content_digest(after) == content_digest(BEFORE)
    assert after.entry.what == "rollback to version 7"


def test_digests_follow_the_models_that_are_named() -> None:
    after = changes.delete_deployment(BEFORE, "price", "next")
    after = changes.put_deployment(after, "price", "green", {"model": "/m/other"})

    assert changes.with_digests(after, {"/m/other": "o1", "/m/blue": "b2"}).models == {
        "/m/blue": "b2",
        "/m/other": "o1",
    }


def test_a_long_list_of_names_does_not_fill_the_history() -> None:
    many = {f"e{i}": {"deployments": {"blue": {"model": "/m"}}} for i in range(1000)}

    assert changes.merge(BEFORE, many, {}).entry.what == "applied: e0, e1, e2, e3, e4, e5, e6, e7 and 992 more"


REFUSED: list[tuple[Callable[[], Document], type[GatewayError], str]] = [
    (lambda: changes.set_traffic(BEFORE, "nope", {}), NotFound, 'no endpoint "nope" here'),
    (
        lambda: changes.set_traffic(BEFORE, "price", {"red": 100}),
        NotFound,
        'endpoint "price" has no deployment "red", it has blue, green, next',
    ),
    (
        lambda: changes.set_traffic(BEFORE, "price", {"blue": 97}),
        InvalidInput,
        "traffic: expected a sum of 100, or 0, got 97",
    ),
    (
        lambda: changes.set_traffic(BEFORE, "price", {"blue": 200, "green": -100}),
        InvalidInput,
        "traffic.blue: expected 0 to 100, got 200",
    ),
    (
        lambda: changes.set_mirror(BEFORE, "price", {"next": 101}),
        InvalidInput,
        "mirror_traffic.next: expected 0 to 100, got 101",
    ),
    (lambda: changes.set_mirror(BEFORE, "price", {"red": 1}), NotFound, 'no deployment "red"'),
    (lambda: changes.set_loaded(BEFORE, "nope", is_loaded=True), NotFound, 'no endpoint "nope" here'),
    (lambda: changes.delete_endpoint(BEFORE, "nope"), NotFound, 'no endpoint "nope" here'),
    (lambda: changes.delete_deployment(BEFORE, "price", "red"), NotFound, 'no deployment "red"'),
    (
        lambda: changes.delete_deployment(BEFORE, "price", "green"),
        InvalidInput,
        "traffic.green: expected 0 before it is deleted, has 10",
    ),
    (
        lambda: changes.delete_deployment(BEFORE, "only", "blue"),
        InvalidInput,
        "deployments.blue: the only one of only: delete the endpoint instead",
    ),
    (
        lambda: changes.put_deployment(BEFORE, "price", "red", {"model": "m/red"}),
        InvalidInput,
        "deployments.red.model: expected the absolute path of a model",
    ),
    (
        lambda: changes.put_endpoint(BEFORE, "new", {"deployments": {"blue": {"model": "../m"}}}),
        InvalidInput,
        "endpoints.new.deployments.blue.model: expected the absolute path of a model",
    ),
    (
        lambda: changes.put_endpoint(BEFORE, "new", {"name": "old"}),
        InvalidInput,
        'endpoints.new.name: expected "new", or nothing',
    ),
    (
        lambda: changes.merge(BEFORE, {}, {"v": {"seed": "rows.csv"}}),
        InvalidInput,
        "views.v.seed: expected an absolute path",
    ),
]


@pytest.mark.parametrize(("change", "kind", "text"), REFUSED)
def test_what_points_nowhere_or_means_nothing_is_refused_by_its_name(
    change: Callable[[], Document], kind: type[GatewayError], text: str
) -> None:
    with pytest.raises(kind) as caught:
        change()

    assert text in str(caught.value)
