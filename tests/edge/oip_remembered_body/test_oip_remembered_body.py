"""A remembered body changes nothing but the cost: the same request and the same refusal, whatever comes after what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import GatewayError
from gateway.core.payload import Tensors
from gateway.edge import oip_body, oip_remembered_body
from gateway.edge.oip_remembered_body import JsonBody, RememberedBodies

PLAIN = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [%b]}]}'
TWO = (
    b'{"id":"7","inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[%b]},'
    b'{"name":"y","shape":[1,2],"datatype":"BYTES","data":[%b]}],"outputs":[{"name":"z"}]}'
)


def seen(request: oip_body.InferRequest, payload: Tensors) -> Any:
    """All that anybody asks of it; by ``repr``, to which 1 and 1.0 are not the same."""
    tensors = [msgspec.structs.astuple(each) for each in payload.tensors]
    if payload.heads is not None:
        assert payload.heads == tuple((name, datatype, shape) for name, datatype, shape, *_ in tensors)
    return repr((request.id, request.parameters, request.outputs, request.wants_binary, tensors))


def whole(body: bytes) -> Any:
    try:
        request, binary = oip_body.parse(body, None)
        return seen(request, oip_body.tensors(request, binary))
    except GatewayError as error:
        return type(error), str(error)


def read(bodies: RememberedBodies, body: bytes) -> tuple[oip_body.InferRequest, Tensors]:
    asked = JsonBody(bodies, body)
    payload = asked.read()
    return asked.asked(), payload


def remembered(bodies: RememberedBodies, body: bytes) -> Any:
    try:
        return seen(*read(bodies, body))
    except GatewayError as error:
        return type(error), str(error)


def read_whole(monkeypatch: pytest.MonkeyPatch, sent: Sequence[bytes]) -> list[int]:
    """Which of ``sent`` went the whole way."""
    asked: list[bytes] = []

    def asks(body: bytes) -> tuple[oip_body.InferRequest, Tensors]:
        asked.append(body)
        return _whole(body)

    monkeypatch.setattr(oip_remembered_body, "_whole", asks)
    bodies = RememberedBodies()
    found = []
    for place, body in enumerate(sent):
        before = len(asked)
        read(bodies, body)
        if len(asked) > before:
            found.append(place)
    return found


_whole = oip_remembered_body._whole

NUMBERS = [b"1", b"2.0", b"-0", b"-0.0", b"1e5", b"1E-7", b"1e999", b"1e-999", b"01", b"1.", b".5", b"+1", b"NaN"]
LONG = [b"18446744073709551616", b"9" * 50, b"9" * 5000]
WORDS = [b"true", b"null", b'"a"', b'"\\u005d"', b'"]"', b'"\\"]"', b'"\xff"', b'"\xc3\xbc"', b'"\\ud800"', b'"a']
OTHERS = [b"[1]", b"[]", b"{}", b'{"data":[1]}', b"", b" 1\n", b"]", b"1]", b"[1"]
ELEMENTS = st.sampled_from([*NUMBERS, *LONG, *WORDS, *OTHERS])
LISTS = st.builds(b",".join, st.lists(ELEMENTS, min_size=1, max_size=3)) | st.sampled_from(
    [b"1,2", b"3.5,4.5", b" 1 , 2 ", b"1,2,", b"", b'"a","b"', b'1,2],"data":[3,4', b'1,2]}],"id":"9","x":[{"a":[1']
)
FORMS = st.sampled_from(
    [
        PLAIN,
        PLAIN.replace(b" ", b""),
        PLAIN.replace(b"[1, 2]", b"[2]"),
        PLAIN.replace(b'"FP32"', b'"FP16"'),
        PLAIN.replace(b'"x"', b'"data"'),
        PLAIN.replace(b'"x"', b'"\\"data\\": [1, 2]"'),
        PLAIN.replace(b'"data"', b'"d\\u0061ta"'),
        PLAIN.replace(b'"data"', b'"data": [1, 2], "data"'),
        PLAIN.replace(b"}]}", b', "data": [1, 2]}]}'),
        PLAIN.replace(b"}]}", b', "parameters": {"data": [1, 2]}}]}'),
        PLAIN.replace(b'"name"', b'"parameters": {"data": [1, 2]}, "name"'),
        PLAIN.replace(b'{"inputs"', b'{"data": [1, 2], "inputs"'),
        PLAIN.replace(
            b'{"inputs"', b'{"inputs": [{"name": "y", "shape": [2], "datatype": "FP32", "data": [1, 2]}], "inputs"'
        ),
        PLAIN.replace(b"}]}", b'}], "id": "7", "parameters": {"binary_data_output": true}}'),
        PLAIN.replace(b"}]}", b'}], "inputs": [{"name": "y", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}'),
        PLAIN.replace(b"[%b]", b"[[%b]]"),
        PLAIN.replace(b'"datatype"', b'"parameters": {"binary_data_size": 8}, "datatype"'),
        PLAIN + b" ",
        PLAIN + b"}",
        TWO,
        TWO.replace(b'"y"', b'"x"'),
        TWO.replace(b'"id":"7"', b'"id":7'),
    ]
)


@st.composite
def bodies_sent(draw: st.DrawFn) -> list[bytes]:
    """A form often enough to be remembered, with anything for its elements, and now and then a byte changed."""
    found: list[bytes] = []
    for form in draw(st.lists(FORMS, min_size=1, max_size=2)):
        usual = form.replace(b"%b", b"1,2") if form.count(b"%b") == 1 else form % (b"5", b'"a","b"')
        found += [usual, usual]
        for _ in range(draw(st.integers(1, 3))):
            body = form
            for _ in range(form.count(b"%b")):
                body = body.replace(b"%b", draw(LISTS), 1)
            if draw(st.integers(0, 3)) == 0:
                at = draw(st.integers(0, len(body)))
                body = (
                    body[:at] + draw(st.sampled_from([b"", b" ", b"]", b"[", b'"', b",", b"\\", b"1"])) + body[at + 1 :]
                )
            found.append(body)
    return [found[place] for place in draw(st.permutations(range(len(found))))] if draw(st.booleans()) else found


@settings(max_examples=600, deadline=None)
@given(bodies_sent())
@example([TWO % (b"5", b'"a","b"')] * 3 + [TWO % (b"6", b'"c","d"')])
@example([PLAIN % b"1,2", PLAIN % b"1,2", PLAIN % b'1,2],"data":[3,4', PLAIN % b"1.0,2"])
@example([TWO % (b"5", b'"a","b"')] * 2 + [TWO.replace(b'"y"', b'"z"') % (b"5", b'"a","b"')])
@example([PLAIN % b"1, 2", PLAIN % b"1, 2", PLAIN % b"1, 2" + b"}", PLAIN % b"1, 2" + b" "])
@example([b'{"data": [%b], ' % each + PLAIN[1:] % b"0, 0" for each in (b"1, 2", b"1, 2", b"3, 4")])
def test_the_request_and_the_refusal_are_those_of_the_whole_way(sent: list[bytes]) -> None:
    bodies = RememberedBodies()

    assert [remembered(bodies, body) for body in sent] == [whole(body) for body in sent]


@settings(deadline=None)
@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=3), min_size=2, max_size=2
    )
)
def test_elements_are_read_as_they_would_be_in_their_place(values: list[Any]) -> None:
    bodies = RememberedBodies()
    sent = [PLAIN % b"1,2", PLAIN % b"1,2", PLAIN % json.dumps(values)[1:-1].encode()]

    assert [remembered(bodies, body) for body in sent] == [whole(body) for body in sent]


def test_from_the_third_time_on_only_the_elements_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [PLAIN % b"%d,0.5" % place for place in range(6)]

    assert read_whole(monkeypatch, sent) == [0, 1]


def test_tensors_of_any_number_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [TWO % (b"%d" % place, b'"a","b"') for place in range(6)]

    assert read_whole(monkeypatch, sent) == [0, 1]


def test_forms_are_remembered_beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [PLAIN % b"1,2", TWO % (b"5", b'"a","b"')] * 4

    assert read_whole(monkeypatch, sent) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "body",
    [
        PLAIN.replace(b"[%b]", b"[[1, 2]]"),
        PLAIN.replace(b"%b", b"1, 2").replace(b'"name"', b'"parameters": {"data": [1, 2]}, "name"'),
        PLAIN.replace(b"%b", b"1, 2").replace(b'"x"', b'"%b"' % (b"x" * 5000)),
        PLAIN.replace(b"%b", b"1, 2").replace(b"}]}", b'}], "id": "%b"}' % (b"x" * 5000)),
        PLAIN.replace(b"%b", b"1, 2").replace(b"}]}", b'}], "parameters": {"a": [%b[]]}}' % (b"{}, " * 260)),
    ],
    ids=["nested", "data elsewhere", "a long beginning", "a long end", "many objects"],
)
def test_what_has_no_plain_form_is_not_remembered(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_whole(monkeypatch, [body] * 4) == [0, 1, 2, 3]


def test_a_list_before_another_end_is_not_read_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = RememberedBodies()
    for place in range(3):
        read(bodies, PLAIN % b"1,2" + b" " * place)
    decoded: list[bytes] = []
    monkeypatch.setattr(oip_remembered_body, "_decode", decoded.append)
    read(bodies, PLAIN.replace(b"}]}", b'}], "id": "7"}') % b"1,2")

    assert decoded == []


def test_the_elements_that_it_was_learned_from_are_not_kept() -> None:
    bodies = RememberedBodies()
    for _ in range(3):
        read(bodies, PLAIN % b"12345.678, 2")

    assert "12345.678" not in repr((bodies.forms, bodies.once))


def test_a_client_that_never_begins_alike_does_not_fill_the_memory() -> None:
    bodies = RememberedBodies()
    for place in range(1000):
        for _ in range(2):
            read(bodies, (PLAIN % b"1,2").replace(b'"x"', b'"x%d"' % place))

    assert len(bodies.forms) + len(bodies.once) <= 256


@pytest.mark.parametrize("times", [0, 1, 3])
def test_what_was_asked_is_known_whether_the_inputs_were_read_or_not(times: int) -> None:
    bodies = RememberedBodies()
    for _ in range(times):
        read(bodies, TWO % (b"5", b'"a","b"'))
    unread = JsonBody(bodies, TWO % (b"5", b'"a","b"'))
    was_read = JsonBody(bodies, TWO % (b"5", b'"a","b"'))
    was_read.read()

    assert unread.asked().id == was_read.asked().id == "7"
    assert unread.asked().outputs == was_read.asked().outputs


def test_two_requests_have_tensors_of_their_own() -> None:
    bodies = RememberedBodies()
    found = [read(bodies, PLAIN % b"1,2")[1].tensors for _ in range(4)]

    assert len({id(each) for tensors in found for each in tensors}) == 4
    assert len({id(each) for each in found}) == 4
