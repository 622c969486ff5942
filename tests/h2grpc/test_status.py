"""Statuses: grpcio's names and numbers, the two tables, and messages in headers."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from h2grpc.status import Status, from_http, from_reset, percent_decode, percent_encode, status_of


def test_names_and_numbers_are_those_of_grpcio() -> None:
    assert {status.name: int(status) for status in Status} == {code.name: code.value[0] for code in grpc.StatusCode}


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_a_status_of_grpcio_is_taken(code: grpc.StatusCode) -> None:
    assert status_of(code).name == code.name


def test_a_number_nobody_knows_is_unknown() -> None:
    assert status_of(99) is Status.UNKNOWN


def test_our_own_status_and_its_number_are_taken() -> None:
    assert status_of(Status.ABORTED) is status_of(10) is Status.ABORTED


@pytest.mark.parametrize("nonsense", [None, "OK", True, object()])
def test_what_is_no_status_is_refused(nonsense: object) -> None:
    with pytest.raises(TypeError):
        status_of(nonsense)


@pytest.mark.parametrize(
    ("http", "status"),
    [
        (400, Status.INTERNAL),
        (401, Status.UNAUTHENTICATED),
        (403, Status.PERMISSION_DENIED),
        (404, Status.UNIMPLEMENTED),
        (429, Status.UNAVAILABLE),
        (502, Status.UNAVAILABLE),
        (503, Status.UNAVAILABLE),
        (504, Status.UNAVAILABLE),
        (200, Status.UNKNOWN),
        (500, Status.UNKNOWN),
    ],
)
def test_an_http_status_maps_as_specified(http: int, status: Status) -> None:
    assert from_http(http) is status


@pytest.mark.parametrize(
    ("error_code", "status"),
    [
        (0, Status.INTERNAL),
        (1, Status.INTERNAL),
        (2, Status.INTERNAL),
        (3, Status.INTERNAL),
        (4, Status.INTERNAL),
        (5, Status.UNKNOWN),
        (6, Status.INTERNAL),
        (7, Status.UNAVAILABLE),
        (8, Status.CANCELLED),
        (9, Status.INTERNAL),
        (10, Status.INTERNAL),
        (11, Status.RESOURCE_EXHAUSTED),
        (12, Status.PERMISSION_DENIED),
        (4711, Status.UNKNOWN),
    ],
)
def test_a_reset_maps_as_specified(error_code: int, status: Status) -> None:
    assert from_reset(error_code) is status


@given(st.text())
def test_every_message_survives_its_header(message: str) -> None:
    wire = percent_encode(message)

    assert all(0x20 <= byte <= 0x7E for byte in wire)
    assert percent_decode(wire) == message.encode("utf-8", "replace").decode()


def test_the_example_of_the_specification_is_written_as_it_says() -> None:
    assert percent_encode("\t\ntest ☺ 100%") == b"%09%0Atest %E2%98%BA 100%25"


@given(st.binary())
def test_a_badly_encoded_message_is_shown_anyway(wire: bytes) -> None:
    assert isinstance(percent_decode(wire), str)


def test_a_percent_sign_that_encodes_nothing_stays() -> None:
    assert percent_decode(b"50% of %zz %") == "50% of %zz %"
