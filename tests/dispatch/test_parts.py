from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import ModelFailed, WorkerFailed
from gateway.core.rows import Rows
from gateway.dispatch.parts import cut, outcome
from gateway.dispatch.ticket import Ticket, TicketOfOneTry
from tests.support.held_scorer import LAYOUT, OTHER_LAYOUT, numbers, rows_of
from tests.support.virtual_loop import run_virtually


def large(count: int, limit: int, kind: type[Ticket] = Ticket) -> Ticket:
    loop = asyncio.get_running_loop()
    whole = kind(rows_of(*range(count)), 7.0, loop.create_future(), 3.0)
    cut(whole, limit, loop)
    return whole


def answered(part: Ticket) -> Rows:
    return rows_of(*[value + 1000 for value in numbers(part.rows)])


@given(count=st.integers(1, 60), limit=st.integers(1, 20))
def test_the_parts_are_all_rows_in_order_within_the_limit_and_of_about_one_size(count: int, limit: int) -> None:
    async def scenario() -> Ticket:
        return large(count, limit)

    parts = run_virtually(scenario()).parts

    assert [value for part in parts for value in numbers(part.rows)] == list(range(count))
    assert max(part.rows.count for part in parts) <= limit
    assert len(parts) == -(-count // parts[0].rows.count)


async def test_a_part_has_the_deadline_and_the_tries_of_the_whole() -> None:
    whole = large(5, 2, TicketOfOneTry)

    assert {(part.deadline, part.born, part.has_one_try, part.parent) for part in whole.parts} == {
        (7.0, 3.0, True, whole)
    }


async def test_nothing_is_said_before_the_last_part_is_answered_and_then_everything_in_order() -> None:
    whole = large(5, 2)
    said = []
    for part in reversed(whole.parts):
        part.reply.set_result(answered(part))
        said.append(outcome(whole, part.reply))

    assert said[:-1] == [None] * (len(whole.parts) - 1)
    assert isinstance(said[-1], Rows)
    assert numbers(said[-1]) == [value + 1000 for value in range(5)]


@pytest.mark.parametrize("is_backwards", [False, True])
async def test_parts_that_were_found_answered_are_not_looked_at_again(is_backwards: bool) -> None:
    looks = []

    class Counted(Ticket, eq=False):
        @property
        def is_answered(self) -> bool:
            looks.append(self)
            return super().is_answered

    whole = large(100, 1, Counted)
    for part in reversed(whole.parts) if is_backwards else whole.parts:
        part.reply.set_result(answered(part))
        said = outcome(whole, part.reply)

    assert isinstance(said, Rows)
    assert len(looks) < 200


async def test_one_part_that_fails_is_said_at_once() -> None:
    whole = large(5, 2)
    whole.parts[1].fail(ModelFailed("bad"))

    assert isinstance(outcome(whole, whole.parts[1].reply), ModelFailed)


async def test_a_part_that_left_says_nothing() -> None:
    whole = large(5, 2)
    whole.parts[0].reply.cancel()

    assert outcome(whole, whole.parts[0].reply) is None


async def test_nobody_is_told_who_has_heard_already() -> None:
    whole = large(5, 2)
    whole.reply.cancel()
    whole.parts[0].fail(ModelFailed("bad"))

    assert outcome(whole, whole.parts[0].reply) is None


async def test_parts_of_different_shapes_are_no_answer() -> None:
    whole = large(2, 1)
    for part, layout in zip(whole.parts, (LAYOUT, OTHER_LAYOUT), strict=True):
        part.reply.set_result(rows_of(1, layout=layout))

    assert isinstance(outcome(whole, whole.parts[0].reply), WorkerFailed)
