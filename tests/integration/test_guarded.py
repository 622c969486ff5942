"""A real server with limits, an identity provider and an origin of its own: each holds over HTTP and gRPC alike."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.wire.v1 import grpc_service_pb2 as pb
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.https import Https, Reply
from tests.support.oidc_provider import AUDIENCE, TENANT, Provider, pair, providing, signed
from tests.support.rough import Rough
from tests.support.stack import PATIENCE, Stack, serving
from tests.support.valkey import Valkey, private_valkey

PAGE = "https://app.example.org"
ENDPOINTS = ("few", "rows", "entra")


@dataclass
class Guarded:
    """``few`` lets a caller in three times, ``rows`` pays for rows afterwards, ``entra`` takes tokens only."""

    stack: Stack
    provider: Provider
    valkey: Valkey

    def post(self, endpoint: str, rows: int = 1, **headers: str | None) -> Reply:
        with Https(self.stack) as https:
            body = {"input_data": [{"x": [1.0, 2.0, 3.0, 4.0]}] * rows}
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return https.post(f"/api/v1/endpoint/{endpoint}/score", body, sent)

    def infer(self, endpoint: str, credential: str | None = None) -> tuple[str, dict[str, Any]]:
        """The status, and the trailers."""
        request = pb.ModelInferRequest(model_name=endpoint)
        request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
        request.raw_input_contents.append(bytes(16))
        ca = grpc.ssl_channel_credentials(self.stack.ca.read_bytes())
        metadata = [("authorization", f"Bearer {credential or self.stack.key}")]
        with grpc.secure_channel(self.stack.grpc_target, ca) as channel:
            stub: Any = GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
            try:
                _, call = stub.ModelInfer.with_call(request, metadata=metadata, timeout=PATIENCE)
            except grpc.RpcError as error:
                call = error
            return call.code().name, dict(call.trailing_metadata() or ())


@contextmanager
def provider_in_a_thread(folder: Path) -> Iterator[Provider]:
    """The server is a process of its own, and this one waits for it: the provider has to answer meanwhile."""
    started: list[Provider] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()

    async def provide() -> None:
        over = asyncio.Event()
        ending.append(lambda: loop.call_soon_threadsafe(over.set))
        async with providing(folder) as provider:
            started.append(provider)
            ready.set()
            await over.wait()

    ending: list[Any] = []
    thread = threading.Thread(target=lambda: loop.run_until_complete(provide()))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield started[0]
    finally:
        ending[0]()
        thread.join(PATIENCE)
        loop.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with (
        provider_in_a_thread(folder) as provider,
        private_valkey() as valkey,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("NO_PROXY", "localhost")
        settings = {
            "edge": {"cors_origins": [PAGE]},
            "auth": {
                "oidc": {
                    "tenant": TENANT,
                    "authority": provider.url,
                    "authority_v1": "https://sts.localhost",
                    "audiences": [AUDIENCE],
                    "ca": str(provider.ca),
                    "grants": [{"claim": "roles", "value": "Model.Score", "roles": ["score"], "endpoints": ["entra"]}],
                }
            },
            "limits": {
                "endpoints": {"few": {"requests_per_s": 0.001, "burst_s": 3000}, "rows": {"rows_per_s": 0.5}},
                "redis_url": valkey.url,
                "login_failures": 3,
                "login_window_s": 3600,
            },
        }
        served = Rough(folder / "served", settings=json.dumps(settings))
        for endpoint in ENDPOINTS:
            served.onnx(endpoint, workers=1)
        entra = served.root / "endpoints" / "entra.yaml"
        entra.write_text(json.dumps({**json.loads(entra.read_text()), "auth_mode": "aad_token"}))
        with serving(served.root, folder / "state") as stack:
            yield Guarded(stack, provider, valkey)


def token(guarded: Guarded, **claims: Any) -> str:
    return signed(guarded.provider.claims(**{"roles": ["Model.Score"], **claims}), pair("first"))


def test_one_budget_is_spent_over_both_protocols(guarded: Guarded) -> None:
    let_in = [str(guarded.post("few").status), guarded.infer("few")[0], str(guarded.post("few").status)]
    refused, (code, trailers) = guarded.post("few"), guarded.infer("few")

    assert let_in == ["200", "OK", "200"]
    assert (refused.status, refused.json["error"]["code"]) == (429, "TooManyRequests")
    assert 900 < int(refused.headers["Retry-After"]) <= 1000
    assert code == "RESOURCE_EXHAUSTED"
    assert 900_000 < int(trailers["grpc-retry-pushback-ms"]) <= 1_000_000


def test_what_was_used_is_told_to_the_store_that_gateways_share(guarded: Guarded) -> None:
    guarded.post("few")
    deadline = time.monotonic() + PATIENCE
    with guarded.valkey.client() as client:
        while not (keys := client.keys("lockgate:limits:*")):
            assert time.monotonic() < deadline
        level = float(client.hget(keys[0], "1") or 9.0)

    assert level < 3.0


def test_rows_are_paid_for_by_waiting(guarded: Guarded) -> None:
    many, refused = guarded.post("rows", rows=500), guarded.post("rows")

    assert (many.status, len(many.json)) == (200, 500)
    assert refused.status == 429
    assert 900 < int(refused.headers["Retry-After"]) <= 1000


def test_a_token_of_the_provider_gets_in_over_both_protocols(guarded: Guarded) -> None:
    shown = token(guarded)

    assert guarded.post("entra", Authorization=f"Bearer {shown}").status == 200
    assert guarded.infer("entra", shown)[0] == "OK"


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"roles": ["Model.Read"]}, 401, "PERMISSION_DENIED"),  # Azure's managed endpoints say 401 to the forbidden
        ({"aud": "https://elsewhere.example"}, 401, "UNAUTHENTICATED"),
        ({"exp": 1}, 401, "UNAUTHENTICATED"),
    ],
)
def test_a_token_that_is_not_good_enough_does_not(
    guarded: Guarded, claims: dict[str, Any], status: int, code: str
) -> None:
    shown = token(guarded, **claims)

    assert guarded.infer("entra", shown)[0] in (code, "RESOURCE_EXHAUSTED")
    assert guarded.post("entra", Authorization=f"Bearer {shown}").status in (status, 429)


def test_a_token_opens_only_the_endpoint_that_its_claims_name(guarded: Guarded) -> None:
    assert guarded.infer("few", token(guarded))[0] != "OK"


def test_wrong_credentials_are_slowed_and_right_ones_pass(guarded: Guarded) -> None:
    statuses = [guarded.post("entra", Authorization=f"Bearer guess-{i}").status for i in range(5)]
    over_grpc = guarded.infer("entra", "guess")[0]
    right = guarded.post("entra", Authorization=f"Bearer {token(guarded)}").status

    assert set(statuses) <= {401, 429}
    assert (statuses[-1], over_grpc, right) == (429, "RESOURCE_EXHAUSTED", 200)


def test_a_page_of_the_named_origin_may_ask_and_no_other(guarded: Guarded) -> None:
    with Https(guarded.stack) as https:
        asked = {"Access-Control-Request-Method": "POST", "Authorization": None}
        ours = https.ask("OPTIONS", "/score", None, {**asked, "Origin": PAGE})
        theirs = https.ask("OPTIONS", "/score", None, {**asked, "Origin": "https://evil.example"})

    assert ours.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Access-Control-Allow-Origin" not in theirs.headers
