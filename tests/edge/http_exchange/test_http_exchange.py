"""What every answer has in common, without a socket."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Mapping
from functools import partial

import pytest
from structlog.testing import capture_logs

from gateway.core.errors import (
    Cancelled,
    Forbidden,
    GatewayError,
    InvalidInput,
    NotReady,
    Overloaded,
    Unauthenticated,
)
from gateway.core.request import Received
from gateway.edge.config import EdgeConfig
from gateway.edge.http_exchange import HttpExchange
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.http_route import Route
from gateway.edge.http_router import HttpRouter
from gateway.edge.http_score import encode_score_error
from tests.support.edge_app import exchange_of
from tests.support.edge_service import FakeCore

BODY = b'[{"carat": 0.23, "cut": "Ideal"}]'
Done = list[tuple[Received | None, int, GatewayError | None]]


def post(**headers: str) -> HttpRequest:
    return HttpRequest("POST", "/score", "", {k.replace("_", "-"): v for k, v in headers.items()}, BODY)


async def answer_to(request: HttpRequest, core: FakeCore, done: Done | None = None) -> HttpResponse:
    return await exchange_of(core, EdgeConfig(), done=done)(request)


async def test_every_answer_carries_a_fresh_id_of_ours() -> None:
    exchange = exchange_of(FakeCore(), EdgeConfig())
    ids = {(await exchange(post(x_request_id="theirs"))).id for _ in range(2)}

    assert len(ids - {"theirs"}) == 2


async def test_the_callers_id_is_echoed() -> None:
    response = await answer_to(post(x_ms_client_request_id="abc-1"), FakeCore())

    assert response.caller_id == "abc-1"


async def test_the_stages_and_their_times_are_in_the_answer() -> None:
    timing = (await answer_to(post(), FakeCore())).timing

    assert [part.split(";")[0] for part in timing.split(", ")] == ["receive", "answer"]


async def test_the_stages_can_be_kept_private() -> None:
    exchange = exchange_of(FakeCore(), EdgeConfig(server_timing=False))

    assert (await exchange(post())).timing == ""


@pytest.mark.parametrize(("wait", "said"), [(0.2, "1"), (1.0, "1"), (1.2, "2")])
async def test_overload_says_when_to_come_back_in_whole_seconds(wait: float, said: str) -> None:
    response = await answer_to(post(), FakeCore(error=Overloaded("full", wait)))

    assert dict(response.headers)["Retry-After"] == said


async def test_not_ready_says_when_to_come_back() -> None:
    response = await answer_to(post(), FakeCore(error=NotReady("loading")))

    assert (response.status, dict(response.headers)["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("error", [Unauthenticated("who?"), Forbidden("not you")])
async def test_a_401_says_how_to_authenticate(error: GatewayError) -> None:
    response = await answer_to(post(), FakeCore(error=error))

    assert (response.status, dict(response.headers)["WWW-Authenticate"]) == (401, "Bearer")


async def test_a_defect_is_answered_with_500_and_says_nothing_of_itself() -> None:
    with capture_logs():
        response = await answer_to(post(), FakeCore(error=ZeroDivisionError("secret 42")))

    assert (response.status, b"secret" in response.body) == (500, False)


async def test_a_defect_is_logged_once_under_the_id_that_the_caller_got() -> None:
    with capture_logs() as events:
        response = await answer_to(post(), FakeCore(error=ZeroDivisionError("oops")))

    assert [(event["event"], event["request_id"]) for event in events] == [("edge.handler_crashed", response.id)]


async def test_nesting_too_deep_for_whoever_walks_it_is_the_callers_error() -> None:
    assert (await answer_to(post(), FakeCore(error=RecursionError()))).status == 400


async def test_the_recorder_hears_of_a_request_once_with_its_outcome() -> None:
    done: Done = []
    error = NotReady("loading")
    core = FakeCore(error=error)
    await answer_to(post(), core, done)

    assert done == [(core.received[0], 503, error)]


async def test_the_recorder_hears_of_what_never_became_a_call() -> None:
    done: Done = []
    await exchange_of(FakeCore(), EdgeConfig(), done=done)(HttpRequest("GET", "/nothing", "", {}, b""))

    assert [(call, status, type(error).__name__) for call, status, error in done] == [(None, 404, "NotFound")]


async def test_the_recorder_hears_that_a_caller_went_away() -> None:
    done: Done = []
    core = FakeCore(held=asyncio.Event())
    async with asyncio.timeout(5):
        task = asyncio.create_task(answer_to(post(), core, done))
        await core.started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert [(call, status, type(error)) for call, status, error in done] == [(core.received[0], 499, Cancelled)]


async def test_a_cancellation_is_passed_on() -> None:
    core = FakeCore(held=asyncio.Event())
    async with asyncio.timeout(5):
        task = asyncio.create_task(answer_to(post(), core))
        await core.started.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert task.cancelled()


async def test_options_names_the_methods_and_needs_no_handler() -> None:
    request = HttpRequest("OPTIONS", "/score", "", {}, b"")
    response = await answer_to(request, FakeCore())

    assert (response.status, dict(response.headers)["Allow"]) == (204, "OPTIONS, POST")


async def test_a_wrong_method_is_told_the_right_ones() -> None:
    response = await answer_to(HttpRequest("GET", "/score", "", {}, b""), FakeCore())

    assert (response.status, dict(response.headers)["Allow"]) == (405, "OPTIONS, POST")


async def test_another_family_plugs_in_with_its_own_routes_and_errors() -> None:
    async def fail(request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        raise NotReady(captures["model"])

    def encode(error: GatewayError) -> HttpResponse:
        return HttpResponse(418, str(error).encode())

    extra = [Route(method="GET", pattern="/v2/models/{model}", handler=fail, encode_error=encode)]
    exchange = exchange_of(FakeCore(), EdgeConfig(), extra=extra)
    response = await exchange(HttpRequest("GET", "/v2/models/m", "", {}, b""))

    assert (response.status, response.body) == (418, b"m")


def test_a_request_that_could_not_be_read_is_answered_in_its_familys_words() -> None:
    error = Overloaded("full")
    response = exchange_of(FakeCore(), EdgeConfig()).refuse(post(), error)

    assert response.body == encode_score_error("managed", error).body


async def test_a_refusal_that_repeats_a_long_name_is_cut() -> None:
    core = FakeCore(error=InvalidInput(f'column "{"x" * 1_000_000}": expected a value'))
    answer = await exchange_of(core, EdgeConfig())(HttpRequest("POST", "/score", "", {}, BODY))

    assert (answer.status, len(answer.body) < 2100) == (400, True)


async def test_a_refusal_leaves_nothing_to_the_garbage_collector() -> None:
    async def handler(request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
        error = Overloaded("full")
        raise error

    route = Route(method="POST", pattern="/score", handler=handler, encode_error=partial(encode_score_error, "managed"))
    exchange = HttpExchange(HttpRouter([route]), new_id=lambda: "id", on_done=lambda call, status, error: None)
    await exchange(post())
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            await exchange(post())
        unreachable = gc.collect()
    finally:
        gc.enable()

    assert unreachable < 100  # other tests leave something too, but not so much


class Headers(dict[str, str]):
    """Go with their request, and tell when."""


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/score", BODY),
        ("/invocations", b'{"dataframe_records": [{"carat": 0.23}]}'),
        ("/predict", BODY),
    ],
)
@pytest.mark.parametrize("leaves", [False, True])
async def test_a_request_and_its_body_do_not_wait_for_the_garbage_collector(
    path: str, body: bytes, leaves: bool
) -> None:
    held, headers = asyncio.Event(), Headers()
    core, left = FakeCore(held=held), weakref.ref(headers)
    gc.disable()
    try:
        task = asyncio.create_task(exchange_of(core, EdgeConfig())(HttpRequest("POST", path, "", headers, body)))
        del headers
        async with asyncio.timeout(10):
            await core.started.wait()
        is_there = left() is not None
        task.cancel() if leaves else held.set()
        await asyncio.wait([task])
        del task
        core.received.clear()
        core.payloads.clear()

        assert (is_there, left()) == (True, None)
    finally:
        gc.enable()
