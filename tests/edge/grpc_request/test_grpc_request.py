"""Bytes → request: what a reader remembers must never change what it says."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, InvalidInput
from gateway.edge import grpc_request
from gateway.edge.grpc_records import record
from gateway.edge.grpc_request import Inference, RequestReader
from gateway.edge.oip_tensors import frame
from gateway.wire.v1.grpc_service_pb2 import InferParameter, ModelInferRequest


def message(*tensors: tuple[str, str, list[int], bytes], **fields: Any) -> bytes:
    request = ModelInferRequest(**fields)
    for name, datatype, shape, raw in tensors:
        request.inputs.add(name=name, datatype=datatype, shape=shape)
        request.raw_input_contents.append(raw)
    return request.SerializeToString()


def numbers(raw: bytes, **fields: Any) -> bytes:
    return message(("x", "FP32", [1, len(raw) // 4], raw), **{"model_name": "m", **fields})


def texts(*elements: bytes, **fields: Any) -> bytes:
    return message(("x", "BYTES", [len(elements)], b"".join(map(frame, elements))), model_name="m", **fields)


def taught(*requests: bytes) -> RequestReader:
    read = RequestReader()
    for data in requests:
        read.learn(read(data))
    return read


def is_known(read: RequestReader, data: bytes) -> bool:
    return read(data).kind.outputs is not None


def kept(read: RequestReader) -> list[tuple[bytes, ...]]:
    """Of each kind the pieces that are remembered."""
    return [pieces for cuts in read._cuts.values() for _, kinds in cuts for pieces in kinds]


def told(request: Inference) -> list[object]:
    """Everything that a request says."""
    kind = request.kind
    said: list[object] = [kind.model, kind.version, kind.timeout, kind.size, request.id, request.message()]
    try:
        payload = request.tensors()
        heads = tuple((tensor.name, tensor.datatype, tensor.shape) for tensor in payload.tensors)
        assert payload.heads in (None, heads)
        said.append(payload.tensors)
    except GatewayError as error:
        said.append(f"{type(error).__name__}: {error}")
    return said


def outcome(read: RequestReader, data: bytes) -> list[object]:
    try:
        request = read(data)
    except DecodeError:
        return ["no message"]
    said = told(request)
    if not isinstance(said[-1], str):  # answered
        read.learn(request)
    return said


def _parts(request: ModelInferRequest) -> bytes:
    return request.SerializeToString()


INPUT = ModelInferRequest.InferInputTensor
X, Y = INPUT(name="x", datatype="FP32", shape=[1]), INPUT(name="y", datatype="BYTES", shape=[1])
MANY = INPUT(name="z", datatype="BYTES", shape=[2])
TYPED = INPUT(name="x", datatype="FP32", shape=[1], contents={"fp32_contents": [1.0]})
SHARED = INPUT(
    name="x", datatype="FP32", shape=[1], parameters={"shared_memory_region": InferParameter(string_param="r")}
)
TIMEOUT = {"timeout": InferParameter(int64_param=5)}
RECORDS = st.one_of(
    st.sampled_from(
        [
            *(_parts(ModelInferRequest(model_name=name)) for name in ("m", "n")),
            *(_parts(ModelInferRequest(model_version=version)) for version in ("1", "2")),
            *(_parts(ModelInferRequest(inputs=[tensor])) for tensor in (X, Y, MANY, TYPED, SHARED)),
            _parts(ModelInferRequest(parameters=TIMEOUT)),
            _parts(ModelInferRequest(parameters={"timeout": InferParameter()})),
            _parts(ModelInferRequest(outputs=[{"name": "a"}])),
            b"\x08\x07",  # fields of other forms, of high numbers, and a group: all unknown
            b"\x19" + bytes(8),
            b"\x1d" + bytes(4),
            b"\x3a\x84\x00abcd",  # a length written longer than it need be
            b"\x3a\x84" + b"\x80" * 8 + b"\x02abcd",  # and one with bits that are left out
            b"\x82\x01\x01x",
            b"\x0b\x0c",
        ]
    ),
    st.sampled_from([b"a", b"b", "é".encode(), b"\xc3\x28", b"\xff", b""]).map(lambda sent: record(3, sent)),
    st.sampled_from([b"1234", b"abcd", b"12345678", frame(b"ab"), frame(b"cd"), frame(b"a") * 2, b"\2\0\0\0a"]).map(
        lambda raw: record(7, raw)
    ),
)
NATURAL = st.tuples(
    st.sampled_from(["m", "n"]),
    st.sampled_from(["", "1"]),
    st.sampled_from([b"", b"i", b"j", b"\xff"]),
    st.sampled_from([(), (X,), (Y,), (X, Y), (MANY,), (X, X)]),
    st.lists(
        st.sampled_from([b"1234", b"abcd", frame(b"ab"), frame(b"cd"), frame(b"a") * 2, b"\1\0\0\0ab"]), max_size=2
    ),
).map(
    lambda parts: b"".join(
        [
            _parts(ModelInferRequest(model_name=parts[0], model_version=parts[1])),
            record(3, parts[2]) if parts[2] else b"",
            _parts(ModelInferRequest(inputs=parts[3])),
            *(record(7, raw) for raw in parts[4]),
        ]
    )
)
MESSAGES = st.one_of(NATURAL, st.lists(RECORDS, max_size=8).map(b"".join), st.binary(max_size=12))


@given(st.lists(MESSAGES, min_size=2, max_size=16))
@example([numbers(b"1234", id="a"), numbers(b"1234", id="b").replace(b"\x1a\x01b", b"\x1a\x01\xff")])
@example([texts(b"ab"), texts(b"ab").replace(b"\2\0\0\0ab", b"\3\0\0\0ab")])
@example([texts(b"a", b"b"), texts(b"a", b"b").replace(frame(b"a") + frame(b"b"), frame(b"abcdef"))])
@example([_parts(ModelInferRequest(inputs=[X])) + b"\x3a\x84" + b"\x80" * 8 + b"\x02abcd"] * 2)
@example([record(3, b"a") + numbers(b"1234", id="b")] * 2)
@example([numbers(b"1234", id="a") + record(3, b"b")] * 2)
def test_a_reader_that_has_seen_much_says_what_a_fresh_one_says(sent: list[bytes]) -> None:
    used = RequestReader()

    assert [outcome(used, data) for data in sent] == [outcome(RequestReader(), data) for data in sent]


@given(
    st.sampled_from([numbers(b"1234", id="ab"), texts(b"ab"), texts(b"a", b"b"), numbers(b"1234", parameters=TIMEOUT)]),
    st.integers(0, 200),
    st.integers(0, 255),
)
def test_a_message_that_differs_in_one_byte_is_read_as_if_nothing_were_known(data: bytes, at: int, byte: int) -> None:
    bent = bytearray(data)
    bent[at % len(data)] = byte

    assert outcome(taught(data), bytes(bent)) == outcome(RequestReader(), bytes(bent))


@given(MESSAGES)
def test_a_kind_says_what_its_message_says(data: bytes) -> None:
    try:
        message = ModelInferRequest.FromString(data)
    except DecodeError:
        return
    kind = RequestReader()(data).kind

    assert (kind.model or "", kind.version) == (message.model_name, message.model_version)
    assert (kind.timeout is None) == ("timeout" not in message.parameters)


def test_a_request_like_one_before_it_is_not_parsed() -> None:
    read = taught(numbers(b"1234", id="a"))

    assert is_known(read, numbers(b"abcd", id="b"))


def test_a_request_that_was_not_answered_is_not_remembered() -> None:
    read = RequestReader()
    read(numbers(b"1234"))

    assert not is_known(read, numbers(b"1234"))


@pytest.mark.parametrize(
    "other",
    [
        numbers(b"1234", model_name="n"),
        numbers(b"1234", model_version="1"),
        numbers(b"12345678"),
        numbers(b"1234", id="a"),
        numbers(b"1234", outputs=[{"name": "a"}]),
    ],
)
def test_a_request_that_differs_in_more_than_id_and_elements_is_of_another_kind(other: bytes) -> None:
    read = taught(numbers(b"1234"))

    assert not is_known(read, other)
    assert is_known(taught(numbers(b"1234"), other), other)


def test_several_models_of_one_length_are_told_apart() -> None:
    read = taught(numbers(b"1234", model_name="m"), numbers(b"1234", model_name="n"))

    assert [read(numbers(b"1234", model_name=name)).kind.model for name in "mn"] == ["m", "n"]


def test_what_is_kept_of_one_kind_is_not_found_where_another_is_cut() -> None:
    long, short = texts(b"12345678", id="abcd"), texts(b"1234", id="abcdefgh")
    read = taught(long, short)
    bent = long.replace(b"abcd", b"abcdefgh").replace(frame(b"12345678"), frame(b"1234"))

    assert len(long) == len(short) == len(bent)
    assert all(is_known(read, data) for data in (long, short))
    with pytest.raises(DecodeError):
        read(bent)


def test_typed_contents_are_not_remembered() -> None:
    data = ModelInferRequest(inputs=[TYPED]).SerializeToString()

    assert not is_known(taught(data), data)


def test_neither_an_id_nor_an_element_is_kept() -> None:
    (pieces,) = kept(taught(numbers(b"1234", id="secret")))

    assert b"1234" not in b"".join(pieces)
    assert b"secret" not in b"".join(pieces)


def test_a_string_of_a_known_length_is_still_looked_at() -> None:
    read = taught(texts(b"ab"))
    broken = read(texts(b"ab").replace(b"\2\0\0\0ab", b"\1\0\0\0ab"))

    assert broken.kind.outputs is not None
    with pytest.raises(InvalidInput, match="before element 1, got 1"):
        broken.tensors()


def test_a_request_that_is_long_around_its_elements_is_not_remembered() -> None:
    data = message(("x" * 3000, "FP32", [1], b"1234"))

    assert not is_known(taught(data), data)


def test_a_request_with_many_elements_is_not_remembered() -> None:
    data = numbers(bytes(80_000))

    assert not is_known(taught(data), data)


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_request, "_MAX_KINDS", 10)
    read = taught(*(numbers(b"1234", model_name=f"m{i}") for i in range(100)))

    assert 0 < len(kept(read)) <= 10
    assert len(read._cuts) <= len(kept(read))
    assert is_known(read, numbers(b"1234", model_name="m99"))


def test_kinds_of_many_tensors_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_request, "_MAX_PIECES", 100)
    wide = [(f"x{place}", "UINT8", [1], b"x") for place in range(10)]
    read = taught(*(message(*wide, model_name="m" * i) for i in range(1, 20)))

    assert 0 < sum(2 * len(pieces) - 1 for pieces in kept(read)) <= 100
    assert is_known(read, message(*wide, model_name="m" * 19))


def test_ways_to_cut_that_are_given_up_make_room_for_others() -> None:
    read = taught(
        *(message(("x", "UINT8", [i], b"x" * i), ("y", "UINT8", [99 - i], b"y" * (99 - i))) for i in range(1, 99))
    )

    assert (read._count, read._pieces) == (len(kept(read)), sum(2 * len(pieces) - 1 for pieces in kept(read)))


def test_of_one_length_only_the_latest_ways_to_cut_are_tried() -> None:
    splits = [message(("x", "UINT8", [i], b"x" * i), ("y", "UINT8", [9 - i], b"y" * (9 - i))) for i in range(10)]
    read = taught(*splits)

    assert [is_known(read, data) for data in splits] == [False] * 6 + [True] * 4


def test_kinds_without_end_are_not_all_learnt_but_one_that_comes_back_is() -> None:
    read = RequestReader()
    for i in range(300):
        read.learn(read(numbers(b"1234", model_name=f"m{i}")))
    known = len(kept(read))
    often = numbers(b"1234", model_name="often")
    for _ in range(32):
        read.learn(read(often))

    assert known < 270
    assert is_known(read, often)


def test_the_size_of_a_raw_request_is_that_of_its_tensors() -> None:
    data = message(("x", "FP32", [1], b"1234"), ("y", "FP32", [2], b"12345678"))

    assert (RequestReader()(data).kind.size, taught(data)(data).kind.size) == (12, 12)


def test_what_is_no_message_is_refused_in_protobufs_words() -> None:
    with pytest.raises(DecodeError):
        RequestReader()(b"\x0a\xff")


def test_a_request_that_is_shown_keeps_its_elements_and_its_id_to_itself() -> None:
    data = numbers(b"1234", id="mine")
    shown = [repr(read(data)) + repr(list(read(data).__rich_repr__())) for read in (RequestReader(), taught(data))]

    assert not any("1234" in text or "mine" in text for text in shown)
    assert all("'m'" in text for text in shown)
