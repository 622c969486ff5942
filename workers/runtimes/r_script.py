"""
``score.R`` beside a model, in one of two conventions.

*Rows* (batched; ours). The script defines ``predict_rows(model, rows)``: ``rows`` is a data.frame of any number of
rows with the columns of the signature, the answer one value per row and column: a vector, factor, matrix, data.frame or
named list. ``model`` is what ``init()`` returned or, without an ``init()``, the ``.rds`` file of the folder. A script
that defines ``predict_rows`` says by that that rows do not depend on each other. This is the place for
``type = "prob"``, ``interval = "prediction"``, another threshold::

    predict_rows <- function(model, rows) predict(model, rows, interval = "prediction")

*Text* (one call a request; Azure ML's). The script defines ``init()``, which returns a function of one argument, or a
global ``run(data)``. ``data`` is the text of the JSON request, the answer a JSON text, passed on as it is; any other
value is turned into JSON. The signature is one string column ``data`` and one string output ``result``, and a batch
holds one row: the script decides what a request is, so nothing may be joined, and none is made up to try it with. A
``signature.json`` cannot change that; it is there to give ``example`` requests.

In both, the script is sourced into the global environment with the model folder as working directory and in
``AZUREML_MODEL_DIR``. Loading a script or an ``.rds`` file runs code: serve only what you trust.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from workers.runtimes.base import LoadError
from workers.runtimes.r_schema import Known, KnownColumn, Returned
from workers.signature_file import SignatureColumn, SignatureFile

__all__ = ["TEXT_INPUT", "TEXT_OUTPUT", "text_examples"]

TEXT_INPUT = Known(columns=(KnownColumn(name="data", kind="string"),))
"""What the text convention takes."""

TEXT_OUTPUT = (Returned(name="result", kind="string"),)
"""What the text convention gives. It is never probed: a script may refuse a made-up request."""


def text_examples(signature: SignatureFile | None, model: str) -> tuple[tuple[Any, ...], ...]:
    """
    The requests of ``signature.json`` as texts: one that is not written as a string is the JSON itself. Raises
    ``LoadError`` where the file declares anything but what the convention says.
    """
    if signature is None:
        return ()
    if not _is_one_text(signature.inputs, "data"):
        raise LoadError(
            f"{model}: signature.json: inputs: a script that takes the text of a request has the one column "
            '{"name": "data", "type": "string"}; for other columns define predict_rows(model, rows)'
        )
    if signature.outputs and not _is_one_text(signature.outputs, "result"):
        raise LoadError(
            f"{model}: signature.json: outputs: a script that takes the text of a request gives the one column "
            '{"name": "result", "type": "string"}; leave them out'
        )
    return tuple((_text_of(row[0]),) for row in signature.example)


def _is_one_text(columns: Sequence[SignatureColumn], name: str) -> bool:
    if len(columns) != 1:
        return False
    column = columns[0]
    return (column.name, column.type) == (name, "string") and not column.shape and not column.nullable


def _text_of(request: Any) -> str:
    return request if isinstance(request, str) else json.dumps(request, ensure_ascii=False)
