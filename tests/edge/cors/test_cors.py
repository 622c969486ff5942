"""A page of another origin may call only if that origin is named; nothing is said to the others."""

from __future__ import annotations

import pytest

from gateway.edge.config import EdgeConfig
from gateway.edge.http_message import HttpRequest, HttpResponse
from tests.support.edge_app import exchange_of
from tests.support.edge_service import FakeCore

OURS = "https://app.example.org"
BODY = b'[{"carat": 0.23, "cut": "Ideal"}]'


async def ask(method: str, origin: str | None = OURS, *origins: str, **headers: str) -> HttpResponse:
    config = EdgeConfig(cors_origins=list(origins))
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if origin is not None:
        sent["origin"] = origin
    exchange = exchange_of(FakeCore(is_open=False), config)
    return await exchange(HttpRequest(method, "/score", "", sent, BODY if method == "POST" else b""))


def cors(response: HttpResponse) -> dict[str, str]:
    return {name: value for name, value in response.headers if name.startswith("Access-Control") or name == "Vary"}


PREFLIGHT = {"access_control_request_method": "POST", "access_control_request_headers": "authorization"}


async def test_a_named_origin_is_told_what_it_may_send() -> None:
    answer = await ask("OPTIONS", OURS, OURS, **PREFLIGHT)
    said = cors(answer)

    assert (answer.status, said["Access-Control-Allow-Origin"]) == (204, OURS)
    assert "POST" in said["Access-Control-Allow-Methods"]
    assert "authorization" in said["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in said


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "https://evil.example",
        f"{OURS}.evil.example",
        f"{OURS}:444",
        "http://app.example.org",
        OURS.upper(),
        f"{OURS}/",
        f"{OURS}, https://evil.example",
    ],
)
async def test_any_other_origin_is_told_nothing(origin: str | None) -> None:
    answers = [await ask("OPTIONS", origin, OURS, **PREFLIGHT), await ask("POST", origin, OURS)]

    assert [cors(answer) for answer in answers] == [{"Vary": "Origin"}] * 2


async def test_without_the_setting_nobody_is_told_anything() -> None:
    answers = [await ask("OPTIONS", OURS, **PREFLIGHT), await ask("POST", OURS)]

    assert [cors(answer) for answer in answers] == [{}, {}]


async def test_a_page_may_read_a_refusal_too() -> None:
    answer = await ask("POST", OURS, OURS)

    assert (answer.status, cors(answer)["Access-Control-Allow-Origin"]) == (401, OURS)
    assert "x-request-id" in cors(answer)["Access-Control-Expose-Headers"]


async def test_a_page_may_read_an_answer() -> None:
    answer = await ask("POST", OURS, OURS, authorization="Bearer right")

    assert (answer.status, cors(answer)["Access-Control-Allow-Origin"]) == (200, OURS)


async def test_an_options_request_that_is_no_preflight_is_answered_as_ever() -> None:
    answer = await ask("OPTIONS", OURS, OURS)

    assert ("Allow", "OPTIONS, POST") in answer.headers


@pytest.mark.parametrize("origin", ["*", "null", "app.example.org", f"{OURS}/", f"{OURS}/x", "HTTPS://A.example", ""])
def test_what_no_browser_sends_is_refused_as_a_setting(origin: str) -> None:
    with pytest.raises(ValueError, match="cors_origins"):
        EdgeConfig(cors_origins=[origin])


@pytest.mark.parametrize("origin", [OURS, "http://localhost:3000", "http://[::1]:8080", "https://10.0.0.1"])
def test_origins_as_browsers_send_them_are_taken(origin: str) -> None:
    assert EdgeConfig(cors_origins=[origin]).cors_origins == [origin]
