"""Where a request goes: past split and mirror with a pin, to its endpoint's own way without one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.access import Grant, Principal, Role
from gateway.core.catalog import DeploymentState, EndpointState
from gateway.core.errors import DeadlineExceeded, Forbidden, GatewayError, NotFound, NotReady
from gateway.core.request import Answer, Authenticated, Deployment, Received, Routed
from gateway.core.rows import Layout, Rows
from gateway.core.service import Service
from gateway.routing.stage import Routing
from gateway.routing.table import RouteTable, Way
from tests.routing.test_table import state
from tests.support.requests import deployment, received

ENDPOINTS = [state("e", {"blue": 100, "green": 0})]


def answering(seen: list[str], name: str) -> Service[Routed, Answer]:
    async def serve(request: Routed, /) -> Answer:
        seen.append(f"{name}: {request.deployment.name}")
        return Answer(request.deployment, Rows(Layout.of(()), 0, b""))

    return serve


async def asked(call: Received, way: Way, seen: list[str]) -> None:
    stage = Routing(RouteTable(ENDPOINTS, {"e": way}), answering(seen, "plain"), clock=lambda: 0.0, draw=lambda: 0.5)
    await stage(Authenticated(call, Principal("p", (Grant(frozenset({Role.SCORE})),))))


async def test_a_request_without_a_pin_goes_the_way_of_its_endpoint() -> None:
    seen: list[str] = []
    await asked(received("e"), Way(serve=answering(seen, "mirrored")), seen)

    assert seen == ["mirrored: blue"]


async def test_a_pin_leads_past_the_mirror_even_to_the_deployment_with_traffic() -> None:
    seen: list[str] = []
    way = Way(serve=answering(seen, "mirrored"))
    await asked(received("e", pinned="blue"), way, seen)
    await asked(received("e", pinned="green"), way, seen)

    assert seen == ["plain: blue", "plain: green"]


async def test_a_key_decides_before_the_draw() -> None:
    seen: list[str] = []
    routing = Routing(
        RouteTable([state("e", {"blue": 50, "green": 50})], {"e": Way(key=lambda request, _: b"17")}),
        answering(seen, "plain"),
        clock=lambda: 0.0,
        draw=iter(()).__next__,
    )
    for _ in range(5):
        await routing(Authenticated(received("e"), Principal("p")))

    assert len(set(seen)) == 1


async def test_with_one_deployment_nobody_looks_for_a_key() -> None:
    looked: list[int] = []
    await asked(received("e"), Way(key=lambda request, _: looked.append(1)), [])

    assert looked == []


ANYBODY = Principal("p", (Grant(frozenset({Role.SCORE})),))
OF_E = Principal("q", (Grant(frozenset({Role.SCORE}), frozenset({"e"})),))


class Once:
    """A stage that is asked for each deployment what it is for that one."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.seen: list[str] = []

    def __call__(self, request: Routed, /) -> Awaitable[Answer]:
        raise AssertionError("there is one for the deployment")

    def of(self, deployment: Deployment) -> Callable[[Routed], Awaitable[Answer]]:
        self.asked.append(deployment.name)
        return answering(self.seen, f"of {deployment.name}")


async def test_a_stage_that_is_divided_is_asked_once_for_each_deployment() -> None:
    inner = Once()
    stage = Routing(RouteTable(ENDPOINTS), inner, clock=lambda: 0.0, draw=lambda: 0.5)
    for pin in (None, None, "green", "green", None):
        await stage(Authenticated(received("e", pinned=pin), ANYBODY))

    assert inner.asked == ["blue", "green"]
    assert inner.seen == ["of blue: blue"] * 2 + ["of green: green"] * 2 + ["of blue: blue"]


