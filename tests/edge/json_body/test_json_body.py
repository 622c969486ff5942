"""Hostile and careless bodies give an error that says what is wrong with them; nothing crashes."""

from __future__ import annotations

import gzip
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput, TooLarge, UnsupportedMedia
from gateway.edge.http_message import HttpRequest
from gateway.edge.json_body import json_value, parse, text_of


def request(body: bytes, **headers: str) -> HttpRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("POST", "/score", "", named, body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_a_depth_bomb_is_an_error(opening: bytes) -> None:
    with pytest.raises(InvalidInput, match="nested too deeply"):
        parse(opening * 100_000)


@pytest.mark.parametrize("body", [b"[NaN]", b'{"x": NaN}', b"[-Infinity]", b"[1, NA]"])
def test_what_is_no_json_number_is_refused_with_a_hint(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="send null"):
        parse(body)


def test_the_word_nan_inside_a_string_gives_no_such_hint() -> None:
    with pytest.raises(InvalidInput, match="not JSON: JSON is malformed"):
        parse(b'{"x": "NaN" oops}')


def test_a_number_that_no_double_holds_is_refused() -> None:
    with pytest.raises(InvalidInput, match="out of range"):
        parse(b"[1e400]")


def test_a_whole_number_keeps_all_its_digits() -> None:
    assert parse(b"[12345678901234567890123]") == [12345678901234567890123]


def test_a_whole_number_of_a_million_digits_is_refused_not_computed() -> None:
    with pytest.raises(InvalidInput):
        parse(b"[" + b"9" * 1_000_000 + b"]")


def test_the_last_of_two_equal_keys_counts() -> None:
    assert parse(b'{"a": 1, "a": 2}') == {"a": 2}


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_body_is_called_empty(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="it is empty"):
        parse(body)


@pytest.mark.parametrize("body", [b'"\xff"', b'["\\ud800"]', b"[1] x", b"[1,]", b"{'a': 1}", b"\x00"])
def test_damaged_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse(body)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_the_error(body: bytes) -> None:
    try:
        parse(body)
    except InvalidInput as error:
        said = str(error)

        assert said


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False), st.lists))
def test_what_json_can_hold_is_read_as_it_was(value: object) -> None:
    import json

    assert parse(json.dumps(value).encode()) == value


def test_a_byte_order_mark_is_skipped() -> None:
    assert json_value(request(b"\xef\xbb\xbf[1]"), 100) == [1]


def test_a_gzipped_body_is_read() -> None:
    assert json_value(request(gzip.compress(b"[1]"), content_encoding="gzip"), 100) == [1]


def test_a_body_that_inflates_over_the_limit_is_too_large() -> None:
    bomb = gzip.compress(b" " * 1_000_000)

    with pytest.raises(TooLarge):
        json_value(request(bomb, content_encoding="gzip"), 1000)


@pytest.mark.parametrize("charset", ["utf-16", "iso-8859-1", "UTF-8", '"utf-8"'])
def test_a_declared_charset_is_honoured(charset: str) -> None:
    body = '["é"]'.encode(charset.strip('"'))

    assert json_value(request(body, content_type=f"application/json; charset={charset}"), 100) == ["é"]


def test_an_unknown_charset_is_unsupported() -> None:
    with pytest.raises(UnsupportedMedia, match="charset"):
        text_of(request(b"[1]", content_type="application/json; charset=rot13"), 100)


def test_text_that_is_not_in_its_charset_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not utf-16"):
        text_of(request(b"abc", content_type="application/json; charset=utf-16"), 100)


def test_a_tiny_number_becomes_zero() -> None:
    assert math.copysign(1.0, parse(b"-1e-400")) == -1.0
