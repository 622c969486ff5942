"""Weights and pins pick the deployment that they should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.access import Principal
from gateway.core.catalog import DeploymentState, EndpointState
from gateway.core.errors import NotFound, NotReady, OutOfService
from gateway.core.request import Authenticated, Deployment
from gateway.core.signature import Signature
from gateway.routing.table import Route, RouteTable, Way
from tests.support.requests import received

ASKED = Authenticated(received("e"), Principal("p"))


def fixed(draw: float) -> Callable[[], float]:
    return lambda: draw


def state(name: str, weights: dict[str, int], missing: str = "") -> EndpointState:
    deployments = {}
    for deployment, weight in weights.items():
        loaded = Deployment(endpoint=name, name=deployment, signature=Signature(inputs=(), outputs=()))
        deployments[deployment] = DeploymentState(
            name=deployment,
            deployment=None if deployment == missing else loaded,
            is_ready=deployment != missing,
            weight=weight,
        )
    return EndpointState(name=name, deployments=deployments)


def test_every_hundredth_of_the_draw_goes_where_its_weight_says() -> None:
    route = RouteTable([state("e", {"blue": 90, "idle": 0, "green": 10})]).route("e")
    picked = [route.pick(ASKED, fixed((percent + 0.5) / 100)).name for percent in range(100)]

    assert picked == ["blue"] * 90 + ["green"] * 10


def test_a_pin_reaches_a_deployment_without_traffic() -> None:
    route = RouteTable([state("e", {"blue": 100, "idle": 0})]).route("e")

    assert route.pinned("idle").name == "idle"


def test_an_unknown_pin_is_not_found() -> None:
    with pytest.raises(NotFound, match='endpoint "e" has no deployment "red"'):
        RouteTable([state("e", {"blue": 100})]).route("e").pinned("red")


def test_an_endpoint_without_traffic_is_out_of_service() -> None:
    with pytest.raises(OutOfService):
        RouteTable([state("e", {"blue": 0, "green": 0})]).route("e").pick(ASKED, fixed(0.5))


def test_a_deployment_that_has_not_loaded_is_not_ready() -> None:
    with pytest.raises(NotReady):
        RouteTable([state("e", {"blue": 100}, missing="blue")]).route("e").pick(ASKED, fixed(0.5))


@pytest.mark.parametrize("pin", [True, False])
def test_who_asks_a_deployment_that_could_not_be_loaded_hears_that_it_failed(pin: bool) -> None:
    blue = DeploymentState(name="blue", deployment=None, is_ready=False, weight=100, has_failed=True, reason="/x/y")
    route = RouteTable([EndpointState(name="e", deployments={"blue": blue})]).route("e")
    with pytest.raises(NotReady) as told:
        route.pinned("blue") if pin else route.pick(ASKED, fixed(0.5))

    assert str(told.value) == (
        'deployment "blue" of endpoint "e" has failed to load its model; the server\'s log says why'
    )


def test_the_only_endpoint_needs_no_name() -> None:
    assert RouteTable([state("e", {"blue": 100})]).route(None).endpoint == "e"


def test_several_endpoints_need_a_name_and_are_listed() -> None:
    with pytest.raises(NotFound, match="name an endpoint: a, b"):
        RouteTable([state("a", {"blue": 100}), state("b", {"blue": 100})]).route(None)


def test_an_unknown_endpoint_is_not_found() -> None:
    with pytest.raises(NotFound, match='no endpoint "x" here'):
        RouteTable([state("a", {"blue": 100})]).route("x")


def test_routes_of_what_is_as_it_was_are_those_of_the_table_before() -> None:
    same, other = state("a", {"blue": 100}), state("b", {"blue": 100})
    before = RouteTable([same, other])
    after = RouteTable([same, state("b", {"blue": 100})], before=before)

    assert after.route("a") is before.route("a")
    assert after.route("b") is not before.route("b")


_STATES = st.lists(
    st.sampled_from([state(name, {"blue": blue, "green": 100 - blue}) for name in "ab" for blue in (0, 50, 100)]),
    unique_by=lambda each: each.name,
)
_WAYS = st.dictionaries(st.sampled_from("ab"), st.sampled_from([Way(key=lambda request, names: b"") for _ in "12"]))


@given(st.lists(st.tuples(_STATES, _WAYS), max_size=6))
def test_a_table_that_takes_another_s_place_is_what_it_would_be_alone(
    changes: list[tuple[list[EndpointState], dict[str, Way]]],
) -> None:
    table, found = RouteTable(()), []
    for states, ways in changes:
        table = RouteTable(states, ways, table)
        alone = RouteTable(states, ways)
        found.append([shown(each) == shown(other) for each, other in pairs(table, alone)])

    assert all(all(same) for same in found)


def pairs(one: RouteTable, other: RouteTable) -> list[tuple[Route | None, Route | None]]:
    """Of all names that either has."""
    return [(one.routes.get(name), other.routes.get(name)) for name in (*one.routes, *other.routes)]


def shown(route: Route | None) -> object:
    """All of it; two splits are the same when what they are made of is."""
    if route is None:
        return None
    rest = {each.name: getattr(route, each.name) for each in fields(route) if each.name != "split"}
    return rest, route.split.names, route.split.bounds