async def test_another_table_counts_from_the_next_request_on() -> None:
    seen: list[str] = []
    stage = Routing(RouteTable(ENDPOINTS), answering(seen, "old"), clock=lambda: 0.0, draw=lambda: 0.5)
    await stage(Authenticated(received("e"), ANYBODY))
    stage.install(RouteTable([state("e", {"blue": 0, "green": 100})]), answering(seen, "new"))
    await stage(Authenticated(received("e"), ANYBODY))

    assert seen == ["old: blue", "new: green"]


async def test_an_endpoint_that_is_gone_is_not_found_although_it_was_asked_before() -> None:
    stage = Routing(RouteTable(ENDPOINTS), answering([], ""), clock=lambda: 0.0, draw=lambda: 0.5)
    await stage(Authenticated(received("e"), ANYBODY))
    stage.install(RouteTable([state("other", {"blue": 100})]), answering([], ""))

    with pytest.raises(NotFound):
        stage(Authenticated(received("e"), ANYBODY))


@pytest.mark.parametrize("weights", [{"blue": 100}, {"blue": 50, "green": 50}])
@pytest.mark.parametrize("pin", [None, "blue"])
async def test_where_no_endpoint_is_named_each_caller_is_asked_for_the_right(
    weights: dict[str, int], pin: str | None
) -> None:
    stage = Routing(RouteTable([state("f", weights)]), answering([], ""), clock=lambda: 0.0, draw=lambda: 0.5)
    with pytest.raises(Forbidden):
        stage(Authenticated(received(None, pinned=pin), OF_E))
    await stage(Authenticated(received(None, pinned=pin), ANYBODY))
    call = received(None, pinned=pin)
    with pytest.raises(Forbidden):
        stage(Authenticated(call, OF_E))

    assert (call.routed, call.timeline.stages) == (None, [])


async def test_every_request_without_a_pin_is_drawn_where_there_is_a_split() -> None:
    seen: list[str] = []
    table = RouteTable([state("e", {"blue": 50, "green": 50})])
    stage = Routing(table, answering(seen, "plain"), clock=lambda: 0.0, draw=iter([0.1, 0.9, 0.9, 0.1]).__next__)
    for _ in range(4):
        await stage(Authenticated(received("e"), ANYBODY))

    assert seen == ["plain: blue", "plain: green", "plain: green", "plain: blue"]


async def test_a_pin_leads_past_a_split_that_was_drawn_before() -> None:
    seen: list[str] = []
    table = RouteTable([state("e", {"blue": 50, "green": 50})], {"e": Way(serve=answering(seen, "mirrored"))})
    stage = Routing(table, answering(seen, "plain"), clock=lambda: 0.0, draw=lambda: 0.1)
    for pin in (None, "green", None, "blue"):
        await stage(Authenticated(received("e", pinned=pin), ANYBODY))

    assert seen == ["mirrored: blue", "plain: green", "mirrored: blue", "plain: blue"]


async def test_the_share_of_a_deployment_that_has_not_loaded_is_not_given_to_others() -> None:
    table = RouteTable([state("e", {"blue": 50, "green": 50}, missing="green")])
    stage = Routing(table, answering([], ""), clock=lambda: 0.0, draw=iter([0.1, 0.9, 0.1]).__next__)
    await stage(Authenticated(received("e"), ANYBODY))

    with pytest.raises(NotReady):
        stage(Authenticated(received("e"), ANYBODY))


async def test_a_deployment_that_nothing_can_be_made_of_spoils_no_request_to_another() -> None:
    class OnlyBlue(Once):
        def of(self, deployment: Deployment) -> Callable[[Routed], Awaitable[Answer]]:
            if deployment.name == "green":
                raise ValueError("nobody can read this signature")
            return super().of(deployment)

    inner = OnlyBlue()
    table = RouteTable([state("e", {"blue": 50, "green": 50})])
    stage = Routing(table, inner, clock=lambda: 0.0, draw=iter([0.1, 0.9, 0.1]).__next__)
    await stage(Authenticated(received("e"), ANYBODY))
    with pytest.raises(ValueError, match="nobody can read"):
        stage(Authenticated(received("e"), ANYBODY))
    await stage(Authenticated(received("e"), ANYBODY))

    assert inner.seen == ["of blue: blue"] * 2


