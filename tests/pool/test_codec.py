from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import WorkerFailed
from gateway.core.rows import Layout, Rows
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.pool.codec import description_of, encode_batch, scored_of
from workers.wire.v1 import worker_pb2 as wire

NUMBER = Column(name="n", kind=Kind.FLOAT, datatype=BY_NAME["FP32"])
WORD = Column(name="w", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
OPEN = Column(name="v", kind=Kind.FLOAT, datatype=BY_NAME["FP32"], shape=(-1,))
MIXED = Layout.of((NUMBER, WORD))


def as_reply(message: bytes) -> wire.Reply:
    """What a worker that gives back its input would answer."""
    batch = wire.Batch.FromString(message)
    return wire.Reply(
        id=batch.id, rows=batch.rows, records=batch.records, texts=list(batch.texts), shapes=list(batch.shapes)
    )


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=8))
def test_texts_and_missing_values_survive_the_way_there_and_back(words: list[str | None]) -> None:
    rows = Rows(MIXED, len(words), bytes(4 * len(words)), (list(words),))
    scored = scored_of(as_reply(encode_batch(1, rows, 5, True)), len(words), MIXED)

    assert scored.rows == rows


def test_an_open_length_travels_with_the_batch() -> None:
    layout = Layout.of((OPEN,)).with_shapes([(3,)])
    rows = Rows(layout, 2, bytes(24))
    scored = scored_of(as_reply(encode_batch(1, rows, 5, False)), 2, Layout.of((OPEN,)))

    assert scored.rows.layout is layout


def test_a_fixed_signature_sends_no_shapes() -> None:
    batch = wire.Batch.FromString(encode_batch(1, Rows(Layout.of((NUMBER,)), 1, bytes(4)), 5, True))

    assert not batch.shapes


@pytest.mark.parametrize(
    "reply",
    [
        wire.Reply(rows=1, records=bytes(4)),
        wire.Reply(rows=2, records=bytes(4), texts=[wire.Text(values=["a"])]),
        wire.Reply(rows=1, records=bytes(4), texts=[wire.Text(values=["a", "b"])]),
        wire.Reply(rows=1, records=bytes(4), texts=[wire.Text(values=["a"], missing=[1])]),
        wire.Reply(rows=1, records=bytes(8), texts=[wire.Text(values=["a"])]),
        wire.Reply(rows=2, records=bytes(8), texts=[wire.Text(values=["a", "b"])]),
    ],
)
def test_an_answer_that_does_not_fit_the_outputs_is_the_workers_failure(reply: wire.Reply) -> None:
    with pytest.raises(WorkerFailed):
        scored_of(reply, 1, MIXED)


@pytest.mark.parametrize("dims", [[], [[1, 2]], [[-2]], [[1], [1]], [[2**40]]])
def test_an_answer_in_a_wrong_shape_is_the_workers_failure(dims: list[list[int]]) -> None:
    reply = wire.Reply(rows=1, records=bytes(8), shapes=[wire.Shape(dims=d) for d in dims])
    with pytest.raises(WorkerFailed):
        scored_of(reply, 1, Layout.of((OPEN,)))


def test_a_description_becomes_a_signature() -> None:
    cut = wire.Column(name="cut", kind="categorical", datatype="BYTES", levels=["Fair", "Good"], nullable=True)
    facts = description_of(wire.Description(inputs=[cut], platform="r", pid=9, example='[["Good"]]'))

    assert facts.signature.inputs == (
        Column(name="cut", kind=Kind.CATEGORICAL, datatype=BY_NAME["BYTES"], levels=("Fair", "Good"), nullable=True),
    )
    assert facts.signature.example == (("Good",),)


@pytest.mark.parametrize(
    "message",
    [
        wire.Description(inputs=[wire.Column(name="a", kind="complex", datatype="FP32")]),
        wire.Description(inputs=[wire.Column(name="a", kind="float", datatype="BF16")]),
        wire.Description(example="[1"),
        wire.Description(example="[1]"),
    ],
)
def test_a_description_that_is_not_understood_is_the_workers_failure(message: wire.Description) -> None:
    with pytest.raises(WorkerFailed):
        description_of(message)
