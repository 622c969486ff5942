"""Every kind of credential at every door of a real server, over every wire, with the status that is expected."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import jwt
import pytest

from gateway.auth.token_keys import rotate_token_key
from gateway.wire.v1 import grpc_service_pb2 as wire
from gateway.wire.v1.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from tests.support.doors import Doors
from tests.support.https import Reply
from tests.support.stack import PATIENCE, ROOT, Stack, serving

ENGINES = {
    "own engines": {"http_engine": "httptools", "grpc_engine": "h2grpc"},
    "well-known engines": {"http_engine": "aiohttp", "grpc_engine": "grpcio"},
}
GATEWAYS = 2
ROW = [[0.1, 0.2, 0.3, 0.4]]
ENDPOINTS = ("a", "b", "t", "nope")


@dataclass
class Site:
    """A server with its credentials, and one connection per wire."""

    stack: Stack
    doors: Doors
    connection: http.client.HTTPSConnection
    stub: Any

    def rest(self, method: str, path: str, header: str | None, body: Any = None) -> Reply:
        headers = {} if header is None else {"Authorization": header}
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self.connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def grpc(self, method: str, request: Any, header: str | None) -> str:
        """OK, or the name of the code."""
        metadata = [] if header is None else [("authorization", header)]
        try:
            getattr(self.stub, method)(request, metadata=metadata, timeout=PATIENCE)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def header(self, kind: str | None) -> str | None:
        """The header that shows this kind of credential."""
        bad = {"no scheme": self.doors.credentials["key of all"], "Basic": "Basic YTpi", "Bearer alone": "Bearer"}
        if kind is None or kind in bad:
            return None if kind is None else bad[kind]
        return f"Bearer {self.doors.credentials[kind]}"

    def admin(self, method: str, path: str, header: str | None, body: Any = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.admin_port, timeout=PATIENCE)
        try:
            headers = {} if header is None else {"Authorization": header}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            return connection.getresponse().status
        finally:
            connection.close()


def opened(stack: Stack, doors: Doors, certificate: Any = None) -> Site:
    context = ssl.create_default_context(cafile=str(stack.ca))
    chain = key = None
    if certificate is not None:
        context.load_cert_chain(*certificate)
        chain, key = (file.read_bytes() for file in certificate)
    connection = http.client.HTTPSConnection("localhost", stack.http_port, timeout=PATIENCE, context=context)
    credentials = grpc.ssl_channel_credentials(stack.ca.read_bytes(), key, chain)
    channel = grpc.secure_channel(stack.grpc_target, credentials)
    return Site(stack, doors, connection, GRPCInferenceServiceStub(channel))  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module", params=list(ENGINES))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    own = request.param == "own engines"
    settings = {"edge": dict(ENGINES[request.param]), "gateways": GATEWAYS}
    doors = Doors(tmp_path_factory.mktemp("doors"), settings=settings, with_certificates=own)
    with serving(doors.root, doors.folder) as stack:
        found = opened(stack, doors)
        yield found
        found.connection.close()


#   credential          a    b    t    nope   what lists show
MATRIX: dict[str | None, tuple[Sequence[int], str]] = {
    None: ((401, 401, 401, 401), "401"),
    "no scheme": ((401, 401, 401, 401), "401"),
    "Basic": ((401, 401, 401, 401), "401"),
    "Bearer alone": ((401, 401, 401, 401), "401"),
    "wrong key": ((401, 401, 401, 401), "401"),
    "expired key": ((401, 401, 401, 401), "401"),
    "key of all": ((200, 200, 401, 403), "a b"),
    "key of a": ((200, 403, 401, 403), "a"),
    "key of b": ((403, 200, 401, 403), "b"),
    "primary of a": ((200, 403, 401, 403), "a"),
    "secondary of a": ((200, 403, 401, 403), "a"),
    "reading key": ((403, 403, 401, 403), "a b"),
    "keys of a": ((403, 403, 401, 403), "a"),
    "admin key": ((200, 200, 401, 403), "a b"),
    "token of t": ((401, 401, 200, 401), "t"),
    "token of a": ((401, 401, 401, 401), "403"),
    "expired token": ((401, 401, 401, 401), "401"),
    "forged token": ((401, 401, 401, 401), "401"),
}
CODES = {200: "OK", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
READERS = {"reading key": ("a", "b"), "keys of a": ("a",)}
"""Who may read what they may not score."""


def reads(kind: str | None) -> list[int]:
    """
    The statuses of reading metadata: whoever may score may. That there is no such endpoint is told to those who can
    have a list.
    """
    scores, shown = MATRIX[kind]
    known = [200 if name in READERS.get(kind or "", ()) else scores[i] for i, name in enumerate(ENDPOINTS[:3])]
    return [*known, int(shown) if shown.isdigit() else 404]


@pytest.mark.parametrize("kind", MATRIX)
def test_scoring_over_rest(site: Site, kind: str | None) -> None:
    header = site.header(kind)
    statuses = [
        site.rest("POST", f"/api/v1/endpoint/{name}/score", header, {"input_data": {"x": ROW}}).status
        for name in ENDPOINTS
    ]

    assert statuses == list(MATRIX[kind][0])


@pytest.mark.parametrize("kind", MATRIX)
def test_scoring_over_the_open_inference_protocol(site: Site, kind: str | None) -> None:
    header = site.header(kind)
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROW[0]}]}
    statuses = [site.rest("POST", f"/v2/models/{name}/infer", header, body).status for name in ENDPOINTS]

    assert statuses == list(MATRIX[kind][0])


@pytest.mark.parametrize("kind", MATRIX)
def test_scoring_over_grpc(site: Site, kind: str | None) -> None:
    header = site.header(kind)
    codes = []
    for name in ENDPOINTS:
        request = wire.ModelInferRequest(model_name=name)
        request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend(ROW[0])
        codes.append(site.grpc("ModelInfer", request, header))

    assert codes == [CODES[status] for status in MATRIX[kind][0]]


@pytest.mark.parametrize("kind", MATRIX)
def test_reading_metadata_over_rest(site: Site, kind: str | None) -> None:
    header = site.header(kind)
    statuses = [site.rest("GET", f"/v2/models/{name}", header).status for name in ENDPOINTS]

    assert statuses == reads(kind)


@pytest.mark.parametrize("kind", MATRIX)
def test_reading_metadata_over_grpc(site: Site, kind: str | None) -> None:
    header = site.header(kind)
    codes = [site.grpc("ModelMetadata", wire.ModelMetadataRequest(name=name), header) for name in ENDPOINTS]

    assert codes == [CODES[status] for status in reads(kind)]


@pytest.mark.parametrize("kind", MATRIX)
def test_a_list_shows_what_may_be_read_and_nothing_else(site: Site, kind: str | None) -> None:
    reply = site.rest("GET", "/v2/models", site.header(kind))
    shown = " ".join(sorted(reply.json["models"])) if reply.status == 200 else str(reply.status)

    assert shown == MATRIX[kind][1]


def admin_statuses(site: Site, kind: str | None) -> list[int]:
    header = site.header(kind)
    return [
        site.admin("GET", "/keys", header),
        site.admin("POST", "/endpoints/a/listKeys", header),
        site.admin("POST", "/endpoints/b/regenerateKeys", header, {"keyType": "Secondary"}),
        site.admin("POST", "/endpoints/t/token", header),
        site.admin("DELETE", "/keys/nobody", header),
        site.admin("GET", "/livez", header),
    ]


@pytest.mark.parametrize("kind", MATRIX)
def test_the_admin_api(site: Site, kind: str | None) -> None:
    known = {"admin key": [200, 200, 200, 200, 404, 200], "keys of a": [200, 200, 403, 403, 404, 200]}
    is_valid = MATRIX[kind][1] != "401"

    assert admin_statuses(site, kind) == known.get(kind or "", [403 if is_valid else 401] * 5 + [200])


@pytest.mark.parametrize(
    ("kind", "challenge"),
    [
        (None, 'Bearer realm="lockgate"'),
        (
            "Basic",
            'Bearer realm="lockgate", error="invalid_request", error_description="expected: Bearer credential"',
        ),
        (
            "wrong key",
            'Bearer realm="lockgate", error="invalid_token", error_description="the key is not valid here"',
        ),
        ("expired key", 'Bearer realm="lockgate", error="invalid_token", error_description="the key has expired"'),
        ("reading key", 'Bearer realm="lockgate", error="insufficient_scope", scope="score"'),
    ],
)
def test_a_refusal_says_what_would_do(site: Site, kind: str | None, challenge: str) -> None:
    response = site.rest("POST", "/api/v1/endpoint/a/score", site.header(kind), {"input_data": {"x": ROW}})

    assert response.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize(
    ("kind", "description"),
    [
        ("wrong key", "the token is malformed"),
        ("expired token", "the token has expired"),
        ("token of a", "the token is for another endpoint"),
        ("forged token", "the token was not signed here, or its key is no longer valid"),
    ],
)
def test_an_expired_token_is_told_from_a_malformed_one_over_both_wires(site: Site, kind: str, description: str) -> None:
    expected = f'Bearer realm="lockgate", error="invalid_token", error_description="{description}"'
    response = site.rest("GET", "/v2/models/t", site.header(kind))
    with pytest.raises(grpc.RpcError) as caught:
        site.stub.ModelMetadata(
            wire.ModelMetadataRequest(name="t"), metadata=[("authorization", site.header(kind))], timeout=PATIENCE
        )
    trailers: Any = caught.value.trailing_metadata()

    assert [response.headers["WWW-Authenticate"], dict(trailers)["www-authenticate"]] == [expected] * 2


def test_a_client_certificate_scores_where_it_may_over_every_wire(site: Site) -> None:
    robot = opened(site.stack, site.doors, site.doors.certificate)
    statuses = [
        robot.rest("POST", f"/api/v1/endpoint/{name}/score", None, {"input_data": {"x": ROW}}).status
        for name in ENDPOINTS
    ]
    codes = [robot.grpc("ModelMetadata", wire.ModelMetadataRequest(name=name), None) for name in ENDPOINTS]
    with_wrong_key = robot.rest("GET", "/v2/models/a", site.header("wrong key")).status
    robot.connection.close()

    # grpcio cannot ask for a certificate without requiring one, so with it nobody is asked.
    is_asked = site.doors.with_certificates
    assert statuses == ([200, 403, 403, 403] if is_asked else [401] * 4)
    assert codes == [CODES[status] for status in ([200, 403, 403, 404] if is_asked else [401] * 4)]
    assert with_wrong_key == 401


def everybody_saw(site: Site, since: int, change: str, name: str) -> None:
    """Until all gateways, and the supervisor for its admin API, know that this key was ``added`` or ``removed``."""
    left = GATEWAYS + 1
    while left:
        event = site.stack.event("auth.keys_changed", since)
        since = site.stack.events.index(event, since) + 1
        left -= name in event[change]


def test_a_revoked_key_is_refused_by_every_gateway_and_no_event_holds_it(site: Site) -> None:
    since = site.stack.mark()
    secret = site.doors.key("short-lived")
    everybody_saw(site, since, "added", "short-lived")
    sites = [opened(site.stack, site.doors) for _ in range(8)]  # the kernel spreads connections over the gateways
    before = {each.rest("GET", "/v2/models/a", f"Bearer {secret}").status for each in sites}
    since = site.stack.mark()
    site.doors.book().revoke("short-lived", lambda _: None)
    everybody_saw(site, since, "removed", "short-lived")
    after = {each.rest("GET", "/v2/models/a", f"Bearer {secret}").status for each in sites}
    for each in sites:
        each.connection.close()

    assert (before, after) == ({200}, {401})
    assert secret not in site.stack.output()


def test_the_printed_commands_score_whatever_the_endpoint_takes(site: Site) -> None:
    commands = [line for line in site.stack.lines if " invoke " in line]
    codes = [
        subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, timeout=PATIENCE, check=False).returncode
        for line in commands
    ]

    assert codes == [0, 0, 0], commands


def test_turning_the_signing_key_over_disturbs_no_token(site: Site) -> None:
    old = site.doors.token("t")
    before = site.rest("GET", "/v2/models/t", f"Bearer {old}").status
    rotate_token_key(site.doors.files.token_keys, time.time())
    new = site.doors.token("t")
    statuses = [site.rest("GET", "/v2/models/t", f"Bearer {token}").status for token in (new, old)]

    assert jwt.get_unverified_header(new)["kid"] != jwt.get_unverified_header(old)["kid"]
    assert [before, *statuses] == [200, 200, 200]


async def test_keys_are_turned_over_under_load_and_no_request_fails(site: Site) -> None:
    """New secondary, everybody moves to it, new primary, everybody moves back, again and again."""
    rounds, callers = 3, 4
    current = site.doors.regenerate("a", "primary")
    answered: dict[str, list[int]] = {}
    stop, news = asyncio.Event(), asyncio.Condition()

    def ask(connection: http.client.HTTPSConnection, secret: str) -> int:
        body = json.dumps({"input_data": {"x": ROW}})
        connection.request("POST", "/api/v1/endpoint/a/score", body, {"Authorization": f"Bearer {secret}"})
        response = connection.getresponse()
        response.read()
        return response.status

    async def call() -> None:
        connection = opened(site.stack, site.doors).connection
        while not stop.is_set():
            secret = current
            status = await asyncio.to_thread(ask, connection, secret)
            async with news:
                answered.setdefault(secret, []).append(status)
                news.notify_all()
        connection.close()

    async def used(secret: str) -> None:
        """Until every caller has been answered with this key."""
        async with news:
            await news.wait_for(lambda: len(answered.get(secret, ())) >= 2 * callers)

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
        for _ in range(callers):
            tasks.create_task(call())
        await used(current)
        for _ in range(rounds):
            for slot in ("secondary", "primary"):
                # The other key, which all use at this moment, stays valid.
                current = await asyncio.to_thread(site.doors.regenerate, "a", slot)
                await used(current)
        stop.set()
    statuses = [status for one in answered.values() for status in one]

    assert len(answered) == 1 + 2 * rounds
    assert set(statuses) == {200}
