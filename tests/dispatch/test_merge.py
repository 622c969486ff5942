from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import WorkerFailed
from gateway.core.rows import Layout, Rows
from gateway.core.signature import Column, Kind
from gateway.core.tensor import BY_NAME
from gateway.dispatch.merge import merge, split
from gateway.dispatch.ticket import Ticket
from tests.support.held_scorer import numbers, rows_of

NUMBER = Column(name="n", kind=Kind.INTEGER, datatype=BY_NAME["INT64"])
WORD = Column(name="w", kind=Kind.STRING, datatype=BY_NAME["BYTES"])
LAYOUTS = [Layout.of((NUMBER,)), Layout.of((NUMBER, WORD)), Layout.of((WORD,)), Layout.of(())]

NOBODY = cast("asyncio.Future[Rows]", None)


def rows(layout: Layout, count: int, first: int) -> Rows:
    """Numbers and words that are found nowhere else."""
    values = range(first, first + count)
    records = b"".join(value.to_bytes(8, "little") for value in values) if layout.fixed else b""
    return Rows(layout, count, records, tuple([f"word {value}" for value in values] for _ in layout.texts))


@given(
    layout=st.sampled_from(LAYOUTS),
    counts=st.one_of(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.lists(st.just(1), min_size=1, max_size=8)),
)
def test_everybody_gets_back_the_rows_that_he_brought(layout: Layout, counts: list[int]) -> None:
    tickets = [Ticket(rows(layout, count, 10 * i), 0.0, NOBODY, 0.0) for i, count in enumerate(counts)]
    batch, whose = merge(tickets)
    pieces = split(batch, whose)

    assert batch == Rows.join([ticket.rows for ticket in tickets])
    assert pieces == [ticket.rows for ticket in tickets]
    assert all(piece.layout is layout for piece in pieces)


@pytest.mark.parametrize("counts", [[1], [1, 1], [2, 2], [3, 1]])
def test_an_answer_of_another_number_of_rows_is_cut_for_nobody(counts: list[int]) -> None:
    with pytest.raises(WorkerFailed):
        split(rows_of(1, 2, 3), counts)


def test_a_batch_of_single_rows_is_cut_in_order() -> None:
    pieces = split(rows_of(7, 8, 9), [1, 1, 1])

    assert [numbers(piece) for piece in pieces] == [[7], [8], [9]]
