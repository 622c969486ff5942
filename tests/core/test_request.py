"""What a request shows of itself where somebody prints it."""

from __future__ import annotations

import io

from rich.console import Console

from gateway.core.access import Principal
from gateway.core.payload import Payload, Records
from gateway.core.request import Authenticated, Received


def call() -> Received:
    def read() -> Payload:
        return Records([{"carat": "secret value"}])

    return Received(
        "price",
        None,
        "Bearer lg_secret",
        None,
        read,
        "rest",
        "192.0.2.1",
        headers={"authorization": "Bearer lg_secret"},
    )


def test_the_credential_and_the_headers_are_not_printed() -> None:
    shown = repr(Authenticated(call(), Principal("anna")))

    assert "secret" not in shown
    assert "endpoint='price'" in shown


def test_nor_are_they_by_what_prints_tracebacks_with_variables() -> None:
    page = io.StringIO()
    Console(file=page, width=500).print(Authenticated(call(), Principal("anna")))

    assert "secret" not in page.getvalue()
    assert "price" in page.getvalue()


def test_requests_do_not_share_their_headers_and_timelines() -> None:
    one, other = (Received(None, None, None, None, lambda: Records([]), "rest", "") for _ in range(2))

    assert one.timeline is not other.timeline
    assert one.headers is not other.headers
