"""The quick ways through a body, and through an answer, end where the thorough ones do."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, InvalidInput
from gateway.core.request import Answer, Deployment
from gateway.core.rows import Layout, Rows
from gateway.core.signature import Column, Signature
from gateway.edge import oip_body
from gateway.edge.oip_one_row import OneRowAnswer
from gateway.edge.oip_tensors import collect, count_of, size_of
from tests.support.oip_stack import column

LEVELS = ("Fair", 'a "quoted" ü', "")
OUTPUTS = [
    (column("y", "FP32", 1),),
    (column("y", "FP64"),),
    (column("probability", "FP32"), column("label", "BYTES", levels=LEVELS)),
    (column("note", "BYTES"),),
    (column("note", "BYTES", 2), column("flag", "BOOL"), column('n"ame', "INT64", 2, 2), column("h", "FP16")),
    (column("labels", "BYTES", 3, levels=LEVELS), column("x", "FP64")),
    (column("long", "FP32", 65),),
]


def outcome(make: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return make(*arguments)
    except GatewayError as error:
        return type(error), str(error)


# The answer

elements = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1e16, 1e-7, 0.1, 123456789.0]))


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    columns = draw(st.sampled_from(OUTPUTS))
    layout, count = Layout.of(columns), draw(st.sampled_from([1, 1, 1, 2]))
    array = np.zeros(count, layout.dtype)
    for place, each in enumerate(layout.fixed):
        size = count * each.elements
        drawn: list[float]
        if each.levels:
            drawn = [draw(st.integers(-1, len(LEVELS) - 1)) for _ in range(size)]
        elif each.datatype.is_float:
            drawn = [draw(elements) for _ in range(min(size, 4))] * (size // min(size, 4) + 1)
        else:
            drawn = [draw(st.integers(0, 1 if each.datatype.name == "BOOL" else 2**40)) for _ in range(size)]
        with np.errstate(over="ignore"):
            array[f"c{place}"] = np.array(drawn[:size]).reshape(count, *each.shape)
    texts = tuple(
        [draw(st.none() | st.text(max_size=4)) for _ in range(count * each.elements)] for each in layout.texts
    )
    names = draw(st.tuples(*[st.sampled_from(["mlp", "blue", "green", 'a"b'])] * 2))
    deployment = Deployment(endpoint=names[0], name=names[1], signature=Signature(inputs=(), outputs=columns))
    return Answer(deployment, Rows(layout, count, array.tobytes(), texts))


asked = st.builds(
    oip_body.InferRequest,
    inputs=st.just([]),
    id=st.none() | st.text(max_size=4),
    parameters=st.sampled_from([None, {}, {"binary_data_output": True}, {"binary_data_output": 1}, {"x": "y"}]),
    outputs=st.sampled_from([None, None, [], [oip_body.RequestedOutput("y")]]),
)


@settings(max_examples=400, deadline=None)
@given(st.none() | asked, answers())
def test_an_answer_of_bytes_made_once_is_the_document(request: oip_body.InferRequest | None, answer: Answer) -> None:
    assert outcome(oip_body.build_response, request, answer) == outcome(oip_body._encoded, request, answer)


def test_answers_of_two_deployments_with_one_layout_name_their_own() -> None:
    rows = Rows(Layout.of(OUTPUTS[0]), 1, struct.pack("<f", 1))
    found = [
        json.loads(oip_body.build_response(oip_body.InferRequest([]), Answer(deployment, rows))[0])["model_version"]
        for deployment in (
            Deployment(endpoint="e", name=name, signature=Signature(inputs=(), outputs=OUTPUTS[0]))
            for name in ("blue", "green", "blue")
        )
    ]

    assert found == ["blue", "green", "blue"]


@pytest.mark.parametrize(
    ("columns", "is_plain"),
    [(OUTPUTS[1], True), (OUTPUTS[-1], False), ((column("open", "FP32", -1),), False), ((), False)],
)
def test_few_numbers_are_plain(columns: tuple[Column, ...], is_plain: bool) -> None:
    assert OneRowAnswer.of("e", "d", Layout.of(columns)).is_plain is is_plain


# The request

shapes = st.sampled_from([(1, 2), (2, 1), (2,), (1, 1), (1,), (), (0,), (1, -2), (2**31, 0), (1,) * 33, (2**40, 2**40)])
datatypes = st.sampled_from(["FP32", "FP32", "FP64", "INT8", "BOOL", "BYTES", "FP16", "FP99", ""])
data = st.sampled_from([[1.0, 2.0], [[1.0, 2.0]], [[1.0], [2.0]], [1.0], [], [[]], [True, None], ["a", "b"], "ab", 5])
parameters = st.sampled_from([None, {}, {"content_type": "np"}, {"shared_memory_region": "r"}])
sizes = st.sampled_from([8, 4, 16, 2, 0, 1, -8, True, 8.0, "8", None])


@st.composite
def tensors(draw: st.DrawFn) -> oip_body.InputTensor:
    known: dict[str, Any] | None = draw(parameters)
    values = draw(data)
    if draw(st.booleans()):
        known, values = {**(known or {}), "binary_data_size": draw(sizes)}, None
    return oip_body.InputTensor(
        name=draw(st.sampled_from(["x", "y", "z"])),
        shape=draw(shapes),
        datatype=draw(datatypes),
        parameters=known,
        data=values if draw(st.integers(0, 9)) else None,
    )


@settings(max_examples=600, deadline=None)
@given(st.lists(tensors(), max_size=3), st.sampled_from([0, 8, 4, 16, 24]))
def test_plain_tensors_are_what_the_thorough_way_takes(inputs: list[oip_body.InputTensor], size: int) -> None:
    binary = memoryview(bytes(range(size)))

    def thorough() -> Any:
        return collect(oip_body._checked(inputs, binary))

    assert outcome(oip_body.tensors, oip_body.InferRequest(inputs), binary) == outcome(thorough)


def tensor(**changed: Any) -> oip_body.InputTensor:
    usual: dict[str, Any] = {"name": "x", "shape": (1, 2), "datatype": "FP32", "data": [1.0, 2.0]}
    return oip_body.InputTensor(**{**usual, **changed})


def test_numbers_and_raw_elements_are_plain() -> None:
    raw = tensor(name="y", data=None, parameters={"binary_data_size": 8})
    found = oip_body._plain([tensor(), raw], memoryview(bytes(8)))

    assert found is not None
    assert [each.raw for each in found] == [None, bytes(8)]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (
            {"datatype": "INT8", "shape": (1,), "parameters": {"binary_data_size": True}},
            "expected binary_data_size to be",
        ),
        ({"parameters": {"binary_data_size": 8.0}}, "expected binary_data_size to be"),
        ({"parameters": {"binary_data_size": 8}, "data": [1.0, 2.0]}, "expected either data or binary_data_size"),
        ({"parameters": {"binary_data_size": 8, "shared_memory_region": "r"}}, "shared memory is not offered"),
        ({"parameters": {"binary_data_size": 16}}, "expected 16 bytes behind the JSON, got 8"),
        ({"shape": (1, 1), "parameters": {"binary_data_size": 4}}, "expected 4 bytes behind the JSON, got 8"),
    ],
)
def test_raw_elements_that_do_not_fit_are_refused(changed: dict[str, Any], complaint: str) -> None:
    size = 1 if "datatype" in changed else 8

    with pytest.raises(GatewayError, match=complaint):
        oip_body.tensors(oip_body.InferRequest([tensor(**{"data": None, **changed})]), memoryview(bytes(size)))


def test_only_what_is_right_is_remembered() -> None:
    count_of.cache_clear()
    size_of.cache_clear()
    for shape, datatype in [((-1,), "FP32"), ((1,), "x" * 1000), ((2**40,), "FP32"), ((1,) * 99, "FP32")]:
        for ask in (count_of, size_of):
            with pytest.raises(InvalidInput):
                ask(datatype, shape)

    assert count_of.cache_info().currsize == size_of.cache_info().currsize == 0


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "expected a JSON body, it is empty"),
        (b" \n", "expected a JSON body, it is empty"),
        (b"{", "the body is not JSON: Input data was truncated"),
        (b'{"inputs": 1}', "the body is no inference request: Expected `array`, got `int` - at `$.inputs`"),
        (
            b'{"inputs": [{"name": "x", "shape": [1, "a"], "datatype": "FP32"}]}',
            "the body is no inference request: Expected `int`, got `str` - at `$.inputs[0].shape[1]`",
        ),
        (
            b'{"inputs": [{"name": "x", "shape": 1, "datatype": "FP32"}]}',
            "the body is no inference request: Expected `array`, got `int` - at `$.inputs[0].shape`",
        ),
        (b'{"inputs": [], "id": "\xff"}', "the body is not UTF-8"),
        (b"[" * 2000, "the body is no inference request: Expected `object`, got `array`"),
    ],
)
@pytest.mark.parametrize("behind", [b"", b"1234"])
def test_what_cannot_be_read_says_why(body: bytes, complaint: str, behind: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        oip_body.parse(body + behind, len(body) if behind else None)

    assert str(caught.value) == complaint


def test_a_length_beyond_the_body_is_refused() -> None:
    with pytest.raises(InvalidInput, match="expected at most 2, got 3"):
        oip_body.parse(b"{}", 3)


@given(st.binary(max_size=4))
def test_what_stands_behind_the_json_is_left_as_it_is(behind: bytes) -> None:
    text = msgspec.json.encode({"inputs": []})
    _, rest = oip_body.parse(text + behind, len(text))

    assert bytes(rest) == behind
