"""
Between the worker protocol and the core's own types; nothing a worker says is believed before its size was checked.

Signatures whose columns all have a fixed length travel without shapes; the others say the length of every column
with every batch.
"""

from __future__ import annotations

import json
from typing import cast

from gateway.core.description import Description
from gateway.core.errors import DeadlineExceeded, GatewayError, InvalidInput, ModelFailed, WorkerFailed
from gateway.core.rows import Layout, Rows, Text
from gateway.core.scoring import Scored, WorkerLost
from gateway.core.signature import Column, Kind, Signature
from gateway.core.tensor import BY_NAME
from workers.wire.v1 import worker_pb2 as wire

__all__ = ["Refused", "description_of", "encode_batch", "failure_of", "scored_of"]

Code = wire.Failure
NS = 1e-9

_Batch, _serialize = wire.Batch, wire.Batch.SerializeToString
"""Looking up a method of a message's class costs half as much as writing a short message."""


class Refused(WorkerFailed):
    """The worker did not take the batch and computed nothing: any other may have it. Never leaves this package."""


def encode_batch(number: int, rows: Rows, budget_ms: int, is_fixed: bool) -> bytes:
    """One message of the stream; ``is_fixed``: the signature leaves no length open."""
    batch = _Batch()  # set one by one, which costs half as much as arguments by name
    batch.id, batch.rows, batch.records, batch.budget_ms = number, rows.count, rows.records, budget_ms
    for text in rows.texts:
        batch.texts.append(_wire_text(text))
    if not is_fixed:
        for column in rows.layout.columns:
            batch.shapes.append(wire.Shape(dims=column.shape))
    return _serialize(batch)


def scored_of(reply: wire.Reply, rows: int, outputs: Layout) -> Scored:
    """The answer to a batch of ``rows``. Raises ``WorkerFailed`` where it does not fit the signature's outputs."""
    layout = outputs
    if not outputs.is_resolved:
        shapes = [tuple(shape.dims) for shape in reply.shapes]
        if len(shapes) != len(outputs.columns) or any(size < 0 for shape in shapes for size in shape):
            raise WorkerFailed("the worker answered without the shapes of its outputs")
        try:
            layout = outputs.with_shapes(shapes)
        except InvalidInput as error:
            raise WorkerFailed(f"the worker answered in a wrong shape: {error}") from error
    if reply.rows != rows:
        raise WorkerFailed(f"the worker answered {reply.rows} rows for {rows}")
    records = reply.records
    if len(records) != rows * layout.width:
        raise WorkerFailed(f"the worker answered {len(records)} bytes instead of {rows * layout.width}")
    texts: tuple[Text, ...] = ()
    if layout.texts or reply.texts:
        if len(reply.texts) != len(layout.texts):
            raise WorkerFailed(f"the worker answered {len(reply.texts)} text columns instead of {len(layout.texts)}")
        texts = tuple(_text_of(text, rows * c.elements) for text, c in zip(reply.texts, layout.texts, strict=True))
    return Scored(Rows(layout, rows, records, texts), reply.compute_ns * NS)


def failure_of(failure: wire.Failure, worker: str) -> GatewayError:
    """What the worker reported, as whoever is waiting should see it."""
    message = failure.message or "the worker gave no reason"
    if failure.code == Code.MODEL:
        return ModelFailed(message, failure.kind or "error")
    if failure.code == Code.TIMEOUT:
        return DeadlineExceeded(message)
    if failure.code == Code.INVALID:
        return InvalidInput(message)
    if failure.code == Code.REFUSED:
        return Refused(message)
    return WorkerLost(message, worker)


def description_of(message: wire.Description) -> Description:
    """Raises ``WorkerFailed`` where the worker speaks of what this gateway does not know."""
    try:
        example = tuple(tuple(row) for row in json.loads(message.example)) if message.example else ()
        signature = Signature(
            inputs=tuple(_column_of(column) for column in message.inputs),
            outputs=tuple(_column_of(column) for column in message.outputs),
            example=example,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise WorkerFailed(f"the worker described itself in a way not understood: {error}") from error
    return Description(
        signature=signature,
        platform=message.platform,
        runtime=message.runtime,
        device=message.device,
        pid=message.pid,
        max_rows=message.max_rows,
        load_ms=message.load_ms,
        properties=dict(message.properties),
    )


def _column_of(message: wire.Column) -> Column:
    return Column(
        name=message.name,
        kind=Kind(message.kind),
        datatype=BY_NAME[message.datatype],
        shape=tuple(message.shape),
        levels=tuple(message.levels),
        nullable=message.nullable,
    )


def _wire_text(text: Text) -> wire.Text:
    missing = [i for i, value in enumerate(text) if value is None]
    values = [value or "" for value in text] if missing else cast("list[str]", text)
    return wire.Text(values=values, missing=missing)


def _text_of(message: wire.Text, elements: int) -> Text:
    values: Text = list(message.values)
    if len(values) != elements:
        raise WorkerFailed(f"the worker answered {len(values)} texts instead of {elements}")
    for position in message.missing:
        if position >= elements:
            raise WorkerFailed("the worker called a text missing that is not there")
        values[position] = None
    return values
