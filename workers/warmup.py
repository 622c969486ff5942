"""
Scores made-up batches before the first caller does: a model's first calls allocate, compile and page in.

It goes through the batch sizes that the worker will see, 1, 2, 4 … up to the largest, because both ONNX Runtime's
arenas and R's byte-code compiler prepare per shape or per call. An example that cannot be scored means that the model
or its signature is wrong, so that is a ``LoadError``; neutral rows may well be nonsense to a model, so their failure
is only an event in the log. A script that takes whole requests is asked nothing that nobody gave.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import monotonic

import structlog

from workers.runtimes.base import Batch, BatchInvalid, Loaded, LoadError, ModelError, ModelTimeout, Runtime
from workers.sample import example_batch, sample_batch
from workers.schema import Schema

__all__ = ["load_warm", "sizes", "warm_up"]

log = structlog.get_logger()


def load_warm(runtime: Runtime, max_rows: int) -> Loaded:
    """Load the model and score once at every size of batch. Raises ``LoadError``."""
    started = monotonic()
    loaded = runtime.load()
    loaded = replace(loaded, load_ms=round((monotonic() - started) * 1000))
    warm_up(runtime, loaded, max_rows)
    return loaded


def sizes(max_rows: int) -> list[int]:
    """Powers of two below ``max_rows``, and ``max_rows`` itself."""
    powers = [1 << i for i in range(max_rows.bit_length()) if 1 << i < max_rows]
    return [*powers, max_rows]


def warm_up(runtime: Runtime, loaded: Loaded, max_rows: int) -> None:
    """
    Score one batch of every size, and all rows of the example at least once. Raises ``LoadError`` when the example of
    the schema cannot be scored.
    """
    if not (loaded.schema.example or loaded.may_make_up):
        return
    largest = min(max_rows, loaded.max_rows) if loaded.max_rows else max_rows
    for batch in _batches(loaded.schema, largest):
        rows = batch.rows
        try:
            runtime.score(batch)
        except (BatchInvalid, ModelError, ModelTimeout) as error:
            if loaded.schema.example:
                raise LoadError(f"the example cannot be scored ({rows} rows at once): {error}") from error
            log.warning("worker.warm_up_failed", rows=rows, error=str(error))
            return


def _batches(schema: Schema, largest: int) -> Iterator[Batch]:
    for rows in sizes(largest):
        yield sample_batch(schema, rows)
    for start in range(largest, len(schema.example), largest):  # more examples than fit into the largest batch
        rest = schema.example[start : start + largest]
        yield example_batch(schema.inputs, rest, len(rest))