@pytest.mark.parametrize("weights", [{"blue": 100}, {"blue": 50, "green": 50}])
async def test_a_mirror_that_is_taken_away_is_asked_no_more(weights: dict[str, int]) -> None:
    seen: list[str] = []
    endpoints = [state("e", weights)]
    mirrored = RouteTable(endpoints, {"e": Way(serve=answering(seen, "mirrored"))})
    stage = Routing(mirrored, answering(seen, "plain"), clock=lambda: 0.0, draw=lambda: 0.1)
    await stage(Authenticated(received("e"), ANYBODY))
    stage.install(RouteTable(endpoints), answering(seen, "plain"))
    for _ in range(2):
        await stage(Authenticated(received("e"), ANYBODY))

    assert seen == ["mirrored: blue", "plain: blue", "plain: blue"]


@pytest.mark.parametrize("until", [6.9, 7.0])
async def test_a_deadline_that_has_passed_is_told_at_once_and_where_the_request_was_going(until: float) -> None:
    stage = Routing(RouteTable(ENDPOINTS), answering([], ""), clock=lambda: 7.0, draw=lambda: 0.5)
    for _ in range(2):
        call = received("e")
        call.deadline = until
        with pytest.raises(DeadlineExceeded):
            stage(Authenticated(call, ANYBODY))

        assert call.routed is not None
        assert (call.routed.name, call.timeline.stages) == ("blue", [])


@pytest.mark.parametrize(("until", "deadline"), [(None, 12.0), (99.0, 12.0), (8.5, 8.5)])
async def test_the_earlier_of_the_callers_deadline_and_the_endpoints_counts(
    until: float | None, deadline: float
) -> None:
    found: list[float] = []

    async def serve(request: Routed, /) -> Answer:
        found.append(request.deadline)
        return Answer(request.deployment, Rows(Layout.of(()), 0, b""))

    stage = Routing(RouteTable(ENDPOINTS), serve, clock=lambda: 7.0, draw=lambda: 0.5)
    for _ in range(2):
        call = received("e")
        call.deadline = until
        await stage(Authenticated(call, ANYBODY))

    assert found == [deadline] * 2


async def test_names_that_callers_make_up_are_not_kept() -> None:
    stage = Routing(RouteTable(ENDPOINTS), answering([], ""), clock=lambda: 0.0, draw=lambda: 0.5)
    for number in range(10):
        for asked_for in (received(f"x{number}"), received("e", pinned=f"x{number}")):
            with pytest.raises(NotFound):
                stage(Authenticated(asked_for, ANYBODY))

    assert (stage._usual, stage._splits, stage._drawn, stage._pinned) == ({}, {}, {}, {})


