"""Where a request goes: past split and mirror with a pin, to its endpoint's own way without one."""

from __future__ import annotations

from gateway.core.access import Grant, Principal, Role
from gateway.core.request import Answer, Authenticated, Received, Routed
from gateway.core.rows import Layout, Rows
from gateway.core.service import Service
from gateway.routing.stage import Routing
from gateway.routing.table import RouteTable, Way
from tests.routing.test_table import state
from tests.support.requests import received

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
