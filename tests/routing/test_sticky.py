"""The key of a request is found wherever its endpoint says, in every form that a body can have."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from gateway.control.rollout_config import StickyConfig
from gateway.core.access import Principal
from gateway.core.payload import Named, Payload, Records, Table, Tensor, Tensors
from gateway.core.request import Authenticated
from gateway.routing.sticky import key_of
from tests.support.requests import received

POSITIONAL = ("size", "id")


def asked(payload: Payload | None = None, headers: Mapping[str, str] | None = None) -> Authenticated:
    call = received()
    call.headers = headers or {}
    if payload is not None:
        call.read = lambda: payload
    return Authenticated(call, Principal("team-a"))


def column_key(payload: Payload) -> bytes | None:
    return key_of(StickyConfig(column="id"))(asked(payload), POSITIONAL)


FORMS: dict[str, Payload] = {
    "records": Records([{"size": 1, "id": 17}, {"size": 1, "id": 18}]),
    "table": Table(["id", "size"], [[17, 1]]),
    "positions": Table(None, [[1, 17]]),
    "csv": Table(["id", "size"], [["17", "1"]], is_text=True),
    "named": Named({"size": [1, 2], "id": [17, 18]}),
    "raw integers": Tensors([Tensor("id", "INT64", (2,), raw=np.array([17, 18], "<i8").tobytes())]),
    "raw numbers": Tensors([Tensor("id", "FP64", (1, 1), raw=memoryview(np.array([17.0], "<f8").tobytes()))]),
    "raw texts": Tensors([Tensor("id", "BYTES", (1,), raw=struct.pack("<I", 2) + b"17")]),
    "typed": Tensors([Tensor("size", "INT64", (1,), values=[3]), Tensor("id", "INT64", (1, 1), values=[[17]])]),
    "texts": Tensors([Tensor("id", "BYTES", (1,), values=[b"17"])]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_column_gives_the_same_key_in_every_form(form: str) -> None:
    assert column_key(FORMS[form]) == b"17"


KEYLESS: dict[str, Payload] = {
    "no rows": Records([]),
    "no such column": Records([{"size": 1}]),
    "null": Records([{"id": None}]),
    "an object": Records([{"id": {"a": 1}}]),
    "an empty cell": Table(["id", "size"], [["", "1"]], is_text=True),
    "too few values": Table(["id", "size"], [[17]]),
    "no list": Table(["id", "size"], ["x"]),
    "no column list": Named({"id": 17}),
    "an empty column": Named({"id": []}),
    "other tensors": Tensors([Tensor("size", "INT64", (1,), values=[3])]),
    "no element": Tensors([Tensor("id", "INT64", (0,), raw=b"")]),
    "half an element": Tensors([Tensor("id", "INT64", (1,), raw=b"\1\2")]),
    "a text cut off": Tensors([Tensor("id", "BYTES", (1,), raw=struct.pack("<I", 9) + b"17")]),
    "no length": Tensors([Tensor("id", "BYTES", (1,), raw=b"\1")]),
    "an unknown type": Tensors([Tensor("id", "QUATERNION", (1,), raw=b"\1")]),
}


@pytest.mark.parametrize("form", KEYLESS)
def test_a_request_without_the_column_has_no_key(form: str) -> None:
    assert column_key(KEYLESS[form]) is None


def test_the_body_is_decoded_once() -> None:
    decoded: list[Any] = []

    def read() -> Payload:
        decoded.append(1)
        return FORMS["records"]

    request = asked()
    request.received.read = read
    key_of(StickyConfig(column="id"))(request, POSITIONAL)

    assert request.received.read() is FORMS["records"]
    assert len(decoded) == 1


def test_a_header_is_a_key_and_an_empty_one_is_none() -> None:
    find = key_of(StickyConfig(header="x-customer"))

    assert find(asked(headers={"x-customer": "17"}), ()) == b"17"
    assert find(asked(headers={"x-customer": ""}), ()) is None
    assert find(asked(), ()) is None


def test_the_principal_is_a_key() -> None:
    assert key_of(StickyConfig(principal=True))(asked(), ()) == b"team-a"