NAMES = ("a", "b")
MADE = {(endpoint, name): deployment(endpoint, name) for endpoint in ("e", "f") for name in NAMES}
MADE["e", "b"] = Deployment(
    endpoint="e", name="b", signature=MADE["e", "b"].signature, request_timeout_ms=250, max_rows=1
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[tuple[EndpointState, ...], tuple[str, ...], tuple[str, ...], str]:
    """Endpoints, those with a mirror, those that stick by a key, and the name of the stage behind."""
    endpoints = []
    for endpoint in draw(st.sampled_from([("e",), ("e",), ("e", "f"), ("f",), ()])):
        weights = draw(st.sampled_from([(50, 50), (50, 50), (100, 0), (0, 100), (0, 0)]))
        loaded = [draw(st.integers(0, 5)) > 0 for _ in NAMES]
        endpoints.append(
            EndpointState(
                name=endpoint,
                is_loaded=draw(st.integers(0, 5)) > 0,
                deployments={
                    name: DeploymentState(
                        name=name,
                        deployment=MADE[endpoint, name] if is_loaded else None,
                        is_ready=is_loaded,
                        weight=weight,
                    )
                    for name, weight, is_loaded in zip(NAMES, weights, loaded, strict=True)
                },
            )
        )
    some = st.sampled_from([(), (), ("e",), ("e", "f")])
    return tuple(endpoints), draw(some), draw(some), draw(st.sampled_from(["first", "second"]))


_often = st.tuples(
    st.sampled_from(["e", "e", None]),
    st.sampled_from([None, None, "a", "b"]),
    st.none(),
    st.sampled_from([0.0, 0.6]),
    st.just(ANYBODY),
)
_asked = st.tuples(
    st.sampled_from(["e", "e", "f", "x", None]),
    st.sampled_from([None, None, "a", "b", "x"]),
    st.sampled_from([None, None, 7.0, 7.1, 99.0]),
    st.sampled_from([0.0, 0.6]),
    st.sampled_from([ANYBODY, OF_E]),
)


class Plainly:
    """The stage as it would be if it asked the table for all of it with each request."""

    def __init__(self, table: RouteTable, inner: Service[Routed, Answer], draw: Callable[[], float]) -> None:
        self._table, self._inner, self._draw = table, inner, draw

    def __call__(self, request: Authenticated, /) -> Awaitable[Answer]:
        call, serve = request.received, self._inner
        route = self._table.route(call.endpoint)
        if call.endpoint is None and not request.principal.may(Role.SCORE, route.endpoint):
            raise Forbidden(f'the key may not score endpoint "{route.endpoint}"')
        if call.deployment is not None:
            call.routed = route.pinned(call.deployment)
        else:
            call.routed, serve = route.pick(request, self._draw), route.serve or self._inner
        deadline = 7.0 + call.routed.request_timeout_ms / 1000
        if call.deadline is not None:
            deadline = min(deadline, call.deadline)
        if deadline <= 7.0:
            raise DeadlineExceeded("the deadline had passed when the request arrived")
        return serve(Routed(call, request.principal, call.routed, deadline))


def led(stage: Service[Authenticated, Answer], asked_for: tuple[Any, ...], seen: list[str]) -> tuple[object, ...]:
    """Where the request goes and until when, or why nowhere."""
    endpoint, pin, until, _, principal = asked_for
    call = received(endpoint, pinned=pin)
    call.deadline = until
    seen.clear()

    async def run() -> None:
        await stage(Authenticated(call, principal))

    try:
        asyncio.run(run())
    except GatewayError as error:
        return type(error).__name__, str(error), call.routed
    return *seen, call.routed


@settings(max_examples=200, deadline=None)
@given(tables(), st.lists(st.one_of(tables(), _asked, _often, _often, _often, _often), min_size=10, max_size=40))
def test_what_is_remembered_of_a_table_leads_where_the_table_does(first: Any, steps: list[Any]) -> None:
    seen: list[str] = []
    drawn = [0.0]

    def answered(name: str) -> Service[Routed, Answer]:
        async def serve(request: Routed, /) -> Answer:
            seen.append(f"{name} {request.deployment.name} {request.principal.name} {request.deadline}")
            return Answer(request.deployment, Rows(Layout.of(()), 0, b""))

        return serve

    def made(wanted: Any) -> tuple[RouteTable, Service[Routed, Answer]]:
        endpoints, mirrored, sticky, behind = wanted
        ways = {
            name: Way(
                key=(lambda *_: b"17") if name in sticky else None,
                serve=answered(f"mirror of {behind}") if name in mirrored else None,
            )
            for name in {*mirrored, *sticky}
        }
        return RouteTable(endpoints, ways), answered(behind)

    current = made(first)
    kept = Routing(*current, clock=lambda: 7.0, draw=lambda: drawn[0])
    for step in steps:
        if len(step) == 4:
            current = made(step)
            kept.install(*current)
            continue
        drawn[0] = step[3]
        plainly = Plainly(*current, draw=lambda: drawn[0])

        assert led(kept, step, seen) == led(plainly, step, seen)
