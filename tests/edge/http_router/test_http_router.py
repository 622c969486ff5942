"""Paths find their routes; what has none is told apart from what has others."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, MethodNotAllowed, NotFound
from gateway.edge import http_router
from gateway.edge.http_message import HttpRequest, HttpResponse
from gateway.edge.http_route import Route
from gateway.edge.http_router import HttpRouter


async def answer(request: HttpRequest, captures: Mapping[str, str]) -> HttpResponse:
    raise NotImplementedError


def encode_score(error: GatewayError) -> HttpResponse:
    return HttpResponse(400, b"score")


def encode_v2(error: GatewayError) -> HttpResponse:
    return HttpResponse(400, b"v2")


def route(method: str, pattern: str) -> Route:
    encode = encode_v2 if pattern.startswith("/v2") else encode_score
    return Route(method=method, pattern=pattern, handler=answer, encode_error=encode)


ROUTES = [
    route("POST", "/score"),
    route("GET", "/"),
    route("GET", "/v2"),
    route("GET", "/v2/models/{model}"),
    route("GET", "/v2/models/stats"),
    route("POST", "/v2/models/{model}/infer"),
    route("GET", "/v2/models/{model}/infer"),
    route("POST", "/v2/models/{model}/versions/{version}/infer"),
    route("POST", "/v2/repository/models/{model}/load"),
    route("POST", "/v2/repository/{repository}/index"),
]
ROUTER = HttpRouter(ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "pattern", "captures"),
    [
        ("POST", "/score", "/score", {}),
        ("GET", "/", "/", {}),
        ("POST", "/v2/models/diamonds/infer", "/v2/models/{model}/infer", {"model": "diamonds"}),
        (
            "POST",
            "/v2/models/a/versions/b/infer",
            "/v2/models/{model}/versions/{version}/infer",
            {"model": "a", "version": "b"},
        ),
        ("GET", "/v2/models/stats", "/v2/models/stats", {}),
        ("POST", "/v2/models/versions/infer", "/v2/models/{model}/infer", {"model": "versions"}),
        ("POST", "/api/v1/endpoint/diamonds/score", "/score", {"endpoint": "diamonds"}),
        ("POST", "/api/v1/service/diamonds/score", "/score", {"endpoint": "diamonds"}),
        ("GET", "/api/v1/endpoint/diamonds/", "/", {"endpoint": "diamonds"}),
        (
            "POST",
            "/api/v1/endpoint/e/v2/models/m/infer",
            "/v2/models/{model}/infer",
            {"model": "m", "endpoint": "e"},
        ),
    ],
)
def test_a_path_finds_its_route(method: str, path: str, pattern: str, captures: dict[str, str]) -> None:
    found, got = ROUTER.resolve(method, path)

    assert (found.method, found.pattern, dict(got)) == (method, pattern, captures)


@pytest.mark.parametrize(
    ("path", "pattern", "captures"),
    [
        ("/v2/models/stats/infer", "/v2/models/{model}/infer", {"model": "stats"}),
        ("/v2/repository/models/load/load", "/v2/repository/models/{model}/load", {"model": "load"}),
        ("/v2/repository/models/index", "/v2/repository/{repository}/index", {"repository": "models"}),
    ],
)
def test_a_literal_that_leads_nowhere_gives_way_to_a_name(path: str, pattern: str, captures: dict[str, str]) -> None:
    found, got = ROUTER.resolve("POST", path)

    assert (found.pattern, got) == (pattern, captures)


@pytest.mark.parametrize(
    "path", ["/nothing", "/score/", "/score/x", "", "/v2/models//infer", "/v2/models/a/b/c", "/api/v1/endpoint", "*"]
)
def test_an_unknown_path_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        ROUTER.resolve("GET", path)


def test_head_is_answered_as_get() -> None:
    assert ROUTER.resolve("HEAD", "/")[0].method == "GET"


def test_another_method_is_told_which_ones_there_are() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        ROUTER.resolve("DELETE", "/v2/models/m/infer")

    assert refused.value.allowed == ("GET", "HEAD", "OPTIONS", "POST")


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/score/nothing", b"score"),
        ("/v2/nothing", b"v2"),
        ("/api/v1/endpoint/e/v2/nothing", b"v2"),
        ("/else", b"score"),
        ("", b"score"),
    ],
)
def test_an_unknown_path_gets_the_error_of_the_family_it_seems_to_mean(path: str, family: bytes) -> None:
    assert ROUTER.encode_error_for(path)(NotFound("x")).body == family


def test_two_routes_for_one_path_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two routes for GET /v2/\{x\}"):
        HttpRouter([route("GET", "/v2/{x}"), route("GET", "/v2/{x}")])


def outcome(router: HttpRouter, method: str, path: str) -> tuple[object, ...]:
    try:
        found, captures = router.resolve(method, path)
    except MethodNotAllowed as error:
        return str(error), error.allowed
    except NotFound as error:
        return (str(error),)
    return found, dict(captures)


METHODS = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "get", ""])
SEGMENTS = st.sampled_from(["v2", "models", "repository", "stats", "infer", "index", "score", "m", "versions", "1", ""])
PATHS = st.builds(
    lambda base, segments: base + "".join(f"/{segment}" for segment in segments),
    st.sampled_from(["", "/api/v1/endpoint/e", "/api/v1/service/e", "/v2/models/m"]),
    st.lists(SEGMENTS, max_size=5),
)


@given(st.lists(st.tuples(METHODS, PATHS | st.text(max_size=5)), max_size=8), st.integers(1, 3))
def test_what_was_asked_before_changes_no_answer(asked: list[tuple[str, str]], limit: int) -> None:
    router = HttpRouter(ROUTES)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(http_router, "_MAX_REMEMBERED", limit)
        for method, path in asked * 2:
            assert outcome(router, method, path) == outcome(HttpRouter(ROUTES), method, path)


def test_a_path_that_is_known_for_one_method_is_not_for_another() -> None:
    router = HttpRouter(ROUTES)
    router.resolve("GET", "/v2/models/m")
    with pytest.raises(MethodNotAllowed):
        router.resolve("GETS", "/v2/models/m")


def test_callers_who_make_up_paths_do_not_fill_the_memory() -> None:
    router = HttpRouter(ROUTES)
    for number in range(5000):
        router.resolve("POST", f"/v2/models/{number}/infer")
        assert len(router.remembered) <= 1024

    router.resolve("POST", f"/v2/models/{'m' * 256}/infer")

    assert not any("mmm" in path for _, path in router.remembered)


def test_a_path_that_is_not_found_is_not_remembered() -> None:
    router = HttpRouter(ROUTES)
    with pytest.raises(NotFound):
        router.resolve("GET", "/nothing")
    with pytest.raises(MethodNotAllowed):
        router.resolve("DELETE", "/score")

    assert not router.remembered
