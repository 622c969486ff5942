"""Answer → bytes: the same ones as of a message that is made field by field."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import InvalidInput, NotSupported
from gateway.core.request import Answer, Deployment
from gateway.core.rows import Layout, Rows, Text
from gateway.core.signature import Column, Signature
from gateway.edge import grpc_response
from gateway.edge.grpc_request import Inference, RequestReader
from gateway.edge.grpc_response import ResponseWriter
from gateway.edge.grpc_tensors import build_response
from gateway.wire.v1.grpc_service_pb2 import ModelInferRequest, ModelInferResponse
from tests.support.oip_stack import column

LAYOUTS: dict[str, tuple[Column, ...]] = {
    "float": (column("y", "FP32"),),
    "half": (column("y", "FP16"),),
    "matrix": (column("y", "INT64", 2, 3),),
    "levels": (column("y", "BYTES", levels=("a", "bb", "")),),
    "text": (column("y", "BYTES"),),
    "text beside a number": (column("a", "BYTES"), column("b", "BOOL")),
    "many": (column("a", "FP64"), column("b", "INT8"), column("c", "BYTES", levels=("x" * 300, "y"))),
}
DEPLOYMENTS = {
    (endpoint, name): Deployment(endpoint=endpoint, name="blue", signature=Signature(inputs=columns, outputs=columns))
    for name, columns in LAYOUTS.items()
    for endpoint in ("m", "n")
}


def answer(endpoint: str, name: str, count: int, seed: int = 0) -> Answer:
    layout = Layout.of(LAYOUTS[name])
    records = bytearray((seed + i) % 2 for i in range(count * layout.width))
    if name == "levels":
        records = bytearray(b"".join((seed % 4 - 1).to_bytes(4, "little", signed=True) for _ in range(count)))
    elif name == "many":  # the last column is a level: -1, 0 or 1
        for row in range(count):
            records[row * 13 + 9 : row * 13 + 13] = ((row + seed) % 3 - 1).to_bytes(4, "little", signed=True)
    texts: tuple[Text, ...] = tuple(
        [[None, "", "é", "x" * 200][(seed + i) % 4] for i in range(count)] for _ in layout.texts
    )
    return Answer(DEPLOYMENTS[endpoint, name], Rows(layout, count, bytes(records), texts))


def asked(id: str = "", outputs: tuple[str, ...] = (), *, raw: bool = True) -> bytes:  # noqa: A002  # the protocol's word
    request = ModelInferRequest(model_name="m", id=id, outputs=[{"name": name} for name in outputs])
    tensor = request.inputs.add(name="x", datatype="FP32", shape=[1])
    if raw:
        request.raw_input_contents.append(b"1234")
    else:
        tensor.contents.fp32_contents.append(1.0)
    return request.SerializeToString()


class Conversation:
    """A reader and a writer as they serve one request after the other."""

    def __init__(self) -> None:
        self.read, self.write = RequestReader(), ResponseWriter()

    def __call__(self, data: bytes, answer: Answer) -> bytes:
        request = self.read(data)
        reply = self.write(request, answer)
        self.read.learn(request)
        return reply

    def known(self, data: bytes) -> Inference:
        self(data, answer("m", "float", 1))
        request = self.read(data)
        assert request.kind.outputs is not None
        return request


ASKED = st.tuples(
    st.sampled_from(["", "i", "é", "x" * 200]),
    st.sampled_from(["m", "n"]),
    st.sampled_from([1, 1, 2, 33]),
    st.integers(0, 5),
    st.booleans(),
    st.booleans(),
)


@given(st.sampled_from(sorted(LAYOUTS)), st.lists(ASKED, min_size=1, max_size=8))
def test_a_writer_that_has_answered_much_writes_what_a_message_is_serialized_to(
    name: str, asks: list[tuple[str, str, int, int, bool, bool]]
) -> None:
    talk = Conversation()
    for identity, endpoint, count, seed, only_last, raw in asks * 3:  # first to know the kind, then the answer's form
        outputs = (LAYOUTS[name][-1].name,) if only_last else ()
        data, given = asked(identity, outputs, raw=raw), answer(endpoint, name, count, seed)

        assert talk(data, given) == build_response(ModelInferRequest.FromString(data), given).SerializeToString()


def test_an_answer_of_a_known_form_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Conversation()
    request = talk.known(asked("one"))
    talk.write(request, answer("m", "float", 1))
    monkeypatch.setattr(grpc_response, "build_response", None)

    assert ModelInferResponse.FromString(talk(asked("two"), answer("m", "float", 1, seed=1))).id == "two"


def test_a_new_deployment_is_not_taken_for_the_old_one() -> None:
    talk = Conversation()
    request, old = talk.known(asked()), answer("m", "float", 1)
    talk.write(request, old)
    columns = old.deployment.signature.outputs
    new = Deployment(endpoint="m", name="green", signature=Signature(inputs=columns, outputs=columns))

    reply = ModelInferResponse.FromString(talk.write(request, Answer(new, old.rows)))

    assert reply.model_version == "green"


def test_an_output_that_a_new_deployment_does_not_have_is_refused() -> None:
    talk = Conversation()
    request = talk.known(asked(outputs=("y",)))

    with pytest.raises(InvalidInput, match='output "y"'):
        talk.write(request, answer("m", "many", 1))


@pytest.mark.parametrize("word", ["classification", "shared_memory_region"])
def test_a_form_of_output_that_is_not_offered_is_refused(word: str) -> None:
    request = ModelInferRequest.FromString(asked(outputs=("y",)))
    request.outputs[0].parameters[word].int64_param = 3

    with pytest.raises(NotSupported, match=word):
        Conversation()(request.SerializeToString(), answer("m", "float", 1))


def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_response, "_MAX_TEMPLATES", 3)
    talk = Conversation()
    request = talk.known(asked())
    for count in range(1, 9):
        talk.write(request, answer("m", "float", count))

    assert 0 < len(talk.write._templates) <= 3
