"""What the core is told about a request, from its path and headers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput, NotFound
from gateway.core.payload import Payload, Records
from gateway.edge.http_intake import Intake
from gateway.edge.http_message import HttpRequest
from tests.support.edge_service import FakeCatalog, FakeCore, deployment, endpoint

DIAMONDS = endpoint(deployment(endpoint="diamonds"))
TUMOR = endpoint(deployment(endpoint="tumor"))


def intake(core: FakeCore) -> Intake:
    return Intake(core, FakeCatalog(DIAMONDS, TUMOR), personality="managed", clock=lambda: 100.0)


def request(headers: Mapping[str, str]) -> HttpRequest:
    return HttpRequest("POST", "/score", "", headers, b"12345", "10.0.0.1")


def read() -> Payload:
    return Records([])


@pytest.mark.parametrize(
    ("captures", "headers", "named"),
    [
        ({"endpoint": "a"}, {"lockgate-endpoint": "b", "host": "tumor.example.com"}, "a"),
        ({}, {"lockgate-endpoint": "b", "host": "tumor.example.com"}, "b"),
        ({}, {"host": "tumor.example.com:8443"}, "tumor"),
        ({}, {"host": "TUMOR.localhost"}, "tumor"),
        ({}, {"host": "gateway.example.com"}, None),
        ({}, {"host": "tumor"}, None),
        ({}, {"host": "10.0.0.1"}, None),
        ({}, {"host": "[::1]:8443"}, None),
        ({}, {}, None),
    ],
)
def test_path_goes_before_header_and_header_before_host(
    captures: dict[str, str], headers: dict[str, str], named: str | None
) -> None:
    assert intake(FakeCore()).endpoint_of(request(headers), captures) == named


@given(
    st.lists(st.lists(st.sampled_from(["a", "A", "b", "tumor"]), max_size=3), min_size=1, max_size=4),
    st.sampled_from(["a.example.com", "A.example.com", "Tumor.example.com", "c.example.com", "a"]),
)
def test_a_host_names_the_first_endpoint_of_its_label_however_often_they_are_replaced(
    catalogs: list[list[str]], host: str
) -> None:
    catalog = FakeCatalog()
    asked = Intake(FakeCore(), catalog, personality="managed", clock=lambda: 100.0)
    for names in catalogs:
        catalog._states = tuple(endpoint(deployment(endpoint=name)) for name in names)
        label, dot, _ = host.partition(".")
        expected = next((name for name in names if dot and name.lower() == label.lower()), None)

        assert asked.endpoint_of(request({"host": host}), {}) == expected


async def test_where_there_is_one_endpoint_nobody_is_told_to_name_it() -> None:
    asked = Intake(FakeCore(error=NotFound("no")), FakeCatalog(TUMOR), personality="managed", clock=lambda: 100.0)
    with pytest.raises(NotFound) as refused:
        await asked.score(request({}), read, endpoint=None)

    assert str(refused.value) == "no"


async def test_the_headers_become_the_facts_of_the_call() -> None:
    core = FakeCore()
    headers = {
        "authorization": "Bearer right",
        "azureml-model-deployment": "green",
        "x-request-timeout-ms": "250",
        "x-ms-client-request-id": "id-1",
        "traceparent": "00-1-2-00",
    }
    asked = request(headers)
    await intake(core).score(asked, read, endpoint="tumor")
    call = core.received[0]
    facts = (call.endpoint, call.deployment, call.credential, call.deadline, call.request_id, call.traceparent)

    assert facts == ("tumor", "green", "Bearer right", 100.25, "id-1", "00-1-2-00")
    assert (call.protocol, call.peer, call.size, asked.call) == ("rest", "10.0.0.1", 5, call)


async def test_an_empty_pin_is_no_pin() -> None:
    core = FakeCore()
    await intake(core).score(request({"azureml-model-deployment": ""}), read, endpoint="tumor")

    assert core.received[0].deployment is None


async def test_a_version_in_the_path_goes_before_the_header() -> None:
    core = FakeCore()
    await intake(core).score(request({"azureml-model-deployment": "a"}), read, endpoint="tumor", deployment="b")

    assert core.received[0].deployment == "b"


@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "soon", "²", "1e3", "9" * 10])
async def test_a_deadline_that_is_no_whole_number_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, match="x-request-timeout-ms"):
        await intake(FakeCore()).score(request({"x-request-timeout-ms": value}), read, endpoint="tumor")


async def test_who_names_no_endpoint_among_several_is_told_how() -> None:
    core = FakeCore(error=NotFound("name an endpoint"))
    with pytest.raises(NotFound, match=r"/api/v1/endpoint/<endpoint>/score.* header lockgate-endpoint"):
        await intake(core).score(request({}), read, endpoint=None)


async def test_a_missing_deployment_is_not_taken_for_a_missing_endpoint() -> None:
    core = FakeCore(error=NotFound('no deployment "x"'))
    with pytest.raises(NotFound) as refused:
        await intake(core).score(request({}), read, endpoint="tumor")

    assert str(refused.value) == 'no deployment "x"'
