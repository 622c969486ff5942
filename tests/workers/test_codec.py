"""Batches and replies as messages."""

from __future__ import annotations

import json

import pytest

from workers.codec import BatchCodec, describe, failed, stated
from workers.lifecycle import State
from workers.runtimes.base import BatchInvalid, Loaded, Result
from workers.schema import Column, Kind, Schema
from workers.wire.v1 import worker_pb2 as wire


def column(name: str, kind: Kind, datatype: str, shape: tuple[int, ...] = (), levels: tuple[str, ...] = ()) -> Column:
    return Column(name=name, kind=kind, datatype=datatype, shape=shape, levels=levels)


def codec(*inputs: Column, max_rows: int = 0) -> BatchCodec:
    return BatchCodec(Loaded(schema=Schema(inputs=inputs, outputs=()), platform="p", runtime="r", max_rows=max_rows))


NUMBER = column("n", "float", "FP64")
COLOR = column("color", "categorical", "BYTES", levels=("a", "b"))
WORD = column("word", "string", "BYTES")
OPEN = column("open", "float", "FP32", shape=(-1, 2))


def test_records_are_handed_on_as_they_are() -> None:
    batch = codec(NUMBER, COLOR).decode(wire.Batch(rows=2, records=bytes(range(24))))

    assert (batch.rows, batch.records, batch.texts, batch.shapes) == (2, bytes(range(24)), [], None)


def test_a_missing_text_is_none() -> None:
    message = wire.Batch(rows=3, texts=[wire.Text(values=["x", "", "y"], missing=[1])])

    assert codec(WORD).decode(message).texts == [["x", None, "y"]]


def test_open_shapes_say_how_wide_a_record_is() -> None:
    batch = codec(NUMBER, OPEN).decode(
        wire.Batch(rows=2, records=bytes(2 * (8 + 24)), shapes=[wire.Shape(), wire.Shape(dims=[3, 2])])
    )

    assert batch.shapes == [(), (3, 2)]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (wire.Batch(rows=0), "at least one row"),
        (wire.Batch(rows=5, records=bytes(40)), "at most 4 rows, got 5"),
        (wire.Batch(rows=1, records=bytes(7)), "expected 1 records of 8 bytes, got 7 bytes"),
        (wire.Batch(rows=1, records=bytes(16)), "expected 1 records of 8 bytes, got 16 bytes"),
        (wire.Batch(rows=1, records=bytes(8), texts=[wire.Text(values=["x"])]), "expected 0 string columns, got 1"),
        (wire.Batch(rows=1, records=bytes(8), shapes=[wire.Shape()]), "expected no shapes"),
    ],
)
def test_a_batch_that_does_not_fit_the_schema_is_invalid(message: wire.Batch, told: str) -> None:
    with pytest.raises(BatchInvalid, match=told):
        codec(NUMBER, max_rows=4).decode(message)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (wire.Text(values=["x", "y"]), 'column "word": expected 1 values, got 2'),
        (wire.Text(values=["x"], missing=[1]), 'column "word": position 1 is beyond its values'),
    ],
)
def test_texts_of_the_wrong_length_are_invalid(text: wire.Text, told: str) -> None:
    with pytest.raises(BatchInvalid, match=told):
        codec(WORD).decode(wire.Batch(rows=1, texts=[text]))


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ([], "a shape for each of 1 columns, got 0"),
        ([[3]], r"expected shape \[-1, 2\] per row, got \[3\]"),
        ([[3, 4]], r"expected shape \[-1, 2\] per row, got \[3, 4\]"),
        ([[-1, 2]], r"expected shape \[-1, 2\] per row, got \[-1, 2\]"),
        ([[4, 2]], "expected 1 records of 32 bytes, got 24 bytes"),
    ],
)
def test_shapes_that_do_not_fit_are_invalid(shapes: list[list[int]], told: str) -> None:
    message = wire.Batch(rows=1, records=bytes(24), shapes=[wire.Shape(dims=dims) for dims in shapes])

    with pytest.raises(BatchInvalid, match=told):
        codec(OPEN).decode(message)


def test_a_result_carries_everything_back() -> None:
    reply = codec(NUMBER).encode(7, 2, Result(b"12345678", [["a", None]], [(2,), ()]), compute_ns=6)

    assert (reply.id, reply.rows, reply.records, reply.compute_ns) == (7, 2, b"12345678", 6)
    assert (list(reply.texts[0].values), list(reply.texts[0].missing)) == (["a", ""], [1])
    assert [list(shape.dims) for shape in reply.shapes] == [[2], []]
    assert not reply.HasField("failure")


def test_a_failure_names_its_batch() -> None:
    reply = failed(7, wire.Failure.MODEL, "no", "simpleError")

    assert (reply.id, reply.failure.code, reply.failure.kind) == (7, wire.Failure.MODEL, "simpleError")


@pytest.mark.parametrize(
    ("state", "told"),
    [(State.READY, wire.READY), (State.RESTING, wire.RESTING), (State.DRAINING, wire.DRAINING)],
)
def test_a_state_travels_without_a_batch(state: State, told: int) -> None:
    assert (stated(state).id, stated(state).state) == (0, told)


def test_the_description_holds_the_columns_and_the_example() -> None:
    schema = Schema(inputs=(NUMBER, COLOR), outputs=(WORD,), example=((1.5, "a"),))
    loaded = Loaded(
        schema=schema, platform="p", runtime="r 1", device="cuda:0", max_rows=3, load_ms=12, properties={"k": "v"}
    )
    description = describe(loaded)

    assert [(c.name, c.kind, list(c.levels)) for c in description.inputs] == [
        ("n", "float", []),
        ("color", "categorical", ["a", "b"]),
    ]
    assert json.loads(description.example) == [[1.5, "a"]]
    assert (description.device, description.max_rows, description.load_ms) == ("cuda:0", 3, 12)
    assert dict(description.properties) == {"k": "v"}
