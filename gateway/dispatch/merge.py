"""
Many callers' rows into one batch, and the batch's answer back into each caller's own.

Done for every request, so the usual case, one row each and no texts, is cut in one go. A lone caller's rows are a batch
as they are, and need none of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import iter_unpack

from gateway.core.errors import WorkerFailed
from gateway.core.rows import Rows
from gateway.dispatch.ticket import Ticket

__all__ = ["join", "merge", "split"]


def merge(tickets: Sequence[Ticket]) -> tuple[Rows, list[int]]:
    """All their rows in order, and how many are whose; they share one layout, which ``Window`` sees to."""
    first = tickets[0].rows
    counts = [ticket.rows.count for ticket in tickets]
    if first.texts:
        return Rows.join([ticket.rows for ticket in tickets]), counts
    return Rows(first.layout, sum(counts), b"".join([ticket.rows.records for ticket in tickets])), counts


def split(rows: Rows, counts: Sequence[int]) -> list[Rows]:
    """The answer cut into pieces of ``counts`` rows. Raises ``WorkerFailed`` unless they add up."""
    number = len(counts)
    if rows.count != sum(counts):
        raise WorkerFailed(f"the worker answered {rows.count} rows for {sum(counts)}")
    if number == 1:
        return [rows]
    layout, width = rows.layout, rows.layout.width
    if counts.count(1) == number and width and not rows.texts:
        records = iter_unpack(f"{width}s", rows.records)
        return [Rows(layout, 1, record) for (record,) in records]
    pieces: list[Rows] = []
    start = 0
    for count in counts:
        stop = start + count
        pieces.append(rows.cut(start, stop))
        start = stop
    return pieces


def join(parts: Sequence[Rows]) -> Rows:
    """
    The answers to the parts of one large request as one.

    Raises ``WorkerFailed`` when the model chose different lengths for different parts.
    """
    layout = parts[0].layout
    if any(part.layout is not layout for part in parts):
        raise WorkerFailed("the model answered parts of one request in different shapes")
    return Rows.join(parts)
