"""
Answer → the bytes of a ModelInferResponse. Pure.

What answers of one deployment and row count have in common (names, datatypes, shapes) is serialized once; to that, the
id and the elements are joined. The bytes are those of ``build_response``, which makes the message field by field and is
asked for whatever is not remembered here: typed answers, requests of an unknown kind, many rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.request import Answer, Deployment
from gateway.core.rows import Layout, Rows
from gateway.core.signature import Kind as Meaning
from gateway.edge.grpc_records import head, record
from gateway.edge.grpc_request import Inference
from gateway.edge.grpc_tensors import build_response
from gateway.edge.oip_outputs import OutputColumn, OutputPlan
from gateway.wire.v1.grpc_service_pb2 import ModelInferResponse

__all__ = ["ResponseWriter"]

_ID = ModelInferResponse.ID_FIELD_NUMBER
_RAW = ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER

_FEW_ROWS = 32
"""Beyond it the elements cost more than what could be remembered."""

_MAX_TEMPLATES = 1024
"""Also lets go of deployments that were replaced."""

_HEADS = [head(_RAW, size) for size in range(256)]
"""Before elements of so many bytes."""


class _Template:
    """All of an answer but its id and its elements."""

    __slots__ = ("columns", "rest", "start", "whole")

    def __init__(self, response: ModelInferResponse, rows: Rows, columns: Sequence[OutputColumn]) -> None:
        model = ModelInferResponse(model_name=response.model_name, model_version=response.model_version)
        self.start = model.SerializeToString()
        """Goes before the id."""
        self.rest = ModelInferResponse(outputs=response.outputs).SerializeToString()
        self.columns: Sequence[OutputColumn] | None = columns
        """None where the records are the elements of the only column; how many bytes they are is in ``rest``."""
        if len(columns) == 1 and _is_record(columns[0], rows.layout):
            self.rest += head(_RAW, rows.count * rows.layout.width)
            self.columns = None
        self.whole = self.start + self.rest
        """For a request without an id."""


class ResponseWriter:
    """Writes answers; one for all calls, because it remembers what it has written."""

    __slots__ = ("_templates",)

    def __init__(self) -> None:
        self._templates: dict[tuple[Deployment, Layout, int, tuple[str, ...] | None], _Template] = {}

    def __call__(self, request: Inference, answer: Answer) -> bytes:
        """Raises what ``build_response`` raises."""
        rows = answer.rows
        template = self._templates.get((answer.deployment, rows.layout, rows.count, request.kind.outputs))
        if template is None:
            return self._built(request, answer)
        identity = request.pieces[1]
        before = template.start + record(_ID, identity) + template.rest if identity else template.whole
        if template.columns is None:
            return before + rows.records
        pieces = [before]
        for column in template.columns:
            raw = column.raw(rows)
            size = len(raw)
            pieces.append(_HEADS[size] if size < len(_HEADS) else head(_RAW, size))
            pieces.append(raw)
        return b"".join(pieces)

    def _built(self, request: Inference, answer: Answer) -> bytes:
        """By way of the message, which may become a template."""
        response = build_response(request.message(), answer)
        rows, outputs = answer.rows, request.kind.outputs
        if outputs is not None and rows.count <= _FEW_ROWS:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            key = (answer.deployment, rows.layout, rows.count, outputs)
            self._templates[key] = _Template(response, rows, OutputPlan.of(rows.layout).pick(outputs))
        return response.SerializeToString()


def _is_record(column: OutputColumn, layout: Layout) -> bool:
    """Whether a record holds this column and nothing else, as clients see it."""
    return layout.columns == (column.column,) and column.column.kind not in (Meaning.STRING, Meaning.CATEGORICAL)
