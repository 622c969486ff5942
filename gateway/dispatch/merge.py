"""Many callers' rows into one batch, and the batch's answer back into each caller's own."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.errors import WorkerFailed
from gateway.core.rows import Rows
from gateway.core.scoring import Scored

__all__ = ["join", "merge", "split"]


def merge(parts: Sequence[Rows]) -> Rows:
    """All rows in order; the parts share one layout, which ``Window`` sees to."""
    return Rows.join(parts)


def split(scored: Scored, counts: Sequence[int]) -> list[Scored]:
    """The answer cut into pieces of ``counts`` rows. Raises ``WorkerFailed`` unless they add up."""
    rows = scored.rows
    if rows.count != sum(counts):
        raise WorkerFailed(f"the worker answered {rows.count} rows for {sum(counts)}")
    if len(counts) == 1:
        return [scored]
    pieces: list[Scored] = []
    layout, width = rows.layout, rows.layout.width
    queue, compute, worker = scored.queue, scored.compute, scored.worker
    start = 0
    for count in counts:
        stop = start + count
        # Without texts by hand: this runs per request, and cut() takes three times as long.
        records = rows.records[start * width : stop * width]
        piece = rows.cut(start, stop) if rows.texts else Rows(layout, count, records)
        pieces.append(Scored(piece, queue, compute, worker))
        start = stop
    return pieces


def join(parts: Sequence[Scored]) -> Scored:
    """
    The answers to the parts of one large request as one; ``compute`` adds up what every worker spent on it.

    Raises ``WorkerFailed`` when the model chose different lengths for different parts.
    """
    layout = parts[0].rows.layout
    if any(part.rows.layout is not layout for part in parts):
        raise WorkerFailed("the model answered parts of one request in different shapes")
    return Scored(
        Rows.join([part.rows for part in parts]),
        max(part.queue for part in parts),
        sum(part.compute for part in parts),
        parts[0].worker,
    )
