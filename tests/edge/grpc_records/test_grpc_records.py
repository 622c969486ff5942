"""Protobuf's wire form, against protobuf itself."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.grpc_records import head, record, records, varint
from gateway.wire.v1.grpc_service_pb2 import InferParameter, ModelInferRequest


@given(st.integers(0, 2**63 - 1))
def test_a_number_is_written_as_protobuf_writes_it(number: int) -> None:
    assert varint(number) == InferParameter(int64_param=number).SerializeToString()[1:] or number == 0


@given(st.binary(max_size=300))
def test_a_record_is_written_as_protobuf_writes_it(value: bytes) -> None:
    assert record(7, value) == ModelInferRequest(raw_input_contents=[value]).SerializeToString()
    assert head(7, len(value)) + value == record(7, value)


@given(st.binary(max_size=40))
def test_elements_are_found_where_protobuf_finds_them(data: bytes) -> None:
    try:
        message = ModelInferRequest.FromString(data)
        found = [data[start:stop] for field, start, stop in records(data) if field == 7]
    except (DecodeError, ValueError):
        return

    assert found == list(message.raw_input_contents)


@given(st.lists(st.sampled_from([b"\x08\x96\x01", b"\x19" + bytes(8), b"\x1d" + bytes(4), b"\x3a\x81\x00x"])))
def test_other_records_are_passed_over(rows: list[bytes]) -> None:
    data = b"".join(rows)

    assert [data[start:stop] for _, start, stop in records(data)] == [b"x" for row in rows if row[:1] == b"\x3a"]


@pytest.mark.parametrize("data", [b"\x0b\x0c", b"\x82\x01\x00"])
def test_a_group_and_a_high_field_are_not_told_apart(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        list(records(data))


def test_a_length_of_more_bits_than_protobuf_reads_is_not_followed() -> None:
    data = b"\x3a\x84" + b"\x80" * 7 + b"\x80\x02abcd"

    assert ModelInferRequest.FromString(data).raw_input_contents == [b"abcd"]
    with pytest.raises(ValueError, match="within the message"):
        list(records(data))
