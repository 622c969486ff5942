"""
Between messages of worker.proto and the runtime's own values; checks a batch against the schema on the way in.

Pure. The checks are of sizes only (a few integer comparisons a batch): what the bytes mean was checked by the gateway
against the same schema, but a batch whose sizes lie would make a runtime read past its end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from workers.lifecycle import State
from workers.runtimes.base import Batch, BatchInvalid, Loaded, Result, Text
from workers.schema import Schema
from workers.wire.v1 import worker_pb2 as wire

__all__ = ["BatchCodec", "describe", "failed", "stated"]

_STATES = {State.READY: wire.READY, State.RESTING: wire.RESTING, State.DRAINING: wire.DRAINING}


class BatchCodec:
    """Decodes batches and encodes results of one loaded model."""

    def __init__(self, loaded: Loaded) -> None:
        self._inputs = loaded.schema.inputs
        self._max_rows = loaded.max_rows
        self._is_open = any(-1 in column.shape for column in self._inputs)
        self._width = 0 if self._is_open else Schema.record(self._inputs).itemsize
        self._texts = [column for column in self._inputs if column.is_text]

    def decode(self, message: wire.Batch) -> Batch:
        """The batch in ``message``; raises ``BatchInvalid``."""
        rows = message.rows
        if rows < 1:
            raise BatchInvalid("expected at least one row")
        if 0 < self._max_rows < rows:
            raise BatchInvalid(f"expected at most {self._max_rows} rows, got {rows}")
        if self._is_open or message.shapes:
            return self._decode_open(message)
        records = message.records  # read once: each time is a copy
        if len(records) != rows * self._width:
            raise BatchInvalid(f"expected {rows} records of {self._width} bytes, got {len(records)} bytes")
        if self._texts or message.texts:
            return Batch(rows, records, self._decode_texts(message, [c.elements for c in self._texts]))
        return Batch(rows, records, [])

    def encode(self, batch_id: int, rows: int, result: Result, compute_ns: int) -> wire.Reply:
        """The reply that carries ``result``."""
        reply = wire.Reply(id=batch_id, rows=rows, records=result.records, compute_ns=compute_ns)
        if result.texts:
            reply.texts.extend(_encode_text(text) for text in result.texts)
        if result.shapes is not None:
            reply.shapes.extend(wire.Shape(dims=shape) for shape in result.shapes)
        return reply

    def _decode_open(self, message: wire.Batch) -> Batch:
        if not self._is_open:
            raise BatchInvalid("expected no shapes: every column has a fixed one")
        shapes = [tuple(shape.dims) for shape in message.shapes]
        if len(shapes) != len(self._inputs):
            raise BatchInvalid(f"expected a shape for each of {len(self._inputs)} columns, got {len(shapes)}")
        width, elements = 0, []
        for column, shape in zip(self._inputs, shapes, strict=True):
            fits = len(shape) == len(column.shape) and all(
                got >= 0 and want in (-1, got) for want, got in zip(column.shape, shape, strict=True)
            )
            if not fits:
                raise BatchInvalid(
                    f'column "{column.name}": expected shape {list(column.shape)} per row, got {list(shape)}'
                )
            count = 1
            for dim in shape:
                count *= dim
            if column.is_text:
                elements.append(count)
            else:
                width += count * column.numpy.itemsize
        rows, records = message.rows, message.records
        if len(records) != rows * width:
            raise BatchInvalid(f"expected {rows} records of {width} bytes, got {len(records)} bytes")
        return Batch(rows, records, self._decode_texts(message, elements), shapes)

    def _decode_texts(self, message: wire.Batch, elements: Sequence[int]) -> list[Text]:
        if len(message.texts) != len(elements):
            raise BatchInvalid(f"expected {len(elements)} string columns, got {len(message.texts)}")
        texts: list[Text] = []
        for text, count, column in zip(message.texts, elements, self._texts, strict=True):
            values: Text = list(text.values)
            if len(values) != message.rows * count:
                raise BatchInvalid(f'column "{column.name}": expected {message.rows * count} values, got {len(values)}')
            for position in text.missing:
                if position >= len(values):
                    raise BatchInvalid(f'column "{column.name}": position {position} is beyond its values')
                values[position] = None
            texts.append(values)
        return texts


def failed(batch_id: int, code: wire.Failure.Code, message: str, kind: str = "") -> wire.Reply:
    """The reply to a batch that was not scored."""
    return wire.Reply(id=batch_id, failure=wire.Failure(code=code, message=message, kind=kind))


def stated(state: State) -> wire.Reply:
    """The announcement of a state."""
    return wire.Reply(state=_STATES.get(state, wire.STATE_UNSPECIFIED))


def describe(loaded: Loaded) -> wire.Description:
    """What ``Describe`` answers."""
    schema = loaded.schema
    return wire.Description(
        inputs=[column.to_wire() for column in schema.inputs],
        outputs=[column.to_wire() for column in schema.outputs],
        platform=loaded.platform,
        runtime=loaded.runtime,
        device=loaded.device,
        pid=os.getpid(),
        max_rows=loaded.max_rows,
        load_ms=loaded.load_ms,
        example=json.dumps(schema.example) if schema.example else "",
        properties=loaded.properties,
    )


def _encode_text(text: Text) -> wire.Text:
    missing = [i for i, value in enumerate(text) if value is None]
    return wire.Text(values=["" if value is None else value for value in text], missing=missing)
