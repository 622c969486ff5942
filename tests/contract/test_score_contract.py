"""Azure ML's ``/score`` over real TLS: body forms, the error shape that the SDK reads, addressing, personalities."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import trustme

from gateway.core.errors import (
    DeadlineExceeded,
    Forbidden,
    GatewayError,
    InvalidInput,
    ModelFailed,
    NotFound,
    NotReady,
    OutOfService,
    Overloaded,
    TooLarge,
    Unauthenticated,
    WorkerFailed,
)
from gateway.core.payload import Records, Table
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.edge import tls
from gateway.edge.config import EdgeConfig
from gateway.edge.status import Personality
from tests.support.edge_app import Edge, serving
from tests.support.edge_service import PRICE, FakeCore, deployment, endpoint, rows_of

pytestmark = pytest.mark.usefixtures("http_engine")

ROW = {"carat": 0.23, "cut": "Ideal"}
BODIES: list[Any] = [
    {"input_data": {"columns": ["carat", "cut"], "index": [0], "data": [[0.23, "Ideal"]]}},
    {"input_data": [[0.23, "Ideal"]]},
    {"input_data": [ROW]},
    {"input_data": {"carat": [0.23], "cut": ["Ideal"]}},
    {"data": [[0.23, "Ideal"]]},
    {"data": [ROW]},
    {"data": {"carat": [0.23], "cut": ["Ideal"]}},
    [ROW],
    ROW,
]
ERRORS: list[GatewayError] = [
    InvalidInput("x"),
    Unauthenticated("x"),
    Forbidden("x"),
    NotFound("x"),
    OutOfService("x"),
    TooLarge("x"),
    NotReady("x"),
    Overloaded("x"),
    DeadlineExceeded("x"),
    ModelFailed("x"),
    WorkerFailed("x"),
]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    leaf = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key = (tmp_path_factory.mktemp("tls") / name for name in ("cert.pem", "key.pem"))
    certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key.write_bytes(leaf.private_key_pem.bytes())
    return tls.server_context(certificate, key)


@pytest.fixture
async def session(authority: trustme.CA) -> AsyncIterator[aiohttp.ClientSession]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context), timeout=aiohttp.ClientTimeout(total=10)
    ) as made:
        yield made


def url(edge: Edge, path: str = "/score") -> str:
    return f"https://127.0.0.1:{edge.port}{path}"


def config(personality: Personality = "managed") -> EdgeConfig:
    return EdgeConfig(host="127.0.0.1", http_port=0, personality=personality)


@pytest.mark.parametrize("body", BODIES)
async def test_every_form_of_one_row_is_scored(
    body: Any, server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    async with serving(FakeCore(), ssl_context=server_context) as edge:
        response = await session.post(url(edge), json=body)
        said = await response.json()

    assert (response.status, response.content_type, said) == (200, "application/json", [326.0])


async def test_the_answer_names_the_deployment_and_carries_ids_and_times(
    server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    async with serving(FakeCore(), ssl_context=server_context) as edge:
        response = await session.post(url(edge), json=BODIES[0], headers={"x-ms-client-request-id": "c-1"})
    headers = response.headers

    assert (headers["azureml-model-deployment"], headers["x-ms-client-request-id"]) == ("blue", "c-1")
    assert "x-request-id" in headers
    assert headers["Server-Timing"].startswith("receive;dur=")


async def test_without_a_key_the_body_is_never_decoded(
    server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    core = FakeCore(is_open=False)
    async with serving(core, ssl_context=server_context) as edge:
        response = await session.post(url(edge), data=b"{not json")

    assert (response.status, response.headers["WWW-Authenticate"], core.payloads) == (401, "Bearer", [])


async def test_with_a_key_in_the_header_the_request_is_scored(
    server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    async with serving(FakeCore(is_open=False), ssl_context=server_context) as edge:
        response = await session.post(url(edge), json=BODIES[0], headers={"Authorization": "Bearer right"})

    assert response.status == 200


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_the_sdk_can_read_every_error(
    error: GatewayError, server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    async with serving(FakeCore(error=error), ssl_context=server_context) as edge:
        response = await session.post(url(edge), json=BODIES[0])
        # The SDK's own line: it raises AttributeError or TypeError where "error" is a string.
        message = json.loads(await response.text()).get("error", {}).get("message")

    assert (response.status >= 400, message) == (True, "x")


@pytest.mark.parametrize(
    ("personality", "wanted"),
    [("managed", [424, 408, 429]), ("kubernetes", [502, 504, 503]), ("azmlinfsrv", [500, 500, 429])],
)
async def test_each_personality_keeps_its_codes_on_the_wire(
    personality: Personality,
    wanted: list[int],
    server_context: ssl.SSLContext,
    session: aiohttp.ClientSession,
) -> None:
    core = FakeCore()
    codes = []
    async with serving(core, config=config(personality), ssl_context=server_context) as edge:
        for error in (ModelFailed("stop()"), DeadlineExceeded("late"), Overloaded("full")):
            core.fail(error)
            codes.append((await session.post(url(edge), json=BODIES[0])).status)

    assert codes == wanted


async def test_a_failed_model_is_a_424_that_says_so_in_azures_headers(
    server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    async with serving(FakeCore(error=ModelFailed("stop()")), ssl_context=server_context) as edge:
        headers = (await session.post(url(edge), json=BODIES[0])).headers

    assert headers["ms-azureml-model-error-statuscode"] == "500"
    assert headers["ms-azureml-model-error-reason"] == "model_error"


@pytest.mark.parametrize(("personality", "status"), [("managed", 200), ("kubernetes", 200), ("azmlinfsrv", 431)])
async def test_an_overlong_id_is_refused_only_where_azmlinfsrv_would(
    personality: Personality, status: int, server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    async with serving(FakeCore(), config=config(personality), ssl_context=server_context) as edge:
        response = await session.post(url(edge), json=BODIES[0], headers={"x-ms-client-request-id": "a" * 101})

    assert response.status == status


@pytest.mark.parametrize(
    ("path", "headers", "named"),
    [
        ("/api/v1/endpoint/tumor/score", {}, "tumor"),
        ("/api/v1/service/tumor/score", {}, "tumor"),
        ("/score", {"Host": "tumor.localhost"}, "tumor"),
        ("/score", {"lockgate-endpoint": "tumor"}, "tumor"),
        ("/score", {}, None),
    ],
)
async def test_an_endpoint_is_named_by_path_host_or_header(
    path: str,
    headers: dict[str, str],
    named: str | None,
    server_context: ssl.SSLContext,
    session: aiohttp.ClientSession,
) -> None:
    core = FakeCore()
    states = [endpoint(deployment()), endpoint(deployment(endpoint="tumor"))]
    async with serving(core, states=states, ssl_context=server_context) as edge:
        await session.post(url(edge, path), json=[ROW], headers=headers)

    assert [call.endpoint for call in core.received] == [named]


async def test_a_body_is_decoded_as_it_says_it_is_encoded(
    server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    core = FakeCore()
    async with serving(core, ssl_context=server_context) as edge:
        await session.post(url(edge), data=json.dumps([ROW]).encode(), compress="deflate")

    assert core.payloads == [Records([ROW])]


@pytest.mark.parametrize("depth", [900, 100_000])
async def test_a_depth_bomb_is_a_400_and_the_next_request_is_answered(
    depth: int, server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    async with serving(FakeCore(), ssl_context=server_context) as edge:
        bomb = await session.post(url(edge), data=b'{"input_data":' + b"[" * depth)
        after = await session.post(url(edge), json=[ROW])

    assert (bomb.status, after.status) == (400, 200)


async def test_a_script_gets_the_body_as_text_and_its_json_is_not_quoted_again(
    server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    data = Column(name="data", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
    result = Column(name="result", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
    script = deployment(inputs=[data], outputs=[result], platform="r")
    core = FakeCore(served_by=script, rows=rows_of([result], ('{"price": [326]}',)))
    async with serving(core, ssl_context=server_context) as edge:
        response = await session.post(url(edge), data=b'{"rows": [ 1 ]}')
        said = await response.read()

    assert core.payloads == [Table(["data"], [['{"rows": [ 1 ]}']])]
    assert (response.content_type, said) == ("application/json", b'{"price": [326]}')


async def test_health_needs_no_key(server_context: ssl.SSLContext, session: aiohttp.ClientSession) -> None:
    async with serving(FakeCore(is_open=False), ssl_context=server_context) as edge:
        response = await session.get(url(edge, "/"))

        assert (response.status, await response.text()) == (200, "Healthy")


async def test_score_is_post_only(server_context: ssl.SSLContext, session: aiohttp.ClientSession) -> None:
    async with serving(FakeCore(), ssl_context=server_context) as edge:
        response = await session.get(url(edge))

    assert (response.status, response.headers["Allow"]) == (405, "OPTIONS, POST")


@pytest.mark.parametrize(
    ("is_open", "credential", "status"),
    [(False, "", 401), (False, "Bearer other", 401), (False, "Bearer right", 200), (True, "", 200)],
)
async def test_the_document_is_for_those_who_may_know(
    is_open: bool, credential: str, status: int, server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    states = [endpoint(deployment(), is_open=is_open)]
    headers = {"Authorization": credential} if credential else {}
    async with serving(FakeCore(), states=states, ssl_context=server_context) as edge:
        response = await session.get(url(edge, "/swagger.json"), headers=headers)

    assert response.status == status


async def test_the_names_of_endpoints_are_not_told_to_strangers_by_an_open_one(
    server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    states = [endpoint(deployment(), is_open=True), endpoint(deployment(endpoint="tumor"))]
    async with serving(FakeCore(), states=states, ssl_context=server_context) as edge:
        codes = [
            (await session.get(url(edge, f"/api/v1/endpoint/{name}/swagger.json"))).status
            for name in ("diamonds", "tumor", "nothing")
        ]
        codes.append((await session.get(url(edge, "/swagger.json"))).status)

    assert codes == [200, 401, 401, 401]


@pytest.mark.parametrize(
    ("query", "key", "said"),
    [("", "swagger", "2.0"), ("?version=2.0", "swagger", "2.0"), ("?version=3", "openapi", "3.0.3")],
)
async def test_the_document_comes_in_the_version_asked_for(
    query: str, key: str, said: str, server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    states = [endpoint(deployment(), is_open=True)]
    async with serving(FakeCore(), states=states, ssl_context=server_context) as edge:
        response = await session.get(url(edge, "/swagger.json" + query))

        assert (await response.json())[key] == said


async def test_an_unknown_version_of_the_document_is_not_found(
    server_context: ssl.SSLContext, session: aiohttp.ClientSession
) -> None:
    states = [endpoint(deployment(), is_open=True)]
    async with serving(FakeCore(), states=states, ssl_context=server_context) as edge:
        response = await session.get(url(edge, "/swagger.json?version=4"))

    assert response.status == 404


async def test_several_outputs_are_records(server_context: ssl.SSLContext, session: aiohttp.ClientSession) -> None:
    low = Column(name="low", kind=Kind.FLOAT, datatype=BY_NAME["FP64"])
    core = FakeCore(rows=rows_of([PRICE, low], (326.0, 300.0)))
    async with serving(core, ssl_context=server_context) as edge:
        response = await session.post(url(edge), json=[ROW])

        assert await response.json() == [{"price": 326.0, "low": 300.0}]
