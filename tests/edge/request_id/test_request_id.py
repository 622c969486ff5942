"""The caller's id is echoed only when harmless; ours is always new."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.errors import HeaderTooLarge
from gateway.edge.request_id import caller_id, new_ids


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ("abc-123_X", "abc-123_X"),
        ("a" * 41, "a" * 40),
        ("a" * 101, "a" * 40),
        ("a b", ""),
        ("a\r\nSet-Cookie: x", ""),
        ("ü", ""),
        ("", ""),
    ],
)
def test_a_callers_id_is_cut_or_dropped(sent: str, echoed: str) -> None:
    assert caller_id({"x-ms-client-request-id": sent}, "managed") == echoed


def test_the_older_header_counts_where_the_newer_one_is_missing() -> None:
    assert caller_id({"x-ms-request-id": "old"}, "managed") == "old"


def test_the_callers_x_request_id_is_not_his_to_choose() -> None:
    assert caller_id({"x-request-id": "mine"}, "managed") == ""


@pytest.mark.parametrize("name", ["x-ms-client-request-id", "x-ms-request-id", "x-request-id"])
def test_azmlinfsrv_refuses_more_than_100_characters(name: str) -> None:
    with pytest.raises(HeaderTooLarge, match=name):
        caller_id({name: "a" * 101}, "azmlinfsrv")


def test_azmlinfsrv_takes_100_characters() -> None:
    assert caller_id({"x-ms-client-request-id": "a" * 100}, "azmlinfsrv") == "a" * 40


@given(st.text())
def test_no_text_can_break_out_of_the_header(sent: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{0,40}", caller_id({"x-ms-client-request-id": sent}, "managed"))


def test_our_ids_are_uuids_of_version_4() -> None:
    made = uuid.UUID(new_ids()())

    assert (made.version, made.variant) == (4, uuid.RFC_4122)


def test_no_two_of_our_ids_are_alike_even_from_two_sources() -> None:
    one, other = new_ids(), new_ids()

    assert len({make() for make in (one, other) for _ in range(1000)}) == 2000
