"""An answer's bytes, and paths out of request targets."""

from __future__ import annotations

import pytest

from gateway.edge.http_answer import encode_answer, http_date, path_and_query
from gateway.edge.http_message import HttpResponse


def test_an_answer_is_one_block() -> None:
    response = HttpResponse(200, b"[1]", headers=[("x-name", "a")], id="7", caller_id="mine", timing="auth;dur=1")

    assert encode_answer(response, 0.9, "keep-alive") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\nx-name: a\r\n"
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nx-request-id: 7\r\nx-ms-client-request-id: mine\r\n"
        b"Server-Timing: auth;dur=1\r\nContent-Length: 3\r\n\r\n[1]"
    )


def test_what_there_is_nothing_to_say_of_is_left_out() -> None:
    assert encode_answer(HttpResponse(204, content_type="", id="7"), 0.9, "") == (
        b"HTTP/1.1 204 No Content\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nx-request-id: 7\r\n\r\n"
    )


def test_an_answer_has_no_header_of_the_one_before() -> None:
    first = HttpResponse(200, b"[1]", headers=[("x-name", "a")], id="7", caller_id="mine", timing="auth;dur=1")
    second = HttpResponse(200, b"", headers=[("x-name", "b")], id="8")
    encode_answer(first, 0.9, "")

    assert encode_answer(second, 1.0, "close") == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nx-name: b\r\n"
        b"Date: Thu, 01 Jan 1970 00:00:01 GMT\r\nx-request-id: 8\r\nContent-Length: 0\r\n\r\n"
    )


def test_the_answer_to_head_keeps_the_length() -> None:
    data = encode_answer(HttpResponse(200, b"[1]"), 0.9, "close", has_body=False)

    assert data.endswith(b"Content-Length: 3\r\n\r\n")


def test_no_content_has_no_length() -> None:
    assert b"Content-Length" not in encode_answer(HttpResponse(204, content_type=""), 0.9, "")


def test_a_status_without_a_name_is_still_an_answer() -> None:
    assert encode_answer(HttpResponse(599), 0.9, "").startswith(b"HTTP/1.1 599 Error\r\n")


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb"])
def test_a_line_break_in_a_header_is_a_defect(value: str) -> None:
    with pytest.raises(ValueError, match="x-name"):
        encode_answer(HttpResponse(200, headers=[("x-name", value)]), 0.9, "")


def test_the_date_is_that_of_the_second() -> None:
    dates = [http_date(second) for second in (0, 0, 1, 2, 0)]

    assert dates[0] is dates[1]
    assert [each[-12:] for each in dates] == [f"00:00:0{second} GMT" for second in (0, 0, 1, 2, 0)]


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
