"""Whether two servers answered the same, read from either wire."""

from __future__ import annotations

import struct

import pytest

from gateway.wire.v1 import grpc_service_pb2 as wire
from loadtests.bench.answers import AnswersDiffer, Values, grpc_values, must_agree, rest_values

JSON = (
    b'{"outputs": [{"name": "p", "datatype": "FP32", "shape": [1, 1], "data": [0.5]},'
    b' {"name": "l", "datatype": "BYTES", "shape": [1, 1], "data": ["b"]}]}'
)
Tensor = wire.ModelInferResponse.InferOutputTensor


def raw() -> bytes:
    answer = wire.ModelInferResponse(
        outputs=[Tensor(name="p", datatype="FP32", shape=[1, 1]), Tensor(name="l", datatype="BYTES", shape=[1])],
        raw_output_contents=[struct.pack("<f", 0.5), struct.pack("<I", 1) + b"b"],
    )
    return answer.SerializeToString()


def typed() -> bytes:
    answer = wire.ModelInferResponse(
        outputs=[Tensor(name="p", datatype="FP32", shape=[1, 1]), Tensor(name="l", datatype="BYTES", shape=[1])]
    )
    answer.outputs[0].contents.fp32_contents.append(0.5)
    answer.outputs[1].contents.bytes_contents.append(b"b")
    return answer.SerializeToString()


@pytest.mark.parametrize("values", [rest_values(JSON), grpc_values(raw()), grpc_values(typed())])
def test_an_answer_is_the_same_values_in_every_form(values: Values) -> None:
    assert values == {"p": [0.5], "l": ["b"]}


def test_numbers_may_differ_in_the_last_digits_of_a_float() -> None:
    must_agree("p", {"p": [0.300001, 1e-9]}, {"p": [0.3, 0.0]})


@pytest.mark.parametrize(
    "theirs",
    [{"p": [0.51], "l": ["b"]}, {"p": [0.5], "l": ["m"]}, {"p": [0.5]}, {"p": [0.5, 0.5], "l": ["b"]}, {"p": ["b"]}],
)
def test_servers_that_compute_something_else_are_not_timed(theirs: Values) -> None:
    with pytest.raises(AnswersDiffer, match="boosting"):
        must_agree("boosting", {"p": [0.5], "l": ["b"]}, theirs)
