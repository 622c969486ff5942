"""An answer's bytes, and paths out of request targets."""

from __future__ import annotations

import pytest

from gateway.edge.http_answer import DateHeader, encode_answer, path_and_query
from gateway.edge.http_message import HttpResponse


def test_an_answer_is_one_block() -> None:
    response = HttpResponse(200, b"[1]", headers=[("x-name", "a")], id="7", caller_id="mine", timing="auth;dur=1")

    assert encode_answer(response, "today", "keep-alive") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\nx-name: a\r\n"
        b"Date: today\r\nx-request-id: 7\r\nx-ms-client-request-id: mine\r\nServer-Timing: auth;dur=1\r\n"
        b"Content-Length: 3\r\n\r\n[1]"
    )


def test_what_there_is_nothing_to_say_of_is_left_out() -> None:
    assert encode_answer(HttpResponse(204, content_type="", id="7"), "today", "") == (
        b"HTTP/1.1 204 No Content\r\nDate: today\r\nx-request-id: 7\r\n\r\n"
    )


def test_an_answer_has_no_header_of_the_one_before() -> None:
    first = HttpResponse(200, b"[1]", headers=[("x-name", "a")], id="7", caller_id="mine", timing="auth;dur=1")
    second = HttpResponse(200, b"", headers=[("x-name", "b")], id="8")
    encode_answer(first, "today", "")

    assert encode_answer(second, "tomorrow", "close") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nx-name: b\r\n"
        b"Date: tomorrow\r\nx-request-id: 8\r\nContent-Length: 0\r\n\r\n"
    )


def test_the_answer_to_head_keeps_the_length() -> None:
    data = encode_answer(HttpResponse(200, b"[1]"), "today", "close", has_body=False)

    assert data.endswith(b"Content-Length: 3\r\n\r\n")


def test_no_content_has_no_length() -> None:
    assert b"Content-Length" not in encode_answer(HttpResponse(204, content_type=""), "today", "")


def test_a_status_without_a_name_is_still_an_answer() -> None:
    assert encode_answer(HttpResponse(599), "today", "").startswith(b"HTTP/1.1 599 Error\r\n")


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb"])
def test_a_line_break_in_a_header_is_a_defect(value: str) -> None:
    with pytest.raises(ValueError, match="x-name"):
        encode_answer(HttpResponse(200, headers=[("x-name", value)]), "today", "")


def test_the_date_is_made_once_a_second() -> None:
    moments = iter([0.0, 0.9, 1.0])
    date = DateHeader(lambda: next(moments))

    first, second, third = date(), date(), date()

    assert first == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert second is first
    assert third == "Thu, 01 Jan 1970 00:00:01 GMT"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a?b=c?d", ("/a", "b=c?d")),
        ("/", ("/", "")),
        ("http://host/a?b", ("/a", "b")),
        ("http://host?b", ("", "b")),
        ("*", ("", "")),
        ("host:443", ("", "")),
    ],
)
def test_a_target_has_a_path_and_a_query(target: str, expected: tuple[str, str]) -> None:
    assert path_and_query(target) == expected
