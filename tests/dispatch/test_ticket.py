from __future__ import annotations

import asyncio

import pytest

from gateway.core.errors import DeadlineExceeded, GatewayError, MethodNotAllowed, Overloaded
from gateway.core.scoring import WorkerLost
from gateway.dispatch.ticket import Ticket, fresh
from tests.support.held_scorer import rows_of


async def test_whoever_was_answered_does_not_hear_of_a_failure() -> None:
    ticket = Ticket(rows_of(1), 0.0, asyncio.get_running_loop().create_future(), 0.0)
    answer = rows_of(2)
    ticket.reply.set_result(answer)
    was_news = ticket.fail(DeadlineExceeded("late"))

    assert (was_news, await ticket.reply) == (False, answer)


async def test_callers_do_not_share_one_exception() -> None:
    error = Overloaded("full", retry_after=3.0)
    tickets = [Ticket(rows_of(1), 0.0, asyncio.get_running_loop().create_future(), 0.0) for _ in range(2)]
    for ticket in tickets:
        ticket.fail(error)
    first, second = [ticket.reply.exception() for ticket in tickets]

    assert first is not second
    assert isinstance(first, Overloaded)
    assert (str(first), first.retry_after) == ("full", 3.0)


@pytest.mark.parametrize("error", [WorkerLost("gone", "w1"), MethodNotAllowed("no", ("GET",)), Overloaded("full", 2.0)])
def test_an_error_is_copied_with_all_it_carries(error: GatewayError) -> None:
    error.__cause__ = ValueError("why")
    twin = fresh(error)

    assert (type(twin), str(twin), vars(twin), twin.__cause__) == (
        type(error),
        str(error),
        vars(error),
        error.__cause__,
    )
