"""The features stage decides once for each deployment, and hands on rows of the very deployment that was chosen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from gateway.core.access import Principal
from gateway.core.errors import InvalidInput
from gateway.core.payload import Payload, Table
from gateway.core.request import Answer, Deployment, Enriched, Routed
from gateway.core.rows import Rows
from gateway.core.signature import Column, Kind, Signature
from gateway.core.tensor import BY_NAME
from gateway.features.stage import Complete
from tests.support.requests import received

ANNA = Principal("anna")


def deployment(name: str, datatype: str) -> Deployment:
    column = Column(name="x", kind=Kind.FLOAT, datatype=BY_NAME[datatype], shape=())
    return Deployment(endpoint="e", name=name, signature=Signature(inputs=(column,), outputs=()))


SINGLE, DOUBLE, OTHER = deployment("blue", "FP32"), deployment("blue", "FP64"), deployment("green", "FP64")


class Inner:
    def __init__(self) -> None:
        self.seen: list[Enriched] = []

    async def __call__(self, request: Enriched, /) -> Answer:
        self.seen.append(request)
        return Answer(request.deployment, request.rows)


def routed(to: Deployment, value: object = 0.5) -> Routed:
    def read() -> Payload:
        return Table(["x"], [[value]])

    call = received("e")
    call.read = read
    return Routed(call, ANNA, to, 9.0)


Way = Callable[[Complete, Routed], Awaitable[Answer]]


@pytest.mark.parametrize("ask", [lambda stage, call: stage(call), lambda stage, call: stage.of(call.deployment)(call)])
async def test_rows_go_on_with_all_that_was_known_of_the_request(ask: Way) -> None:
    inner, call = Inner(), routed(OTHER)
    rows: Rows = (await ask(Complete(inner), call)).rows
    stages = [stage for stage, _ in call.received.timeline.stages]

    assert inner.seen == [Enriched(call.received, ANNA, OTHER, 9.0, rows)]
    assert (rows.count, rows.records.hex(), stages) == (1, "000000000000e03f", ["features"])


async def test_each_deployment_has_its_own_rows_also_where_one_replaces_another() -> None:
    stage = Complete(Inner())
    sizes = [len((await stage(routed(to))).rows.records) for to in (SINGLE, DOUBLE, OTHER, SINGLE)]

    assert sizes == [4, 8, 8, 4]


async def test_what_was_made_for_a_deployment_goes_on_for_requests_that_are_under_way() -> None:
    stage = Complete(Inner())
    before = stage.of(SINGLE)
    stage.of(DOUBLE)

    assert len((await before(routed(SINGLE))).rows.records) == 4


def test_of_deployments_with_one_name_the_last_one_is_kept() -> None:
    stage = Complete(Inner())
    ways = [stage.of(each) for each in (SINGLE, OTHER, DOUBLE)]

    assert [stage.of(OTHER), stage.of(DOUBLE)] == ways[1:]
    assert list(stage._made) == [OTHER, DOUBLE]


async def test_what_does_not_fit_is_refused_and_has_no_features() -> None:
    inner, call = Inner(), routed(OTHER, "x")
    with pytest.raises(InvalidInput):
        await Complete(inner)(call)

    assert (inner.seen, call.received.timeline.stages) == ([], [])
