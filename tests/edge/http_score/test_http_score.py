"""What ``/score`` learns from the catalog, and when it learns it anew."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.core.catalog import EndpointState
from gateway.core.errors import GatewayError, ModelFailed, NotReady
from gateway.core.payload import Records, Table
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.edge.config import EdgeConfig
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_intake import Intake
from gateway.edge.http_message import HttpRequest
from gateway.edge.http_router import HttpRouter
from gateway.edge.http_score import encode_score_error, score_routes
from tests.support.edge_service import FakeAccess, FakeCatalog, FakeCore, deployment, endpoint

DATA = Column(name="data", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
FRAME = endpoint(deployment(platform="r"))
SCRIPT = endpoint(deployment(inputs=[DATA], platform="r"))
BODY = b'{"carat": 0.23}'


class ChangingCatalog(FakeCatalog):
    """A catalog whose only endpoint is replaced, as after a reload."""

    def replace(self, state: EndpointState) -> None:
        self._states = (state,)


def exchange(core: FakeCore, catalog: FakeCatalog) -> HttpExchange:
    config = EdgeConfig()
    intake = Intake(core, catalog, personality="managed", clock=lambda: 0.0)
    routes = score_routes(intake, catalog, FakeAccess(), config)
    return HttpExchange(HttpRouter(routes), new_id=lambda: "id", on_done=lambda call, status, error: None)


async def payloads(states: Sequence[EndpointState]) -> list[object]:
    core, catalog = FakeCore(), ChangingCatalog(states[0])
    answer = exchange(core, catalog)
    for state in states:
        catalog.replace(state)
        await answer(HttpRequest("POST", "/score", "", {}, BODY))
    return list(core.payloads)


async def test_a_deployment_that_becomes_a_script_gets_text_from_then_on() -> None:
    assert await payloads([FRAME, SCRIPT]) == [Records([{"carat": 0.23}]), Table(["data"], [[BODY.decode()]])]


async def test_a_deployment_that_was_a_script_gets_records_from_then_on() -> None:
    assert await payloads([SCRIPT, FRAME]) == [Table(["data"], [[BODY.decode()]]), Records([{"carat": 0.23}])]


@pytest.mark.parametrize(("pin", "kind"), [("frame", Records), ("script", Table), ("unknown", Table), ("", Table)])
async def test_a_pin_decides_how_the_body_is_read(pin: str, kind: type) -> None:
    both = endpoint(deployment(inputs=[DATA], platform="r", name="script"), deployment(platform="r", name="frame"))
    core = FakeCore()
    await exchange(core, FakeCatalog(both))(HttpRequest("POST", "/score", "", {"azureml-model-deployment": pin}, BODY))

    assert type(core.payloads[0]) is kind


@pytest.mark.parametrize(("error", "has_headers"), [(ModelFailed("stop()"), True), (NotReady("loading"), False)])
def test_only_a_failed_model_blames_the_model(error: GatewayError, has_headers: bool) -> None:
    names = [name for name, _ in encode_score_error("managed", error).headers]

    assert ("ms-azureml-model-error-reason" in names) is has_headers
