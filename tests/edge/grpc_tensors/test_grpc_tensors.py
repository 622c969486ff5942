"""ModelInferRequest → payload: what a reader remembers must never change what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, InvalidInput, NotSupported
from gateway.core.payload import Tensors
from gateway.core.request import Answer, Deployment
from gateway.core.rows import Layout, Rows
from gateway.core.signature import Signature
from gateway.edge.grpc_tensors import InputReader, build_response
from gateway.edge.oip_tensors import frame
from gateway.wire.v1.grpc_service_pb2 import ModelInferRequest
from tests.support.oip_stack import column


def raw_request(*tensors: tuple[str, str, list[int], bytes]) -> ModelInferRequest:
    request = ModelInferRequest()
    for name, datatype, shape, raw in tensors:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(raw)
    return request


def outcome(read: InputReader, request: ModelInferRequest) -> Tensors | str:
    try:
        return read(request)
    except GatewayError as error:
        return str(error)


HEAD = st.tuples(
    st.sampled_from(["x", "y"]), st.sampled_from(["FP32", "BYTES", "BOOL"]), st.lists(st.integers(0, 2), max_size=2)
)
RAW = st.binary(max_size=12) | st.lists(st.binary(max_size=3), max_size=3).map(lambda es: b"".join(map(frame, es)))


@given(st.lists(st.tuples(HEAD, RAW), min_size=1, max_size=12))
def test_a_reader_that_has_seen_much_says_what_a_fresh_one_says(
    sent: list[tuple[tuple[str, str, list[int]], bytes]],
) -> None:
    used = InputReader()
    requests = [raw_request((*head, raw)) for head, raw in sent]

    assert [outcome(used, request) for request in requests] == [outcome(InputReader(), request) for request in requests]


@pytest.mark.parametrize(
    ("datatype", "good", "bad"), [("FP32", b"1234", b"12345"), ("BYTES", frame(b"ab"), frame(b"ab") + b"x")]
)
def test_a_known_head_does_not_excuse_wrong_bytes(datatype: str, good: bytes, bad: bytes) -> None:
    read = InputReader()
    read(raw_request(("x", datatype, [1, 1], good)))

    with pytest.raises(InvalidInput, match='input "x"'):
        read(raw_request(("x", datatype, [1, 1], bad)))


def test_several_strings_are_counted_every_time() -> None:
    read = InputReader()
    read(raw_request(("x", "BYTES", [2, 1], frame(b"a") * 2)))

    with pytest.raises(InvalidInput, match="expected 2 elements"):
        read(raw_request(("x", "BYTES", [2, 1], frame(b"a"))))


def test_every_input_needs_its_raw_contents() -> None:
    request = raw_request(("x", "FP32", [1], b"1234"))
    request.inputs.add(name="y", datatype="FP32", shape=[1])

    with pytest.raises(InvalidInput, match="expected one for each of 2 inputs, got 1"):
        InputReader()(request)


def test_an_input_cannot_come_in_both_forms() -> None:
    request = raw_request(("x", "FP32", [1], b"1234"))
    request.inputs[0].contents.fp32_contents.append(1.0)

    with pytest.raises(InvalidInput, match="got both"):
        InputReader()(request)


def test_two_inputs_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more than once"):
        InputReader()(raw_request(("x", "FP32", [1], b"1234"), ("x", "FP32", [1], b"1234")))


def test_typed_contents_belong_into_the_field_of_their_datatype() -> None:
    request = ModelInferRequest()
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1])
    tensor.contents.fp64_contents.append(1.0)

    with pytest.raises(InvalidInput, match="expected FP32 in fp32_contents, got fp64_contents"):
        InputReader()(request)


@pytest.mark.parametrize("raw", [True, False])
def test_shared_memory_is_refused(raw: bool) -> None:
    request = ModelInferRequest()
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1])
    tensor.parameters["shared_memory_region"].string_param = "r"
    if raw:
        request.raw_input_contents.append(b"1234")

    with pytest.raises(NotSupported, match="shared memory"):
        InputReader()(request)


def answer_of(datatype: str, records: bytes) -> Answer:
    columns = (column("y", datatype),)
    deployment = Deployment(endpoint="m", name="blue", signature=Signature(inputs=columns, outputs=columns))
    return Answer(deployment, Rows(Layout.of(columns), 1, records))


def test_half_precision_is_answered_raw_also_to_a_typed_request() -> None:
    response = build_response(ModelInferRequest(), answer_of("FP16", b"\0<"))

    assert list(response.raw_output_contents) == [b"\0<"]
    assert not response.outputs[0].HasField("contents")


@pytest.mark.parametrize("word", ["classification", "shared_memory_region"])
def test_a_form_of_output_that_is_not_offered_is_refused(word: str) -> None:
    request = ModelInferRequest()
    request.outputs.add(name="y").parameters[word].int64_param = 3

    with pytest.raises(NotSupported, match=word):
        build_response(request, answer_of("FP32", b"1234"))
