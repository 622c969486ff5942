"""
Requests that mean no good get a status of their own, cost little, and harm nobody else: over both HTTP engines.

How requests are told apart on a connection is in ``test_http_framing``; what comes over gRPC in ``test_hostile_grpc``.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import msgspec
import pytest

from gateway.edge.config import EdgeConfig
from tests.support.edge_app import serving
from tests.support.hostile import AssemblingCore, no_crash
from tests.support.http_wire import connected, post

pytestmark = pytest.mark.usefixtures("http_engine")

LIMIT = 200_000
CONFIG = EdgeConfig(host="127.0.0.1", http_port=0, max_body_bytes=LIMIT)
DEEP = 30_000


def row(**values: object) -> bytes:
    return json.dumps([{"carat": 0.23, "cut": "Ideal", **values}]).encode()


def number(text: str) -> bytes:
    return b'[{"carat": %s, "cut": "Ideal"}]' % text.encode()


async def status_of(request: bytes, *, most: int = 3000) -> int:
    """What one request is answered with; the server is as well as before, and the answer is short."""
    with no_crash():
        async with serving(AssemblingCore(), config=CONFIG) as edge:
            async with connected(edge) as wire:
                wire.send(request)
                status, headers, body = await wire.answer()
            async with connected(edge) as other:
                other.send(post())
                assert (await other.answer())[0] == 200

    assert len(body) <= most
    assert all("evil" not in f"{name}: {value}" for name, value in headers.items())
    return status


BODIES: dict[str, bytes] = {
    "lists in lists": b"[" * DEEP,
    "lists in lists, closed": b"[" * DEEP + b"]" * DEEP,
    "objects in objects": b'{"a":' * DEEP,
    "a value that is nested": number("[" * 900 + "]" * 900),
    "a name that is nested": b'{"input_data": {"columns": [' + b"[" * 500 + b"]" * 500 + b'], "data": [[1, 2]]}}',
    "a number beyond all doubles": number("1e400"),
    "a negative one": number("-1e400"),
    "an exponent without end": number("1e" + "9" * 100_000),
    "a whole number of a hundred thousand digits": number("9" * 100_000),
    "a whole number of four thousand digits": number("9" * 4000),
    "many of them": b"[" + b",".join([b"9" * 4000] * 40) + b"]",
    "a number in hexadecimal": number("0x10"),
    "a number with a plus": number("+1"),
    "not a number": number("NaN"),
    "half a character": number('"\\ud800"'),
    "no character at all": b'[{"carat": "\xff\xfe"}]',
    "a value as long as a body": row(cut="x" * 190_000),
    "a name as long as a body": json.dumps([{"x" * 190_000: 1}]).encode(),
    "names without end": json.dumps({"input_data": {"columns": [f"c{i}" for i in range(15_000)], "data": []}}).encode(),
    "one name again and again": b"[{" + b",".join([b'"carat":1'] * 15_000) + b"}]",
    "columns without rows": json.dumps({"carat": [], "cut": []}).encode(),
    "rows without end": json.dumps([[0.23, "Ideal"]] * 9000).encode(),
    "a zero in a level": row(cut="Ideal\0"),
    "a level that looks alike": row(cut="Ｉdeal"),
    "booleans for numbers": number("true"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_body_that_means_no_good_is_a_400(name: str) -> None:
    assert await status_of(post(BODIES[name])) == 400


def packed(body: bytes, encoding: str) -> bytes:
    return post(body, f"Content-Encoding: {encoding}")


ZEROS = bytes(40_000_000)
ENCODED: dict[str, tuple[Callable[[], bytes], int]] = {
    "a gzip bomb": (lambda: packed(gzip.compress(ZEROS), "gzip"), 413),
    "a deflate bomb": (lambda: packed(zlib.compress(ZEROS), "deflate"), 413),
    "a bomb in a bomb": (lambda: packed(gzip.compress(gzip.compress(ZEROS)), "gzip, gzip"), 413),
    "members without end": (lambda: packed(gzip.compress(b"") * 9000, "gzip"), 413),
    "one byte too many": (lambda: packed(gzip.compress(b" " * (LIMIT + 1)), "gzip"), 413),
    "an encoding three times": (lambda: packed(gzip.compress(b"[]"), "gzip, gzip, gzip"), 415),
    "an encoding that we have not": (lambda: packed(b"[]", "br"), 415),
    "half a stream": (lambda: packed(gzip.compress(row())[:-5], "gzip"), 400),
    "no stream": (lambda: packed(b"\x1f\x8b" + bytes(100), "gzip"), 400),
    "a stream and more": (lambda: packed(gzip.compress(row()) + b"more", "gzip"), 400),
    "a charset that we have not": (lambda: post(row(), "Content-Type: application/json; charset=utf-7"), 415),
}


@pytest.mark.parametrize("name", ENCODED)
async def test_what_is_packed_has_the_limits_of_what_is_not(name: str) -> None:
    request, status = ENCODED[name]

    assert await status_of(request()) == status


async def test_a_packed_body_of_exactly_the_limit_is_read() -> None:
    body = row()

    assert await status_of(packed(gzip.compress(body + b" " * (LIMIT - len(body))), "gzip")) == 200


HEADERS: dict[str, tuple[tuple[str, ...], set[int]]] = {
    "more headers than anybody has": (tuple(f"x-{i}: 1" for i in range(5000)), {400, 431}),
    "a header without end": (("x-long: " + "a" * 100_000,), {400, 431}),
    "a deadline that is no number": (("x-request-timeout-ms: 1e9",), {400}),
    "a deadline of many digits": (("x-request-timeout-ms: " + "9" * 5000,), {400}),
    "a deadline in other digits": (("x-request-timeout-ms: ١٢".encode().decode("latin-1"),), {400}),
    "a deployment that is a path": (("azureml-model-deployment: ../../blue",), {200}),  # the fake core has no routing
    "an endpoint that nobody has": (("lockgate-endpoint: " + "e" * 10_000,), {404}),
    "an endpoint that is a path": (("lockgate-endpoint: ../diamonds",), {404}),
    "an id that breaks out": (("x-ms-client-request-id: a%0d%0aevil: 1",), {200}),
    "an id of other letters": (("x-ms-client-request-id: evil\x80\xff",), {200}),
    "an id that is quoted": (('x-ms-client-request-id: "evil"; x',), {200}),
    "an id without end": (("x-ms-client-request-id: evil!" + "a" * 10_000,), {200}),
    "a trace that is none": (("traceparent: evil\t" + "0" * 10_000,), {200}),
}


@pytest.mark.parametrize("name", HEADERS)
async def test_no_header_breaks_anything_or_comes_back(name: str) -> None:
    headers, statuses = HEADERS[name]

    assert await status_of(post(row(), *headers)) in statuses


PATHS = [
    "/../score",
    "/score/..",
    "/./score",
    "//score",
    "/score//",
    "/score%00",
    "/score%2f",
    "/%2e%2e/score",
    "/scor%C3%A9",
    "/%73core%20",
    "/score;jsessionid=1",
    "/SCORE",
    "/%ff%fe",
    "/%",
    "/%zz",
    "/" + "a/" * 5000,
    "/" + "%2e%2e%2f" * 1000,
    "/api/v1/endpoint/../diamonds/score",
    "/api/v1/endpoint/%2e%2e%2fdiamonds/score",
    "/api/v1/endpoint/diamonds%00/score",
    "/api/v1/endpoint/diamonds%0d%0aevil:%201/score",
    "/api/v1/endpoint/ｄiamonds/score".encode().decode("latin-1"),
    "/api/v1/endpoint//score",
    "http://evil.example",
    "*",
]


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_leads_where_it_does_not_belong(path: str) -> None:
    request = post(row()).replace(b" /score ", f" {path} ".encode("latin-1"))

    assert await status_of(request) in (400, 404, 405)


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PRI", "PROPFIND", "PATCH", "post", "X" * 3000])
async def test_no_other_method_does_anything(method: str) -> None:
    request = post(row()).replace(b"POST /score", f"{method} /score".encode())

    assert await status_of(request, most=3500) in (400, 405, 431)


async def test_a_refusal_names_no_more_than_it_must() -> None:
    """The same for all who are not known, and nothing of what they sent."""
    with no_crash():
        async with serving(AssemblingCore(is_open=False), config=CONFIG) as edge:
            answers = []
            for secret in ("lg_guess-one", "eyJhbGciOiJub25lIn0.e30."):
                async with connected(edge) as wire:
                    wire.send(post(row(), f"Authorization: Bearer {secret}"))
                    status, headers, body = await wire.answer()
                answers.append((status, msgspec.json.decode(body), secret in repr((headers, body))))

    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][2]) == (401, False)
