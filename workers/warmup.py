"""
Scores made-up batches before the first caller does: a model's first calls allocate, compile and page in.

It goes through the batch sizes that the worker will see, 1, 2, 4 … up to the largest, because both ONNX Runtime's
arenas and R's byte-code compiler prepare per shape or per call; through the first one twice, because R compiles a
function at its second call. Where the loaded model is shared with forked workers that is done once, before the first
fork. Rows that cannot be scored mean that the model or its signature is wrong, so that is a ``LoadError``; but neutral
rows may well be nonsense to a model, so their failure is only an event in the log. A script that takes whole requests
is asked nothing that nobody gave.

What a model warns of meanwhile is told in the log once a load.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import monotonic

import structlog

from workers.options import GroupOptions
from workers.runtimes.base import Batch, BatchInvalid, Loaded, ModelError, ModelTimeout, Runtime
from workers.sample import example_batch, refusal, sample_batch
from workers.schema import Schema
from workers.warning_log import WarmUpLog

__all__ = ["load_warm", "sizes", "warm_up"]

log = structlog.get_logger()


def load_warm(runtime: Runtime, group: GroupOptions) -> Loaded:
    """Load the model and score at every size of batch. Raises ``LoadError``."""
    started = monotonic()
    loaded = runtime.load()
    loaded = replace(loaded, load_ms=round((monotonic() - started) * 1000))
    warm_up(runtime, loaded, group)
    if runtime.loads_before_fork:
        runtime.rest()  # once for all workers, from what all of this has left behind
    return loaded


def sizes(max_rows: int) -> list[int]:
    """Powers of two below ``max_rows``, and ``max_rows`` itself."""
    powers = [1 << i for i in range(max_rows.bit_length()) if 1 << i < max_rows]
    return [*powers, max_rows]


def warm_up(runtime: Runtime, loaded: Loaded, group: GroupOptions) -> None:
    """
    Score batches of every size, and all rows of the example at least once. Raises ``LoadError`` when the example of the
    schema cannot be scored.
    """
    warned = WarmUpLog(group)
    warned.note(loaded.warnings)
    try:
        _score_all(runtime, loaded, group, warned)
    finally:
        warned.tell()


def _score_all(runtime: Runtime, loaded: Loaded, group: GroupOptions, warned: WarmUpLog) -> None:
    if not (loaded.schema.example or loaded.may_make_up):
        return
    largest = min(group.max_rows, loaded.max_rows) if loaded.max_rows else group.max_rows
    for batch in _batches(loaded.schema, largest):
        try:
            warned.note(runtime.score(batch).warnings)
        except (BatchInvalid, ModelError, ModelTimeout) as error:
            if isinstance(error, ModelError):
                warned.note(error.warnings)
            if loaded.schema.example:
                raise refusal(group.model, batch.rows, error, is_made_up=loaded.has_made_up_example) from error
            log.warning("worker.warm_up_failed", rows=batch.rows, error=str(error))
            return


def _batches(schema: Schema, largest: int) -> Iterator[Batch]:
    for rows in (1, *sizes(largest)):
        yield sample_batch(schema, rows)
    for start in range(largest, len(schema.example), largest):  # more examples than fit into the largest batch
        rest = schema.example[start : start + largest]
        yield example_batch(schema.inputs, rest, len(rest))
