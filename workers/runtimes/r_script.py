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
holds one row: the script decides what a request is, so nothing may be joined.

In both, the script is sourced into the global environment with the model folder as working directory and in
``AZUREML_MODEL_DIR``. Loading a script or an ``.rds`` file runs code: serve only what you trust.
"""

from __future__ import annotations

from workers.runtimes.r_schema import Known, KnownColumn, Returned

__all__ = ["TEXT_INPUT", "TEXT_OUTPUT"]

TEXT_INPUT = Known(columns=(KnownColumn(name="data", kind="string"),))
"""What the text convention takes."""

TEXT_OUTPUT = (Returned(name="result", kind="string"),)
"""What the text convention gives. It is never probed: a script may refuse a made-up request."""
